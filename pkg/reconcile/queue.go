package reconcile

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
)

// The pause before something that failed is tried again, from the first to the
// last. Design and README promise that none is longer than 30 s.
const (
	firstRetry = 500 * time.Millisecond
	lastRetry  = 20 * time.Second
)

// queue holds what is to be looked at. Each key is in it once, and looked at by
// one worker at a time.
type queue struct {
	workqueue.TypedRateLimitingInterface[types.NamespacedName]
	lanes *lanes
}

func newQueue() *queue {
	l := &lanes{urgent: map[types.NamespacedName]bool{}, queued: map[types.NamespacedName]*place{}}
	plain := workqueue.NewTypedWithConfig(workqueue.TypedQueueConfig[types.NamespacedName]{Queue: l})
	delaying := workqueue.NewTypedDelayingQueueWithConfig(workqueue.TypedDelayingQueueConfig[types.NamespacedName]{Queue: plain})
	return &queue{
		TypedRateLimitingInterface: workqueue.NewTypedRateLimitingQueueWithConfig(
			workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](firstRetry, lastRetry),
			workqueue.TypedRateLimitingQueueConfig[types.NamespacedName]{DelayingQueue: delaying},
		),
		lanes: l,
	}
}

// hurry adds a key after a pause, before everything that was not hurried, and
// forgets that it failed before.
func (q *queue) hurry(key types.NamespacedName, pause time.Duration) {
	q.lanes.hurry(key)
	q.Forget(key)
	q.AddAfter(key, pause)
}

// lanes is the order of a queue: what is urgent overtakes the rest. All but hurry
// is the queue's to call, which holds its lock meanwhile.
type lanes struct {
	mu     sync.Mutex
	urgent map[types.NamespacedName]bool

	queued     map[types.NamespacedName]*place
	fast, slow []*place // with those that were left for a place in the other lane
}

type place struct {
	key  types.NamespacedName
	fast bool
}

func (l *lanes) hurry(key types.NamespacedName) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.urgent[key] = true
}

// Touch moves what is queued and has become urgent.
func (l *lanes) Touch(key types.NamespacedName) {
	if p := l.queued[key]; p != nil && l.hurried(key) && !p.fast {
		l.place(key, true)
	}
}

// Push adds a key at the end of its lane.
func (l *lanes) Push(key types.NamespacedName) { l.place(key, l.hurried(key)) }

// hurried reports once whether a key was hurried.
func (l *lanes) hurried(key types.NamespacedName) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	urgent := l.urgent[key]
	delete(l.urgent, key)
	return urgent
}

func (l *lanes) place(key types.NamespacedName, fast bool) {
	p := &place{key, fast}
	l.queued[key] = p
	if fast {
		l.fast = append(l.fast, p)
	} else {
		l.slow = append(l.slow, p)
	}
}

// Len is how many keys there are.
func (l *lanes) Len() int { return len(l.queued) }

// Pop takes the next key.
func (l *lanes) Pop() types.NamespacedName {
	for _, lane := range []*[]*place{&l.fast, &l.slow} {
		for len(*lane) > 0 {
			p := (*lane)[0]
			*lane = (*lane)[1:]
			if l.queued[p.key] == p {
				delete(l.queued, p.key)
				return p.key
			}
		}
	}
	return types.NamespacedName{} // never: the queue asks only where Len is not 0
}
