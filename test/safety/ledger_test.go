package safety

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// name is an object's namespace and name.
type name = types.NamespacedName

// ledger is what the test itself has done, as far as rules need it. For use by
// many goroutines at once. What might be done is written down before it is
// asked for, so that the ledger is never behind.
type ledger struct {
	mu sync.Mutex
	// byHand are the claims that the test created.
	byHand map[types.UID]name
	// deleted are the claims that the test deleted, whoever created them.
	deleted map[types.UID]bool
	// owners are the sandboxes that the test deleted.
	owners map[types.UID]bool
	// asked are claims and owners of pods that asked for a claim that goes with its sandbox.
	asked map[wish]bool
	pods  map[name]*pod
	// switched are the namespaces that were ever enabled, strict those whose
	// annotations ask that nothing is created.
	switched, strict map[string]bool
	// riddles are claims that nobody is known to have deleted, and how often that was found.
	riddles map[types.UID]int
}

// wish is a claim that shall go with an owner.
type wish struct {
	claim name
	owner types.UID
}

// pod is a pod that the test has asked for. Its fields are set before it is.
type pod struct {
	name
	claims []string
	owner  types.UID // its controller's
	// because are words of which a denial for the pod must have one: the faults
	// that were put into its hints, or its controller's.
	because []string
	from    time.Time // since when it is known to be there; zero: it is not
}

func newLedger() *ledger {
	return &ledger{
		byHand: map[types.UID]name{}, deleted: map[types.UID]bool{}, owners: map[types.UID]bool{}, asked: map[wish]bool{},
		pods: map[name]*pod{}, switched: map[string]bool{}, strict: map[string]bool{}, riddles: map[types.UID]int{},
	}
}

// note writes something down.
func (l *ledger) note(what func(*ledger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what(l)
}

// users are the pods that are known to have been there at a time and refer to a claim.
func (l *ledger) users(claim name, at time.Time) (users []name) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.pods {
		if p.Namespace == claim.Namespace && !p.from.IsZero() && p.from.Before(at) && slices.Contains(p.claims, claim.Name) {
			users = append(users, p.name)
		}
	}
	return users
}
