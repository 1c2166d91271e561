package mutate_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
)

// world records the calls to the API server and answers some of them itself.
type world struct {
	mu       sync.Mutex
	calls    []string
	refusals []refusal
	skew     time.Duration // by which the API server's clock is ahead
}

// refusal is what the API server answers to a call instead of doing it.
type refusal struct {
	Call    string         `json:"call"`  // as in the log, or its beginning
	Times   int            `json:"times"` // 0: always
	Status  *metav1.Status `json:"status"`
	Error   string         `json:"error"`   // of the network
	Allowed *bool          `json:"allowed"` // of a SelfSubjectAccessReview
	used    int
}

func (w *world) call(ctx context.Context, format string, args ...any) (*refusal, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	call := fmt.Sprintf(format, args...)
	w.calls = append(w.calls, call)
	for i := range w.refusals {
		r := &w.refusals[i]
		if !strings.HasPrefix(call, r.Call) || r.Times > 0 && r.used == r.Times {
			continue
		}
		r.used++
		switch {
		case r.Status != nil:
			return r, &apierrors.StatusError{ErrStatus: *r.Status}
		case r.Error == "hang":
			<-ctx.Done()
			return r, ctx.Err()
		case r.Error != "":
			return r, errors.New(r.Error)
		}
		return r, nil
	}
	return nil, nil
}

// log is every call, sorted: calls for several claims run at once.
func (w *world) log() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	slices.Sort(w.calls)
	var b strings.Builder
	for i, c := range w.calls {
		if i > 0 && c == w.calls[i-1] {
			continue
		}
		b.WriteString(c)
		if i+1 < len(w.calls) && c == w.calls[i+1] {
			b.WriteString(" (repeated)") // how often depends on the time it takes
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func (w *world) funcs() interceptor.Funcs {
	return interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, obj client.Object, opts ...client.GetOption) error {
			if _, err := w.call(ctx, "get %s %s", kindOf(obj), key); err != nil {
				return err
			}
			return c.Get(ctx, key, obj, opts...)
		},
		List: func(ctx context.Context, c client.WithWatch, list client.ObjectList, opts ...client.ListOption) error {
			if _, err := w.call(ctx, "list %s", kindOf(list)); err != nil {
				return err
			}
			return c.List(ctx, list, opts...)
		},
		Create: func(ctx context.Context, c client.WithWatch, obj client.Object, opts ...client.CreateOption) error {
			var o client.CreateOptions
			o.ApplyOptions(opts)
			call := "create " + kindOf(obj) + " " + client.ObjectKeyFromObject(obj).String()
			review, ok := obj.(*authorizationv1.SelfSubjectAccessReview)
			if ok {
				a := review.Spec.ResourceAttributes
				call = fmt.Sprintf("create %s: may I %s %s in %s?", kindOf(obj), a.Verb, a.Resource, a.Namespace)
			}
			if len(o.DryRun) > 0 {
				call += " dryRun=" + strings.Join(o.DryRun, ",")
			}
			r, err := w.call(ctx, "%s", call)
			if err != nil {
				return err
			}
			if ok {
				review.Status.Allowed = r == nil || r.Allowed == nil || *r.Allowed
				return nil
			}
			obj.SetCreationTimestamp(metav1.NewTime(time.Now().Add(w.skew).Truncate(time.Second)))
			return c.Create(ctx, obj, opts...)
		},
	}
}

func kindOf(obj runtime.Object) string {
	if kind := obj.GetObjectKind().GroupVersionKind().Kind; kind != "" {
		return kind
	}
	kinds, _, err := scheme.Scheme.ObjectKinds(obj)
	if err != nil {
		return fmt.Sprintf("%T", obj)
	}
	return kinds[0].Kind
}
