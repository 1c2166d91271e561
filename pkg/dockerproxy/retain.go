package dockerproxy

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/containerd/errdefs"
)

const (
	// retryEvents is how long to wait for an engine that does not answer.
	retryEvents = time.Second
	// retryRemoval is how long to wait where the engine answers but something
	// could not be done, such as a removal that a volume's driver has refused.
	retryRemoval = time.Minute
	// intention is how long a create may take until its volume is there. One that
	// comes later is kept.
	intention = time.Minute
)

// Retain removes the volumes that go with their last container, until ctx ends:
// after removals of containers, and whenever the engine can be reached again,
// for what happened meanwhile. A volume is removed only if it is the very one
// that the state says a container used, carries our labels and has no container
// now; the engine refuses what is in use, also by a create under way.
func (p *Proxy) Retain(ctx context.Context) {
	reachable := true
	for ctx.Err() == nil {
		err := p.follow(ctx, func() {
			if !reachable {
				p.log.Info("the engine answers again")
			}
			reachable = true
		})
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

// follow settles the volumes once it hears the engine's events, and again after
// events, however many came meanwhile. Listening comes first, so that no removal
// falls between. It returns when the engine's events have ended.
func (p *Proxy) follow(ctx context.Context, reached func()) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	p.engine.forgetIdentity()
	messages, errs := p.engine.removals(ctx)
	wake, ended := make(chan struct{}, 1), make(chan error, 1)
	wg.Go(func() {
		var later <-chan time.Time
		for {
			select {
			case <-messages:
			case <-p.unsettled:
				later = time.After(p.aftermath)
				continue
			case <-later:
				later = nil
			case err := <-errs:
				ended <- err
				return
			}
			select {
			case wake <- struct{}{}:
			default: // what is settled next is later than this
			}
		}
	})
	pinged := p.Ping(ctx)
	for {
		var again <-chan time.Time
		err := cmp.Or(pinged, p.settle(ctx))
		if err == nil {
			reached()
		} else {
			pinged = nil // whether it answers, the next removal will show
			again = time.After(retryRemoval)
			if !lost(err) && ctx.Err() == nil { // where it is, the events have ended too
				p.log.Error(err, "some volumes may outlive their last container", "retry", retryRemoval.String())
			}
		}
		select {
		case <-wake:
		case <-again:
		case err := <-ended:
			return err
		}
	}
}

// settle compares what the state knows with the engine: a volume with a
// container is recorded as used, one that was and has none is removed, and one
// that is gone or another is forgotten.
func (p *Proxy) settle(ctx context.Context) error {
	// First, so that what is recorded meanwhile does not count as gone.
	known := p.state.All()
	if len(known) == 0 {
		return nil // most removals are of containers that nothing goes with
	}
	engine, err := p.engine.identity(ctx)
	if err != nil {
		return err
	}
	volumes, err := p.engine.exclusive(ctx)
	if err != nil {
		return err
	}
	used, err := p.engine.used(ctx)
	if err != nil {
		return err
	}
	var errs []error
	strange := 0
	for _, e := range known {
		v := volumes[e.Name]
		switch {
		case v.is(e) && len(used[e.Name]) > 0:
			// The companion may have ended between the engine's create and its record.
			whole, err := e.Used, error(nil)
			if !whole {
				whole, err = p.engine.whole(ctx, used[e.Name])
			}
			switch {
			case whole:
				err = p.use(ctx, v)
			case err == nil:
				p.lookAgain()
			}
			errs = append(errs, err)
		case e.Used && e.Engine != engine:
			strange++ // its containers may be there, where we cannot see them
		case e.Used:
			errs = append(errs, p.retire(ctx, e))
		case time.Since(e.written()) <= intention:
			// The engine may still work on its create, and tells nobody when the
			// companion that has sent it is no more.
			p.lookAgain()
		case !v.is(e):
			errs = append(errs, p.state.Forget(e)) // it never came to that
		}
	}
	if strange > 0 && p.told != engine {
		p.told = engine
		p.log.Info("another engine, or another storage driver, than volumes were used with: these are kept", "volumes", strange, "engine", engine)
	}
	return errors.Join(errs...)
}

// lookAgain lets Retain settle once more after a while, without an event.
func (p *Proxy) lookAgain() {
	select {
	case p.unsettled <- struct{}{}:
	default:
	}
}

// retire removes a volume that has lost its last container, if it is still that one.
func (p *Proxy) retire(ctx context.Context, e Entry) error {
	// Once more: the list may be seconds old by now, and a driver that does not
	// answer has none of its volumes in it.
	v, err := p.engine.volume(ctx, e.Name)
	switch {
	case err != nil:
		return err
	case !v.is(e):
		return p.state.Forget(e)
	case v.Scope == "global":
		p.log.Info("a volume that other engines may use is kept after its last container here", "volume", e.Name, "driver", v.Driver)
		return p.state.Forget(e)
	}
	err = p.engine.remove(ctx, e.Name)
	switch {
	case errdefs.IsConflict(err):
		return nil // a container came between; its removal brings us back
	case err != nil && !errdefs.IsNotFound(err):
		return err
	case err == nil:
		p.metrics.volumeRemoved()
		p.log.Info("removed a volume with its last container", "volume", e.Name)
	}
	return p.state.Forget(e)
}

// is reports whether a volume, which may be nil, is the one of the entry and
// still says that it goes with its last container.
func (v *volume) is(e Entry) bool {
	return v.marked() && v.Labels[keyCreated] == e.Label && (e.CreatedAt == "" || v.CreatedAt == e.CreatedAt)
}

// written is when the entry's volume was written into a create; its label says so.
func (e Entry) written() time.Time {
	t, _ := time.Parse(time.RFC3339Nano, e.Label) // the zero time is long ago
	return t
}
