package dockerproxy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
	"github.com/ensure-volumes/ensure-volumes/pkg/jsonscan"
)

// maxBody is how long the body of a create may be, in bytes.
const maxBody = 4 << 20

// create decides on a create, passes on what it makes of it, and completes the
// engine's answer. Bodies and answers are small and read as a whole, so that neither a
// reverse proxy's copies of a request nor its streams are needed.
func (p *Proxy) create(w http.ResponseWriter, r *http.Request, way way, canonical string) {
	plan, body, err := p.decide(w, r, way)
	if err != nil {
		p.notForwarded(w, way, canonical, err)
		return
	}
	answer, err := p.engine.exchanger.exchange(r.Context(), nil, written(r, canonical, body))
	if err != nil {
		p.failed(r.Context(), plan)
		p.unanswered(w, r, err)
		return
	}
	defer answer.Body.Close()
	said, err := io.ReadAll(answer.Body)
	if answer.StatusCode == http.StatusCreated {
		said = p.succeeded(r.Context(), plan, said)
	} else {
		p.failed(r.Context(), plan)
	}
	if err != nil {
		writeError(w, http.StatusBadGateway, brokenOff(answer.StatusCode, err))
		return
	}
	endToEnd(w.Header(), answer.Header)
	w.Header().Set("Content-Length", strconv.Itoa(len(said)))
	w.WriteHeader(answer.StatusCode)
	_, _ = w.Write(said) // a client that is gone needs no answer
}

// brokenOff says what there is of an answer whose head alone has come.
func brokenOff(code int, err error) string {
	if code == http.StatusCreated {
		return fmt.Sprintf("created, but the engine's answer broke off: %v", err)
	}
	return fmt.Sprintf("the engine answered with status %d, but its answer broke off: %v", code, err)
}

// decide reads a create's body, and is the plan for its volumes and the body to pass on.
func (p *Proxy) decide(w http.ResponseWriter, r *http.Request, way way) (*plan, []byte, error) {
	raw, err := readBody(w, r)
	switch {
	case err != nil:
		return nil, nil, err
	case way == createVolume:
		plan := &plan{volumeOnly: true}
		body, err := p.defaultClass(r.Context(), raw, plan)
		return plan, body, err
	}
	b, err := readCreate(raw)
	if err != nil {
		return nil, nil, refuse(http.StatusBadRequest, "the body is not understood: %v", err)
	}
	found, err := p.look(r.Context(), b.names())
	if err != nil {
		return nil, nil, err
	}
	plan, refused := p.config.Load().judge(b, found, r.URL.Query().Get("name"), time.Now())
	if refused != nil {
		return nil, nil, refused
	}
	body, err := b.write(plan.specs)
	if err != nil {
		return nil, nil, err
	}
	p.intend(plan)
	return plan, body, nil
}

// readBody reads all of a create's body.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, refuse(http.StatusRequestEntityTooLarge, "the body is longer than 4 MiB")
	case err != nil:
		return nil, refuse(http.StatusBadRequest, "reading the body: %v", err)
	}
	s := jsonscan.New(body)
	s.Discard()
	if err := s.End(); err != nil {
		return nil, refuse(http.StatusBadRequest, "the body is not JSON: %v", err)
	}
	return body, nil
}

// intend records the volumes that the plan may make to go with their last
// container. Without a record they are kept, and the client is told.
func (p *Proxy) intend(plan *plan) {
	var names []string
	var label string
	for _, name := range plan.exclusive {
		if s := plan.specs[name]; s.Labels[keyDeleteLast] == "true" {
			names, label = append(names, name), s.Labels[keyCreated]
		}
	}
	if len(names) == 0 {
		return
	}
	if err := p.state.Intend(label, names...); err != nil {
		p.log.Error(err, "volumes will be kept", "volumes", names)
		for _, name := range names {
			plan.warnings = append(plan.warnings, willBeKept(name))
		}
	}
}

// willBeKept is the warning where the state could not be written.
func willBeKept(name string) string {
	return claim.Warning("volume ", name, " will be kept: that it goes with its last container could not be recorded")
}

// hops are the fields of a head that are about a connection and not about what is
// sent on it (RFC 9110, 7.6.1, and those that it grew from), and those that say how long
// the body is, or when it may come.
var hops = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Proxy-Connection": true, "Proxy-Authenticate": true, "Proxy-Authorization": true,
	"Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true, "Content-Length": true, "Expect": true,
}

// written is a create as the engine gets it: at the canonical path, with a body of our
// making, and with all fields of the client's head that are not the connection's.
func written(r *http.Request, canonical string, body []byte) []byte {
	target := url.URL{Path: canonical, RawQuery: r.URL.RawQuery}
	host := "engine"
	if r.URL.Host == "" { // else it is of the target, where more may stand than in a head
		host = cmp.Or(r.Host, host)
	}
	header := http.Header{}
	endToEnd(header, r.Header)
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", target.RequestURI(), host, len(body))
	_ = header.Write(&b) // a buffer takes it
	b.WriteString("\r\n")
	b.Write(body)
	return b.Bytes()
}

// endToEnd gives the fields of a head that are not about its connection to another.
func endToEnd(to, from http.Header) {
	to["Content-Type"] = nil // nor is one made up where there is none
	for name, values := range from {
		if !hops[name] {
			to[name] = values
		}
	}
	for _, named := range from["Connection"] {
		for name := range strings.SplitSeq(named, ",") {
			to.Del(strings.TrimSpace(name))
		}
	}
}
