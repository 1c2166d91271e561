package integration

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/ensure-volumes/ensure-volumes/test/standin"
)

// The accounts of OpenSandbox. controllersUser may create pods, and nothing with claims.
const (
	controllersUser = "system:serviceaccount:opensandbox-system:opensandbox-controller"
	serverUser      = "system:serviceaccount:opensandbox-system:opensandbox-server"
	serverRole      = "opensandbox-server-role"
)

// What the server's account may do with claims: as its own installation has it, as the guide changes it, and without the one
// verb that matters.
const (
	asInstalled = "create delete get list patch"
	asGuided    = "get list"
	butCreate   = "delete get list patch"
)

// opensandbox is an OpenSandbox of one test: its server, its controllers, and what warnings these were given.
type opensandbox struct {
	*standin.Server
	controllers standin.Controllers
	made        *person // the controllers
	user        string  // the server's
	logged      []string
}

// opensandbox installs one that acts as its own installation's accounts do, but that the server may do with claims what is said.
func (g *ground) opensandbox(t *testing.T, ns string, agentSandbox bool, may string) *opensandbox {
	t.Helper()
	g.kinds(t)
	if may == asInstalled {
		return g.opensandboxOf(t, ns, agentSandbox, serverUser)
	}
	return g.opensandboxOf(t, ns, agentSandbox, g.limited(t, may))
}

func (g *ground) opensandboxOf(t *testing.T, ns string, agentSandbox bool, user string) *opensandbox {
	t.Helper()
	o := &opensandbox{made: g.as(t, controllersUser), user: user}
	o.controllers.Client = o.made
	o.Server = &standin.Server{
		Client: g.as(t, o.user), Namespace: ns, AgentSandbox: agentSandbox, Timeout: 5 * time.Second,
		Log: func(text string) { o.logged = append(o.logged, text) },
	}
	return o
}

// limited is a user of this test with the server's role, but for what it may do with claims.
func (g *ground) limited(t *testing.T, may string) string {
	t.Helper()
	g.kinds(t) // and the server's role with them
	user := "server-" + strings.ToLower(strings.ReplaceAll(t.Name(), "/", "-"))
	made := &rbacv1.ClusterRole{Rules: g.serverRules(t, may)}
	made.Name = user
	g.create(t, made)
	bound := &rbacv1.ClusterRoleBinding{
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: user},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: "User", Name: user}},
	}
	bound.Name = user
	g.create(t, bound)
	g.knownToBeLimited(t, user, may)
	return user
}

// limit changes what a user that limited has made may do with claims.
func (g *ground) limit(t *testing.T, user, may string) {
	t.Helper()
	role := &rbacv1.ClusterRole{}
	role.Name = user
	patch := client.MergeFrom(role.DeepCopy())
	role.Rules = g.serverRules(t, may)
	if err := g.admin.Patch(t.Context(), role, patch); err != nil {
		t.Fatal(err)
	}
	g.knownToBeLimited(t, user, may)
}

// serverRules are the rules of the server's role, with what may be done with claims replaced.
func (g *ground) serverRules(t *testing.T, may string) []rbacv1.PolicyRule {
	t.Helper()
	role := &rbacv1.ClusterRole{}
	if err := g.admin.Get(t.Context(), client.ObjectKey{Name: serverRole}, role); err != nil {
		t.Fatal(err)
	}
	for i, rule := range role.Rules {
		if slices.Equal(rule.Resources, []string{"persistentvolumeclaims"}) {
			if got := strings.Join(rule.Verbs, " "); got != asInstalled {
				t.Fatalf("as installed the server may %s claims, not %s", got, asInstalled)
			}
			role.Rules[i].Verbs = strings.Fields(may)
			return role.Rules
		}
	}
	t.Fatalf("no rule of %s is about claims alone", serverRole)
	return nil
}

// knownToBeLimited returns once the API server has heard what a user may do with claims.
func (g *ground) knownToBeLimited(t *testing.T, user, may string) {
	t.Helper()
	for _, verb := range strings.Fields(asInstalled) {
		ask := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User:               user,
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: "default", Verb: verb, Resource: "persistentvolumeclaims"},
		}}
		want := slices.Contains(strings.Fields(may), verb)
		wait(t, "it is known who may "+verb+" claims", func(ctx context.Context) error {
			asked := ask.DeepCopy()
			if err := g.admin.Create(ctx, asked); err != nil {
				return err
			}
			if asked.Status.Allowed != want {
				return fmt.Errorf("%s may %s them: %t", user, verb, asked.Status.Allowed)
			}
			return nil
		})
	}
}

// ask sends a request to the server, with the controllers at work meanwhile.
func (o *opensandbox) ask(t *testing.T, id string, r *standin.Request) error {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		o.controllers.Run(ctx, o.Namespace, 100*time.Millisecond)
	}()
	_, err := o.Create(t.Context(), id, r)
	stop()
	<-ended
	return err
}

// request is a caller's, in YAML for the eye: JSON is part of it.
func request(t *testing.T, text string) *standin.Request {
	t.Helper()
	r := &standin.Request{Image: standin.Image{URI: "python:3.11"}, Entrypoint: []string{"python"}, ResourceLimits: map[string]string{"cpu": "500m"}}
	if err := yaml.UnmarshalStrict([]byte(text), r); err != nil {
		t.Fatal(err)
	}
	return r
}

// apply creates a custom resource of a manifest.
func (g *ground) apply(t *testing.T, ns, manifest string) *unstructured.Unstructured {
	t.Helper()
	g.kinds(t)
	cr := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &cr.Object); err != nil {
		t.Fatal(err)
	}
	cr.SetNamespace(ns)
	if err := g.admin.Create(t.Context(), cr); err != nil {
		t.Fatal(err)
	}
	return cr
}

// wantDescribed holds that a namespace has exactly these claims, each as describe tells of it: pairs.
func (g *ground) wantDescribed(t *testing.T, ns string, pairs ...string) {
	t.Helper()
	var names []string
	for pair := range slices.Chunk(pairs, 2) {
		names = append(names, pair[0])
		if got := g.describe(t.Context(), ns, pair[0]); got != pair[1] {
			t.Errorf("claim %s: %s, want %s", pair[0], got, pair[1])
		}
	}
	g.wantClaims(t, ns, names...)
}

// did are the requests of a user about pods or claims in a namespace that would change something, each as verb, name and code:
// "create home 201".
func (g *ground) did(t *testing.T, ns, user, resource string) []string {
	t.Helper()
	var all []string
	for _, e := range g.events(t, ns) {
		if e.who() == user && e.ObjectRef.Namespace == ns && e.ObjectRef.Resource == resource {
			all = append(all, strings.Join(strings.Fields(fmt.Sprint(e.Verb, " ", e.ObjectRef.Name, " ", e.ResponseStatus.Code)), " "))
		}
	}
	return all
}

// told are the messages of a namespace's events about an object.
func (g *ground) told(t *testing.T, ns, kind, name string) []string {
	t.Helper()
	var list corev1.EventList
	if err := g.admin.List(t.Context(), &list, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range list.Items {
		if e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name {
			all = append(all, e.Message)
		}
	}
	return all
}
