package dockerproxy

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

// retryEvents is how long to wait for an engine that does not answer.
const retryEvents = time.Second

// Retain removes the volumes that go with their last container, until ctx ends:
// after each removal of a container, and once whenever the engine can be reached
// again, for what happened meanwhile. A volume is removed only if it is the very
// one that the state says a container used, carries our labels and has no
// container now; the engine refuses what is in use, also by a create under way.
func (p *Proxy) Retain(ctx context.Context) {
	reachable := true
	for ctx.Err() == nil {
		err := p.follow(ctx, func() {
			if !reachable {
				p.log.Info("the engine answers again")
			}
			reachable = true
			p.witness(ctx)
		}, func() { p.sweep(ctx) })
		if ctx.Err() == nil && reachable {
			reachable = false
			p.log.Info("lost the engine's events; trying again", "reason", err.Error())
		}
		select {
		case <-ctx.Done():
		case <-time.After(retryEvents):
		}
	}
}

// follow calls connected once it hears the engine's events, and sweep then and
// after each of them. Listening comes first, so that no removal falls between.
func (p *Proxy) follow(ctx context.Context, connected, sweep func()) error {
	filter, err := json.Marshal(map[string][]string{"type": {"container"}, "event": {"destroy"}})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/events?filters="+url.QueryEscape(string(filter)), nil)
	if err != nil {
		return err
	}
	response, err := p.engine.transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("the engine answered %d", response.StatusCode)
	}
	connected()
	sweep()
	for dec := json.NewDecoder(response.Body); ; sweep() {
		var event json.RawMessage
		if err := dec.Decode(&event); err != nil {
			return err
		}
	}
}

// witness records what a container uses now although the state does not say so:
// the companion ended between the engine's create and its record.
func (p *Proxy) witness(ctx context.Context) {
	volumes, err := p.engine.exclusive(ctx)
	for _, v := range volumes {
		used, lookErr := p.engine.used(ctx, v.Name)
		if err = errors.Join(err, lookErr); used {
			err = errors.Join(err, p.state.Use(v.Name, v.Labels[keyCreated]))
		}
	}
	if err != nil && ctx.Err() == nil {
		p.log.Error(err, "some volumes may be kept after their last container")
	}
}

// sweep goes through everything that the state knows.
func (p *Proxy) sweep(ctx context.Context) {
	for name, created := range p.state.All() {
		if err := p.retire(ctx, name, created); err != nil && ctx.Err() == nil {
			p.log.Error(err, "a volume is kept for now", "volume", name)
		}
	}
}

// retire removes one volume if it may go, and forgets one that is gone.
func (p *Proxy) retire(ctx context.Context, name, created string) error {
	v, err := p.engine.volume(ctx, name)
	if err != nil {
		return err
	}
	if v == nil || !v.exclusive() || v.Labels[keyCreated] != created {
		return p.state.Forget(name, created)
	}
	used, err := p.engine.used(ctx, name)
	if err != nil || used {
		return err
	}
	err = p.engine.remove(ctx, name)
	if err == nil {
		p.log.Info("removed a volume with its last container", "volume", name)
		return p.state.Forget(name, created)
	}
	var status *statusError
	if errors.As(err, &status) && status.code == http.StatusConflict {
		return nil // a container came between; its removal brings us back
	}
	return err
}
