package dockerproxy

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// look finds which of the volumes exist, all at once.
func (p *Proxy) look(ctx context.Context, names []string) (map[string]*volume, error) {
	var problems []string
	for _, name := range names {
		if problem := claim.CheckVolumeName(name); problem != "" {
			problems = append(problems, problem)
		}
	}
	if len(names) > claim.MaxClaims {
		return nil, refuse(http.StatusBadRequest, "the container has %d different volumes, at most %d are ensured", len(names), claim.MaxClaims)
	}
	if len(problems) > 0 {
		return nil, refuse(http.StatusBadRequest, "%s", strings.Join(problems, "; "))
	}
	volumes, errs := make([]*volume, len(names)), make([]error, len(names))
	var wg sync.WaitGroup
	one := func(i int) { volumes[i], errs[i] = p.engine.volume(ctx, names[i]) }
	for i := 1; i < len(names); i++ {
		wg.Go(func() { one(i) })
	}
	if len(names) > 0 {
		one(0) // nearly always the only one, for which nobody need be woken
	}
	wg.Wait()
	found := make(map[string]*volume, len(names))
	for i, v := range volumes {
		if v != nil {
			v.exclusive = v.marked() && p.state.Knows(v.Name, v.Labels[keyCreated])
			found[names[i]] = v
		}
	}
	return found, errors.Join(errs...)
}

// defaultClass is the body with the default class's driver and options and our
// labels, where it has neither driver nor options. What it wrote stands in plan.
func (p *Proxy) defaultClass(ctx context.Context, raw []byte, plan *plan) ([]byte, error) {
	o, err := readObject(raw, "Name", "Driver", "DriverOpts", "Labels")
	var name, driver string
	var options, labels map[string]string
	if err == nil {
		err = errors.Join(decode(o, "Name", &name), decode(o, "Driver", &driver), decode(o, "DriverOpts", &options), decode(o, "Labels", &labels))
	}
	if err == nil {
		_, err = readObject(o.value("Labels"))
	}
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the body is not understood: %v", err)
	}
	c := p.config.Load()
	if !c.AutoCreate || driver != "" || len(options) > 0 {
		return raw, nil
	}
	var found map[string]*volume
	if name != "" { // otherwise the engine makes one up
		if found, err = p.look(ctx, []string{name}); err != nil {
			return nil, err
		}
	}
	want := claim.Resolve(name, c.DefaultStorage)
	class, className, problem := c.class(want)
	if problem != "" {
		return nil, refuse(http.StatusBadRequest, "defaultClass: %s", problem)
	}
	if v := found[name]; v != nil && v.Driver != class.Driver {
		return raw, nil // the engine answers with the volume as it is; another driver would be a conflict
	}
	labels = withLabels(labels, c.labels(class, className, want, "", time.Now()))
	plan.label = labels[keyCreated]
	for _, m := range []struct {
		key   string
		value any
	}{{"Driver", class.Driver}, {"DriverOpts", class.options(want.Storage.Value)}, {"Labels", labels}} {
		if o, err = o.set(m.key, m.value); err != nil {
			return nil, err
		}
	}
	return o.raw, nil
}
