package integration

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/ensure-volumes/ensure-volumes/test/process"
	"github.com/ensure-volumes/ensure-volumes/test/stack"
)

const (
	caSecret = "ensure-volumes-ca"
	caLife   = 18 * time.Second
	leafLife = 6 * time.Second
	settling = leafLife / 10
)

// builtin is two webhooks with built-in certificates, both of which the API
// server calls for each pod of one namespace, failing closed. The certificates
// live for seconds.
type builtin struct {
	ns        string // also the configuration's name
	lifetimes []string
	in        [2]*stack.Installation
	processes [2]*process.Process
}

// builtin installs what two such webhooks need, and what they may do: for the
// certificates nothing but what is listed here.
func (g *ground) builtin(t *testing.T) *builtin {
	t.Helper()
	b := &builtin{ns: g.quiet(t), lifetimes: []string{"--ca-lifetime=" + caLife.String(), "--leaf-lifetime=" + leafLife.String()}}
	g.create(t, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "webhook"}})
	subjects := []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: b.ns, Name: "webhook"}}
	role := func(kind, name string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: kind, Name: name}
	}
	g.create(t, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: b.ns + "-claims"}, RoleRef: role("ClusterRole", stack.Name), Subjects: subjects})
	g.create(t, &rbacv1.Role{
		ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "certificates"},
		Rules: []rbacv1.PolicyRule{
			{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"create"}},
			{APIGroups: []string{""}, Resources: []string{"secrets"}, ResourceNames: []string{caSecret}, Verbs: []string{"get", "watch", "update"}},
		},
	})
	g.create(t, &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: "certificates"}, RoleRef: role("Role", "certificates"), Subjects: subjects})
	g.create(t, &rbacv1.ClusterRole{
		ObjectMeta: metav1.ObjectMeta{Name: b.ns},
		Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"admissionregistration.k8s.io"}, Resources: []string{"mutatingwebhookconfigurations"},
			ResourceNames: []string{b.ns}, Verbs: []string{"get", "watch", "patch"},
		}},
	})
	g.create(t, &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: b.ns}, RoleRef: role("ClusterRole", b.ns), Subjects: subjects})

	config := &admissionv1.MutatingWebhookConfiguration{ObjectMeta: metav1.ObjectMeta{Name: b.ns}}
	for i := range b.in {
		b.in[i] = g.elsewhere(t, b.ns, "webhook")
		b.in[i].CAPool = nil // nobody knows it yet
		url, fail, effects := b.in[i].URL+"/mutate", admissionv1.Fail, admissionv1.SideEffectClassNoneOnDryRun
		config.Webhooks = append(config.Webhooks, admissionv1.MutatingWebhook{
			Name: fmt.Sprintf("w%d.certificates.test", i), ClientConfig: admissionv1.WebhookClientConfig{URL: &url},
			Rules: []admissionv1.RuleWithOperations{{
				Operations: []admissionv1.OperationType{admissionv1.Create},
				Rule:       admissionv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"pods"}},
			}},
			NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: b.ns}},
			FailurePolicy:     &fail, SideEffects: &effects, AdmissionReviewVersions: []string{"v1"},
		})
	}
	g.create(t, config)
	t.Cleanup(b.kill)
	return b
}

// start starts both at once and returns when both are ready.
func (b *builtin) start(t *testing.T) {
	t.Helper()
	var starts sync.WaitGroup
	for i, in := range b.in {
		starts.Go(func() {
			process, err := in.Start(t.Context(), b.flags()...)
			if err != nil {
				t.Error(err)
				return
			}
			b.processes[i] = process
		})
	}
	starts.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

func (b *builtin) flags() []string {
	return append([]string{
		"--certificates=builtin", "--ca-secret=" + b.ns + "/" + caSecret, "--webhook-configuration=" + b.ns,
	}, b.lifetimes...)
}

func (b *builtin) kill() {
	for i, process := range b.processes {
		if process != nil {
			process.Kill()
			b.processes[i] = nil
		}
	}
}

// admits creates a pod as a dry run: an error where the API server does not
// believe one of the webhooks.
func (b *builtin) admits(ctx context.Context) error {
	return world.admin.Create(ctx, pod(b.ns, "pod", "claim"), client.DryRunAll)
}

func (b *builtin) config(ctx context.Context, t *testing.T) *admissionv1.MutatingWebhookConfiguration {
	t.Helper()
	config := &admissionv1.MutatingWebhookConfiguration{}
	if err := world.admin.Get(ctx, client.ObjectKey{Name: b.ns}, config); err != nil {
		t.Fatal(err)
	}
	return config
}

// setBundle writes the caBundle of every entry.
func (b *builtin) setBundle(t *testing.T, bundle string) {
	t.Helper()
	wait(t, "the caBundle can be written", func(ctx context.Context) error {
		config := b.config(ctx, t)
		for i := range config.Webhooks {
			config.Webhooks[i].ClientConfig.CABundle = []byte(bundle)
		}
		return world.admin.Update(ctx, config)
	})
}

// data is the Secret's.
func (b *builtin) data(t *testing.T) map[string][]byte {
	t.Helper()
	secret := &corev1.Secret{}
	if err := world.admin.Get(t.Context(), client.ObjectKey{Namespace: b.ns, Name: caSecret}, secret); err != nil {
		t.Fatal(err)
	}
	return secret.Data
}

// setData replaces all that the Secret holds.
func (b *builtin) setData(t *testing.T, data map[string][]byte) {
	t.Helper()
	wait(t, "the Secret can be written", func(ctx context.Context) error {
		secret := &corev1.Secret{}
		if err := world.admin.Get(ctx, client.ObjectKey{Namespace: b.ns, Name: caSecret}, secret); err != nil {
			return err
		}
		secret.Data = maps.Clone(data)
		return world.admin.Update(ctx, secret)
	})
}

func (b *builtin) deleteSecret(t *testing.T) {
	t.Helper()
	if err := world.admin.Delete(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: b.ns, Name: caSecret}}); err != nil {
		t.Fatal(err)
	}
}

// uid tells one Secret from the next of its name.
func (b *builtin) uid(ctx context.Context) (types.UID, error) {
	secret := &corev1.Secret{}
	err := world.admin.Get(ctx, client.ObjectKey{Namespace: b.ns, Name: caSecret}, secret)
	return secret.UID, err
}

// load is what goes on while certificates change: pods are created through the
// API server, and handshakes made as API servers would that hear of a caBundle
// at once or late, since the API server at hand keeps its connections open.
type load struct {
	pods, handshakes atomic.Int64

	mu      sync.Mutex
	leaves  map[string]int  // by serial, the process that served it
	signers map[string]bool // by key identifier
	heard   []heardBundle
	stop    context.CancelFunc
	workers sync.WaitGroup
}

type heardBundle struct {
	at    time.Time
	roots *x509.CertPool
}

// load runs until its end, each failure an error of the test.
func (b *builtin) load(t *testing.T) *load {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	l := &load{leaves: map[string]int{}, signers: map[string]bool{}, stop: cancel}
	t.Cleanup(l.end)
	every := func(pause time.Duration, do func()) {
		l.workers.Go(func() {
			for ctx.Err() == nil {
				do()
				time.Sleep(pause)
			}
		})
	}
	hear := func() {
		config := &admissionv1.MutatingWebhookConfiguration{}
		if err := world.admin.Get(context.WithoutCancel(ctx), client.ObjectKey{Name: b.ns}, config); err != nil {
			t.Error(err)
			return
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(config.Webhooks[0].ClientConfig.CABundle)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.heard = append(l.heard, heardBundle{time.Now(), roots})
	}
	hear()
	time.Sleep(settling / 2) // so that those who hear late have heard of this one
	every(20*time.Millisecond, hear)
	for range 2 {
		every(20*time.Millisecond, func() {
			if err := b.admits(context.WithoutCancel(ctx)); err != nil {
				t.Errorf("after %d pods: %v", l.pods.Load(), err)
			}
			l.pods.Add(1)
		})
	}
	for i := range b.in {
		for _, late := range []time.Duration{0, settling / 2} {
			every(30*time.Millisecond, func() { l.handshake(t, b, i, late) })
		}
	}
	return l
}

// end stops the load and waits until it has stopped.
func (l *load) end() {
	l.stop()
	l.workers.Wait()
}

func (l *load) handshake(t *testing.T, b *builtin, i int, late time.Duration) {
	by := time.Now().Add(-late)
	var roots *x509.CertPool
	l.mu.Lock()
	for _, h := range l.heard {
		if !h.at.After(by) {
			roots = h.roots
		}
	}
	l.heard = l.heard[max(0, len(l.heard)-100):]
	l.mu.Unlock()
	conn, err := tls.Dial("tcp", b.in[i].Address, &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12})
	if err != nil {
		t.Errorf("process %d, for an API server that hears of a caBundle after %s: %v", i, late, err)
		return
	}
	leaf := conn.ConnectionState().PeerCertificates[0]
	_ = conn.Close()
	l.handshakes.Add(1)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.leaves[leaf.SerialNumber.String()] = i
	l.signers[string(leaf.AuthorityKeyId)] = true
}

// seen are how many leaves and authorities were met so far.
func (l *load) seen() (leaves, signers int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.leaves), len(l.signers)
}
