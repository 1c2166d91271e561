package dockerproxy

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// answer completes the engine's answer to a container create: what is to be
// remembered is remembered before the client knows, and our warnings join the
// engine's.
func (p *Proxy) answer(response *http.Response) error {
	plan, ok := response.Request.Context().Value(planKey{}).(*plan)
	if !ok || response.StatusCode != http.StatusCreated {
		return nil
	}
	// The container exists: a client that has just gone does not change that.
	warnings := slices.Concat(plan.warnings, p.remember(context.WithoutCancel(response.Request.Context()), plan))
	if len(warnings) == 0 {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return fmt.Errorf("reading the engine's answer: %w", err)
	}
	body, err = addWarnings(body, warnings)
	if err != nil {
		p.log.Error(err, "the engine's answer is passed on without warnings")
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	response.ContentLength = int64(len(body))
	response.TransferEncoding = nil
	response.Header.Set("Content-Length", strconv.Itoa(len(body)))
	return nil
}

// addWarnings appends to the answer's Warnings; where it cannot, the answer
// comes back as it was.
func addWarnings(body []byte, warnings []string) ([]byte, error) {
	o, err := readObject(body)
	if err != nil {
		return body, err
	}
	var all []string
	if err := o.decode("Warnings", &all); err != nil {
		return body, err
	}
	list, err := json.Marshal(append(all, warnings...))
	if err != nil {
		return body, err
	}
	return o.with("Warnings", list), nil
}

// remember records that a container uses the volumes that go with their last one.
func (p *Proxy) remember(ctx context.Context, plan *plan) (warnings []string) {
	for _, name := range plan.exclusive {
		v, err := p.engine.volume(ctx, name)
		if err == nil && v != nil && v.exclusive() {
			err = p.state.Use(name, v.Labels[keyCreated])
		}
		if err != nil {
			p.log.Error(err, "a volume will be kept", "volume", name)
			warnings = append(warnings, claim.Warning("volume ", name, " will be kept: that it is used could not be recorded"))
		}
	}
	return warnings
}
