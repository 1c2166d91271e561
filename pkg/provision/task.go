package provision

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

// task is one request on its way through Ensure.
type task struct {
	*Ensurer
	req   Request
	names []string

	pod, namespace claim.Hints
	controller     *controller // nil until it was read

	records []*Record // of req.Claims, nil where there is none
	wants   []claim.Want
	waits   []string // what a claim will wait for once it is created; "" where for nothing; nil where none is missing
	classes *classes // nil until they were read

	warnings []string
	drift    []string // those of the warnings that are about it
	created  []string
}

func newTask(e *Ensurer, req Request, namespaceAnnotations map[string]string) *task {
	t := &task{Ensurer: e, req: req, names: make([]string, len(req.Claims)), records: make([]*Record, len(req.Claims))}
	for i, u := range req.Claims {
		t.names[i] = u.Name
		t.records[i] = e.Claims.Get(req.Namespace, u.Name)
	}
	if e.AutoCreate {
		t.pod = claim.Read(claim.Object{Kind: claim.Pod, Annotations: req.Annotations, Labels: req.Labels}, t.names)
		t.namespace = claim.Read(claim.Object{Kind: claim.Namespace, Name: req.Namespace, Annotations: namespaceAnnotations}, t.names)
	}
	return t
}

// run judges on what the caches know; where that would end in a denial it looks
// live and judges again. Then it creates what is missing.
func (t *task) run(ctx context.Context) error {
	err := t.judge(ctx)
	if _, denied := errors.AsType[*Denial](err); denied {
		if err := t.look(ctx); err != nil {
			return err
		}
		err = t.judge(ctx)
	}
	if err != nil || !t.missing() {
		return err
	}
	return t.create(ctx)
}

func (t *task) missing() bool { return slices.Contains(t.records, nil) }

// podOwner is the UID that exclusive claims are compared with.
func (t *task) podOwner() types.UID {
	if t.req.Controller == nil {
		return ""
	}
	return t.req.Controller.UID
}

// judge decides on the records there are: the denial, the trouble, or nil, and
// the warnings. Where a claim is missing it reads the controller first.
func (t *task) judge(ctx context.Context) error {
	if t.missing() && t.controller == nil {
		// Without it nothing can be judged: what it says outranks the Namespace.
		if err := t.readController(ctx); err != nil {
			return err
		}
	}
	if t.missing() && t.req.Waiting && t.controller.gone {
		return t.abandoned()
	}
	t.resolve()

	causes, err := t.causes(ctx)
	if len(causes) > 0 {
		return invalid(causes)
	}
	if err != nil {
		return err
	}
	for _, r := range t.records {
		if r == nil {
			continue
		}
		if d := r.refuse(t.podOwner()); d != nil {
			return d
		}
	}
	return nil
}

// abandoned is the denial for a pod that waits and whose controller is gone.
func (t *task) abandoned() *Denial {
	return deny(http.StatusConflict, metav1.StatusReasonConflict, claim.Printable(t.req.Controller.Kind, 63)+" "+
		claim.Quote(t.req.Controller.Name, 253)+" (uid "+claim.Printable(string(t.req.Controller.UID), 64)+
		"), the pod's controller, is gone or being deleted: the pod is about to be deleted and gets no claim; create the pod anew where it is still wanted")
}

// resolve puts the hints together and begins the warnings anew.
func (t *task) resolve() {
	layers := []*claim.Hints{&t.pod, &t.namespace}
	t.warnings, t.drift = slices.Clone(t.pod.Warnings), nil
	if t.controller != nil {
		layers = []*claim.Hints{&t.pod, &t.controller.hints, &t.namespace}
		t.warnings = append(t.warnings, t.controller.hints.Warnings...)
		t.warnings = append(t.warnings, t.controller.warnings...)
	}
	t.warnings = append(t.warnings, t.namespace.Warnings...)
	t.wants = make([]claim.Want, len(t.names))
	if t.missing() {
		t.waits = make([]string, len(t.names))
	}
	for i, name := range t.names {
		t.wants[i] = claim.Resolve(name, t.DefaultStorage, layers...)
	}
}

// causes are all that refuses the creation of a missing claim. Where a fault
// does, every fault of the pod is among them; where none does, the faults of the
// claims that exist become warnings, as their drift always does.
func (t *task) causes(ctx context.Context) (causes []metav1.StatusCause, err error) {
	var faults []claim.Fault // each once, though it may concern several claims
	told := map[[2]string]bool{}
	refused := false
	for i, w := range t.wants {
		refused = refused || t.records[i] == nil && len(w.Faults) > 0
		for _, f := range w.Faults {
			if key := [2]string{f.Path, f.Text}; !told[key] {
				told[key] = true
				faults = append(faults, f)
			}
		}
	}
	if refused {
		for _, f := range faults {
			causes = append(causes, cause(f.Path, f.Text))
		}
	} else {
		for _, f := range faults {
			t.warnings = append(t.warnings, f.Text+" ("+f.Path+")") // what is cut is the path's end
		}
	}
	for i, w := range t.wants {
		if r := t.records[i]; r != nil {
			t.drifts(r, w)
			continue
		}
		c, warning, cerr := t.missingCause(ctx, t.req.Claims[i], w)
		t.waits[i] = warning
		if c != nil && !slices.Contains(causes, *c) {
			causes = append(causes, *c)
		}
		err = errors.Join(err, cerr)
	}
	return causes, err
}

// drifts warns where a claim that exists does not satisfy its hints.
func (t *task) drifts(r *Record, w claim.Want) {
	drift := r.drift(w)
	t.drift = append(t.drift, drift...)
	t.warnings = append(t.warnings, drift...)
}

// missingCause is what refuses the creation of a missing claim but for its
// faults: its name, createIfNotExists or its class; or else what it will wait for.
func (t *task) missingCause(ctx context.Context, u Use, w claim.Want) (refused *metav1.StatusCause, warning string, err error) {
	if problem := claim.CheckName(u.Name); problem != "" {
		c := cause(u.Path, problem)
		return &c, "", nil
	}
	if !w.CreateIfNotExists.Value {
		c := cause(u.Path, "claim "+claim.Quote(u.Name, 253)+" does not exist and createIfNotExists is false ("+
			w.CreateIfNotExists.From.String()+"); create the claim first")
		return &c, "", nil
	}
	if len(w.Faults) > 0 {
		return nil, "", nil
	}
	return t.checkClass(ctx, w)
}

// look reads the pod's claims from the API server, all at once.
func (t *task) look(ctx context.Context) error {
	errs := make([]error, len(t.names))
	t.each(func(i int) { t.records[i], errs[i] = t.get(ctx, t.names[i]) })
	return t.worst(errs)
}

// each does something for every claim, for all at once. A panic comes back to
// the caller, who can answer for it.
func (t *task) each(do func(i int)) {
	var wg sync.WaitGroup
	panics := make(chan any, len(t.names))
	for i := range t.names {
		wg.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					panics <- p
				}
			}()
			do(i)
		})
	}
	wg.Wait()
	select {
	case p := <-panics:
		panic(p)
	default:
	}
}

// get reads one claim from the API server: nil where there is none.
func (t *task) get(ctx context.Context, name string) (*Record, error) {
	if claim.CheckName(name) != "" {
		return nil, nil // no claim can have that name, nor can a request for it be made
	}
	pvc := &corev1.PersistentVolumeClaim{}
	err := t.Live.Get(ctx, client.ObjectKey{Namespace: t.req.Namespace, Name: name}, pvc)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, t.refusal(ctx, err, call{verb: "get", resource: "persistentvolumeclaims", object: "PersistentVolumeClaim " + t.req.Namespace + "/" + name})
	}
	return record(pvc), nil
}
