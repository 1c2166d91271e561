package safety

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// judge looks every second whether a rule was broken that holds always.
func (w *world) judge(ctx context.Context, broken func(error)) {
	for ctx.Err() == nil {
		w.audit.read()
		if v := w.violations(); len(v) > 0 {
			broken(errors.Join(v...))
			return
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// violations are the rules that were broken so far.
func (w *world) violations() (broken []error) {
	w.claims.mu.Lock()
	defer w.claims.mu.Unlock()
	w.audit.mu.Lock()
	defer w.audit.mu.Unlock()
	wrong := func(r *request, format string, args ...any) {
		broken = append(broken, fmt.Errorf("%s: %s", r, fmt.Sprintf(format, args...)))
	}
	removed := map[types.UID]bool{} // by the collector or by us, rightly or not
	for _, r := range w.audit.ours {
		if r.ObjectRef.Namespace != "" && r.ObjectRef.Namespace != account[len("system:serviceaccount:"):strings.LastIndex(account, ":")] && !w.ever(r.ObjectRef.Namespace) {
			wrong(r, "the namespace was never enabled")
		}
		switch {
		case r.ObjectRef.Resource == "persistentvolumeclaims" && r.Verb != "create":
			if r.Verb == "delete" {
				removed[r.uid()] = true
			}
			if reason := w.wrongWrite(r); reason != "" {
				wrong(r, "%s", reason)
			}
		case r.ObjectRef.Resource == "persistentvolumeclaims" && r.ObjectRef.Subresource == "",
			r.ObjectRef.Resource == "events" && (r.Verb == "create" || r.Verb == "patch"),
			r.ObjectRef.Resource == "leases", r.ObjectRef.Resource == "selfsubjectaccessreviews":
		default:
			wrong(r, "our account has no business there")
		}
	}
	for _, r := range w.audit.collected {
		removed[r.uid()] = true
		if reason := w.wrongCollection(r); reason != "" {
			wrong(r, "%s", reason)
		}
	}
	for uid, l := range w.claims.lives {
		if reason := w.wrongLife(uid, l, removed[uid]); reason != "" {
			broken = append(broken, fmt.Errorf("claim %s (uid %s): %s", l.name, uid, reason))
		}
	}
	return append(broken, errorsOf(w.claims.err, w.audit.err)...)
}

func errorsOf(errs ...error) []error {
	return slices.DeleteFunc(errs, func(err error) bool { return err == nil })
}

// wrongWrite says what is wrong with our account's change or deletion of a claim that exists.
func (w *world) wrongWrite(r *request) string {
	hand, byHand := w.hand(r.uid())
	l := w.claims.lives[r.uid()]
	switch {
	case r.uid() == "":
		return "it does not say which claim it was"
	case byHand:
		return "we did not create that claim: the test did, " + hand.String()
	case r.Verb == "patch":
		return wrongPatch(r.RequestObject)
	case r.Verb != "delete":
		return "it neither patches nor deletes"
	case l != nil && l.bound:
		return "the claim had been bound"
	case l != nil:
		// Between the product's look and its deletion there is a moment; pods of that moment do not count.
		for _, pod := range w.users(l.name, r.Received.Add(-15*time.Second)) {
			if went, deleted := w.audit.pods[pod]; !deleted || went.After(r.Received) {
				return "pod " + pod.Name + " had referred to it for a while"
			}
		}
	}
	return ""
}

// wrongPatch says what is wrong with a patch of ours: it drops an ownerReference
// of the very version that was looked at, and says so in one annotation.
func wrongPatch(body json.RawMessage) string {
	var operations []struct{ Op, Path string }
	if err := json.Unmarshal(body, &operations); err != nil {
		return "the patch cannot be read: " + err.Error()
	}
	got := map[string]bool{}
	for _, o := range operations {
		got[o.Op+" "+o.Path] = true
	}
	want := map[string]bool{
		"test /metadata/uid": true, "test /metadata/resourceVersion": true, "replace /metadata/ownerReferences": true,
		"replace /metadata/annotations/" + domain + "~1delete-with-owner": true,
	}
	if !maps.Equal(got, want) {
		return fmt.Sprintf("the patch is %s", body)
	}
	return ""
}

// wrongCollection says what is wrong with a claim's deletion by the garbage collector.
func (w *world) wrongCollection(r *request) string {
	hand, byHand := w.hand(r.uid())
	l := w.claims.lives[r.uid()]
	switch {
	case byHand:
		return "the claim was not created by us and belongs to nobody: the test created it, " + hand.String()
	case l == nil:
		return "" // the watch is a moment behind
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for owner := range l.owners {
		if w.owners[owner] && w.asked[wish{l.name, owner}] {
			return ""
		}
	}
	return fmt.Sprintf("it went with its owners %v, of which none was deleted for which that was asked", slices.Collect(maps.Keys(l.owners)))
}

// wrongLife says what is wrong with a claim as a watch has seen it.
func (w *world) wrongLife(uid types.UID, l *life, removed bool) string {
	_, byHand := w.hand(uid)
	w.mu.Lock()
	deleted := w.deleted[uid]
	w.mu.Unlock()
	switch {
	case strings.HasPrefix(l.Name, "dry-"):
		return "it was asked for by a dry run alone"
	case !byHand:
	case !maps.Equal(l.first.Labels, l.last.Labels), marks(l.first.Annotations) != marks(l.last.Annotations), len(l.last.OwnerReferences) > 0:
		return fmt.Sprintf("it was changed, and is not ours: it was %v and is %v", l.first.ObjectMeta, l.last.ObjectMeta)
	}
	if (l.gone || l.last.DeletionTimestamp != nil) && !deleted && !removed {
		return w.unexplained(uid)
	}
	return ""
}

// unexplained says that nobody can have deleted a claim. The audit log is read
// after the watch, so it may be a moment behind: only what stays so counts.
func (w *world) unexplained(uid types.UID) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.riddles[uid]++
	if w.riddles[uid] < 3 {
		return ""
	}
	return "it was deleted, and neither by the test nor in the audit log by us or the garbage collector"
}

// marks are the annotations under our domain, in order.
func marks(annotations map[string]string) string {
	var all []string
	for key, value := range annotations {
		if strings.Contains(key, domain) {
			all = append(all, key+"="+value)
		}
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

func (l *ledger) hand(uid types.UID) (name, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n, ok := l.byHand[uid]
	return n, ok
}

func (l *ledger) ever(namespace string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.switched[namespace]
}
