package dockerproxy

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// aftermath is how long a look at what a failed create left behind may take, and
// how long an engine may still work on a create that its client has given up.
const aftermath = 10 * time.Second

// succeeded is the engine's answer to a create that it has done, completed: what is to
// be remembered is remembered before the client knows, and our warnings join the
// engine's.
func (p *Proxy) succeeded(ctx context.Context, plan *plan, said []byte) []byte {
	switch {
	case plan.volumeOnly:
		var v volume
		// The answer shows the labels the volume has. Where the client gave no name, the engine has.
		if err := json.Unmarshal(said, &v); err == nil && v.Labels[keyCreated] != "" && v.Labels[keyCreated] == plan.label {
			p.created(&v)
		}
		return said
	case len(plan.names) == 0:
		p.metrics.create(outcomeUnchanged)
	default:
		p.metrics.create(outcomeEnsured)
	}
	// The container exists: a client that has just gone does not change that.
	ctx = context.WithoutCancel(ctx)
	if len(plan.missing) > 0 {
		go p.count(ctx, plan)
	}
	warnings := slices.Concat(plan.warnings, p.witness(ctx, plan))
	if len(warnings) == 0 {
		return said
	}
	with, err := addWarnings(said, warnings)
	if err != nil {
		p.log.Error(err, "the engine's answer is passed on without warnings")
	}
	return with
}

// buffers are those through which answers pass, kept for the next: a new one for each
// would be most of what the companion allocates.
type buffers struct{ free sync.Pool }

// Get is a buffer of [chunk] bytes, used before or new.
func (b *buffers) Get() []byte {
	if kept, ok := b.free.Get().(*[]byte); ok {
		return *kept
	}
	return make([]byte, chunk)
}

// Put gives a buffer back that nobody refers to any more.
func (b *buffers) Put(buffer []byte) { b.free.Put(&buffer) }

// addWarnings appends to the answer's Warnings; where it cannot, the answer
// comes back as it was.
func addWarnings(body []byte, warnings []string) ([]byte, error) {
	o, err := readObject(body)
	if err != nil {
		return body, err
	}
	var all []string
	if err := decode(o, "Warnings", &all); err != nil {
		return body, err
	}
	list, err := json.Marshal(append(all, warnings...))
	if err != nil {
		return body, err
	}
	return o.with("Warnings", list), nil
}

// count looks which of the missing volumes were made for a container that has just
// been created. Its client does not wait for that, and one that is gone by then does
// not count.
func (p *Proxy) count(ctx context.Context, plan *plan) {
	ctx, cancel := context.WithTimeout(ctx, aftermath)
	defer cancel()
	for _, name := range plan.missing {
		if slices.Contains(plan.exclusive, name) {
			continue // witness counts it
		}
		v, err := p.engine.volume(ctx, name)
		if plan.made(v) {
			p.created(v)
		}
		if err != nil {
			p.log.Error(err, notSeen, "volume", name)
		}
	}
}

// notSeen is logged where the engine does not show a volume that it must have.
const notSeen = "looking at a volume after its container's creation"

// witness records of the volumes of a container that has just been created that it
// uses those that go with their last container, and counts those that are new.
func (p *Proxy) witness(ctx context.Context, plan *plan) (warnings []string) {
	if len(plan.exclusive) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, aftermath)
	defer cancel()
	for _, name := range plan.exclusive {
		v, err := p.engine.volume(ctx, name)
		made := plan.made(v)
		if made {
			p.created(v)
		}
		if err == nil && v.marked() {
			err = p.use(ctx, v)
		}
		if intended := plan.specs[name].Labels[keyCreated]; err == nil && !made {
			err = p.state.Forget(Entry{Name: name, Label: intended}) // it did not come to that
			if slices.Contains(plan.missing, name) && (!v.marked() || !p.state.Knows(name, v.Labels[keyCreated])) {
				warnings = append(warnings, claim.Warning("volume ", name, " was made by somebody else meanwhile: it does not go with its last container"))
			}
		}
		if err != nil {
			p.log.Error(err, notSeen, "volume", name)
			warnings = append(warnings, willBeKept(name))
		}
	}
	return warnings
}

// use records that a container of this engine uses the volume.
func (p *Proxy) use(ctx context.Context, v *volume) error {
	engine, err := p.engine.identity(ctx)
	if err != nil {
		return err
	}
	return p.state.Use(Entry{Name: v.Name, Label: v.Labels[keyCreated], CreatedAt: v.CreatedAt, Engine: engine})
}

func (p *Proxy) created(v *volume) {
	p.metrics.volumeCreated()
	p.log.Info("a volume was created", "volume", v.Name, "driver", v.Driver, "class", v.Labels[keyClass])
}

// failed tells of the volumes that a failed create has left behind. The engine
// makes volumes first and does not take them back; nor do we, since by now
// somebody else may count on them.
func (p *Proxy) failed(ctx context.Context, plan *plan) {
	if plan.volumeOnly {
		return
	}
	p.metrics.create(outcomeFailed)
	if len(plan.exclusive) > 0 {
		// A client that gave up does not stop the engine: there may be a container yet.
		p.lookAgain()
	}
	if len(plan.missing) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), aftermath)
	defer cancel()
	var made []string
	var err error
	for _, name := range plan.missing {
		v, lookErr := p.engine.volume(ctx, name)
		err = errors.Join(err, lookErr)
		if plan.made(v) {
			made = append(made, name)
			p.created(v)
		}
	}
	if len(made) > 0 {
		used, listErr := p.engine.used(ctx)
		err = errors.Join(err, listErr)
		for _, name := range made {
			if len(used[name]) == 0 {
				p.metrics.volumeLeft()
				p.log.Info("a failed create has left a volume", "volume", name)
			}
		}
	}
	if err != nil {
		p.log.Error(err, "a failed create may have left volumes", "volumes", plan.missing)
	}
}

// made reports whether a volume, which may be nil, is the one that this plan wrote.
func (pl *plan) made(v *volume) bool {
	if v == nil {
		return false
	}
	s, ok := pl.specs[v.Name]
	return ok && v.Labels[keyCreated] == s.Labels[keyCreated]
}
