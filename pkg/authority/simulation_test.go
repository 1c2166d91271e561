//go:build !race

// It is of one goroutine, so that the race detector has nothing to find, and takes six times as long.

package authority

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestNeverRefused lets replicas, clumsy hands and API servers that hear late live together for some months and holds that no
// API server ever meets a certificate that it refuses.
func TestNeverRefused(t *testing.T) {
	for seed := range uint64(3) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			s := &simulation{world: newWorld(t), random: rand.New(rand.NewPCG(seed, 0)), done: map[string]int{}, known: map[string]bool{}, judged: map[string]error{}}
			s.install()
			for range 3 {
				s.start()
			}
			for step := 0; step < 1200 && !t.Failed(); step++ {
				s.step()
			}
			t.Logf("%s of life, %d leaves, %d caBundles; %v",
				s.now().Sub(s.history[0].at).Round(time.Hour), s.leaves, len(s.history), s.done)
			if s.leaves < 60 {
				t.Error("too little happened")
			}
		})
	}
}

type simulation struct {
	*world
	random   *rand.Rand
	replicas []*simulated
	backup   map[string][]byte
	known    map[string]bool // leaves, by serial
	leaves   int
	judged   map[string]error // by caBundle and leaf
	done     map[string]int
}

type simulated struct {
	*Authority
	born time.Time
}

func (s *simulation) start() {
	r := &simulated{s.replica(nil), s.now()}
	s.look(r.Authority) // it is ready only then
	s.replicas = append(s.replicas, r)
}

func (s *simulation) step() {
	s.pass(time.Duration(s.random.Int64N(int64(8 * time.Minute))))
	s.check("as time passes")
	if s.random.IntN(30) == 0 {
		s.mischief()
	}
	for _, i := range s.random.Perm(len(s.replicas)) {
		if s.random.IntN(10) == 0 {
			continue // it is slow, or the network is
		}
		if s.random.IntN(3) == 0 {
			other := s.replicas[(i+1)%len(s.replicas)]
			s.skip = s.random.IntN(4)
			s.first = func() { s.look(other.Authority) }
		}
		s.look(s.replicas[i].Authority)
		s.first = nil
		s.check("after a look")
	}
}

// mischief is what people, backups and nodes do. Those who then look first are not always the same.
func (s *simulation) mischief() {
	deeds := map[string]func(){
		"Secret deleted":    s.deleteSecret,
		"Secret emptied":    func() { s.setData(nil) },
		"key corrupted":     func() { s.corrupt(keyCurrentKey) },
		"next corrupted":    func() { s.corrupt(keyNextCert) },
		"current swapped":   func() { s.swap() },
		"time unreadable":   func() { s.corrupt(keyPreviousUntil) },
		"backup made":       func() { s.backup = maps.Clone(s.data()) },
		"backup restored":   func() { s.setData(s.backup) },
		"caBundle wiped":    func() { s.setBundle(nil) },
		"caBundle garbage":  func() { s.setBundle([]byte("-----BEGIN")) },
		"replica restarted": func() { s.replicas = s.replicas[1:]; s.start() },
	}
	name := slices.Sorted(maps.Keys(deeds))[s.random.IntN(len(deeds))]
	s.done[name]++
	deeds[name]()
}

func (s *simulation) corrupt(key string) {
	data := maps.Clone(s.data())
	if len(data[key]) > 0 {
		data[key] = []byte("x")
		s.setData(data)
	}
}

// swap gives the current certificate the next one's key.
func (s *simulation) swap() {
	if data := maps.Clone(s.data()); len(data[keyNextKey]) > 0 {
		data[keyCurrentKey] = data[keyNextKey]
		s.setData(data)
	}
}

// check asks API servers that have heard of every caBundle at once, and such that hear of it almost the settling time
// later. The caBundles that hands have spoiled are not asked: nobody can serve those.
func (s *simulation) check(when string) {
	s.t.Helper()
	now := s.now()
	for i, r := range s.replicas {
		cert, _ := r.Serving()
		if cert == nil {
			s.t.Errorf("%s, replica %d has no certificate\n%v", when, i, s.done)
			continue
		}
		if id := cert.Leaf.SerialNumber.String(); !s.known[id] {
			s.known[id] = true
			s.leaves++
		}
		for _, lag := range []time.Duration{0, r.settle * 9 / 10} {
			if now.Sub(r.born) < lag {
				continue
			}
			// Verified once for each caBundle. From then on only time can tell: a leaf does not outlive its authority.
			at, heard := s.heard(now.Add(-lag))
			id := fmt.Sprint(at, cert.Leaf.SerialNumber)
			err, judged := s.judged[id]
			if !judged || !now.Before(cert.Leaf.NotAfter) {
				err = heard.refuses(cert.Leaf, now)
				s.judged[id] = err
			}
			if err != nil {
				s.t.Errorf("%s, replica %d, an API server %s late: %v\n%v", when, i, lag, err, s.done)
			}
		}
	}
}

// heard is the last caBundle published by then.
func (s *simulation) heard(by time.Time) (at int, heard live) {
	for at < len(s.history)-1 && !s.history[at+1].at.After(by) {
		at++
	}
	return at, s.history[at].live
}
