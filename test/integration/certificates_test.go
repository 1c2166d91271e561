package integration

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// healed is the longest that pods may be refused after certificates were lost.
const healed = 15 * time.Second

// Two webhooks, started at the same time with nothing there, get certificates
// that the API server believes, and go on being believed whatever happens to
// the authority, its Secret and the caBundle.
func TestBuiltinCertificates(t *testing.T) {
	b := world.builtin(t)
	began := time.Now()
	b.start(t)
	t.Logf("both are ready %s after their start", time.Since(began).Round(time.Millisecond))
	if err := b.admits(t.Context()); err != nil {
		t.Fatalf("both are ready, but: %v", err)
	}
	first := b.data(t)
	config := b.config(t.Context(), t)
	for _, webhook := range config.Webhooks {
		if string(webhook.ClientConfig.CABundle) != string(first["ca.crt"]) {
			t.Errorf("webhook %s has the caBundle\n%s\nand the Secret\n%s", webhook.Name, webhook.ClientConfig.CABundle, first["ca.crt"])
		}
	}

	t.Run("rotations lose nothing", func(t *testing.T) {
		l := b.load(t)
		waitFor(t, 90*time.Second, "two rollovers of the authority", func(context.Context) error {
			if leaves, signers := l.seen(); signers < 3 || leaves < 10 {
				return fmt.Errorf("%d authorities and %d leaves were met", signers, leaves)
			}
			return nil
		})
		l.end()
		leaves, signers := l.seen()
		t.Logf("%d pods, %d handshakes, %d leaves of %d authorities", l.pods.Load(), l.handshakes.Load(), leaves, signers)
	})

	t.Run("a Secret that is lost or spoiled loses nothing", func(t *testing.T) {
		l := b.load(t)
		for _, spoil := range []struct {
			name string
			do   func()
		}{
			{"deleted", func() { b.deleteSecret(t) }},
			{"emptied", func() { b.setData(t, nil) }},
			{"key corrupted", func() {
				data := maps.Clone(b.data(t))
				data["ca.key"] = []byte("-----BEGIN NONSENSE-----")
				b.setData(t, data)
			}},
			{"expired", func() { b.setData(t, first) }},
		} {
			uid, err := b.uid(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			spoil.do()
			began := time.Now()
			waitFor(t, healed, "the Secret is mended after it was "+spoil.name, func(ctx context.Context) error { return b.mended(ctx, t, spoil.name, uid) })
			t.Logf("%s: mended after %s", spoil.name, time.Since(began).Round(time.Millisecond))
			time.Sleep(2 * time.Second) // the leaves of the new authority come after the settling time
		}
		l.end()
		leaves, signers := l.seen()
		t.Logf("%d pods, %d handshakes, %d leaves of %d authorities", l.pods.Load(), l.handshakes.Load(), leaves, signers)
	})

	for _, spoil := range []struct {
		name string
		do   func(*testing.T)
	}{
		{"caBundle wiped", func(t *testing.T) { b.setBundle(t, "") }},
		{"caBundle of another authority", func(t *testing.T) { b.setBundle(t, string(first["ca.crt"])) }},
		{"caBundle wiped and Secret deleted", func(t *testing.T) { b.setBundle(t, ""); b.deleteSecret(t) }},
		{"killed, Secret expired, caBundle as old, started", func(t *testing.T) {
			b.kill()
			b.setData(t, first)
			b.setBundle(t, string(first["ca.crt"]))
			b.start(t)
		}},
		{"killed, started once the authority has expired", func(t *testing.T) {
			b.kill()
			time.Sleep(caLife)
			b.start(t)
		}},
		{"one killed and started", func(t *testing.T) {
			b.processes[1].Kill()
			b.processes[1] = nil
			process, err := b.in[1].Start(t.Context(), b.flags()...)
			if err != nil {
				t.Fatal(err)
			}
			b.processes[1] = process
		}},
	} {
		t.Run(spoil.name, func(t *testing.T) {
			spoil.do(t)
			b.wantHealed(t)
		})
	}

	// With these, only a watch can be as fast: the intervals are of 10 s.
	t.Run("the lifetimes of every day", func(t *testing.T) {
		b.kill()
		b.deleteSecret(t)
		b.setBundle(t, "")
		b.lifetimes = nil
		b.start(t)
		for range 2 {
			b.setBundle(t, "")
			began := time.Now()
			wait(t, "the caBundle is written again", func(ctx context.Context) error {
				if len(b.config(ctx, t).Webhooks[1].ClientConfig.CABundle) == 0 {
					return errors.New("it is empty")
				}
				return nil
			})
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the caBundle was written again after %s", took)
			}
			uid, err := b.uid(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			b.deleteSecret(t)
			began = time.Now()
			wait(t, "the Secret is there again", func(ctx context.Context) error { return b.mended(ctx, t, "deleted", uid) })
			if took := time.Since(began); took > 5*time.Second {
				t.Errorf("the Secret was there again after %s", took)
			}
		}
		b.wantHealed(t)
		for _, process := range b.processes {
			log, err := os.ReadFile(process.LogPath)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(string(log), "watching what the certificates depend on") {
				t.Errorf("a watch failed:\n%s", log)
			}
		}
	})
}

// What keeps one replica from removing what another has published: a patch at a
// version that is over is a conflict, and is not applied.
func TestAPatchAtAnOldVersionIsRefused(t *testing.T) {
	t.Parallel()
	url, effects := "https://127.0.0.1:1/", admissionv1.SideEffectClassNone
	config := &admissionv1.MutatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Webhooks: []admissionv1.MutatingWebhook{
			{Name: "a.certificates.test", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, SideEffects: &effects, AdmissionReviewVersions: []string{"v1"}},
			{Name: "b.certificates.test", ClientConfig: admissionv1.WebhookClientConfig{URL: &url}, SideEffects: &effects, AdmissionReviewVersions: []string{"v1"}},
		},
	}
	world.create(t, config)
	patch := func(version string) error {
		text := fmt.Sprintf(`{"metadata":{"resourceVersion":%q},"webhooks":[{"name":"b.certificates.test","clientConfig":{"caBundle":"eA=="}}]}`, version)
		return world.admin.Patch(t.Context(), config, client.RawPatch(types.StrategicMergePatchType, []byte(text)))
	}
	old := config.ResourceVersion
	if err := patch(old); err != nil {
		t.Fatal(err)
	}
	if len(config.Webhooks) != 2 || config.Webhooks[0].Name != "a.certificates.test" || *config.Webhooks[1].ClientConfig.URL != url || string(config.Webhooks[1].ClientConfig.CABundle) != "x" {
		t.Errorf("patched to %+v", config.Webhooks)
	}
	if err := patch(old); !apierrors.IsConflict(err) {
		t.Errorf("at an old version: %v", err)
	}
}

// wantHealed creates pods until none is refused any more.
func (b *builtin) wantHealed(t *testing.T) {
	t.Helper()
	began, refused, last := time.Now(), 0, time.Duration(0)
	for admitted := 0; admitted < 50; time.Sleep(20 * time.Millisecond) {
		if err := b.admits(t.Context()); err == nil {
			admitted++
			continue
		} else if last = time.Since(began); last > healed {
			t.Fatalf("after %s: %v", last, err)
		}
		admitted = 0
		refused++
	}
	t.Logf("%d pods were refused, the last after %s", refused, last.Round(time.Millisecond))
}

// mended tells whether the Secret holds an authority again.
func (b *builtin) mended(ctx context.Context, t *testing.T, how string, before types.UID) error {
	uid, err := b.uid(ctx)
	if err != nil {
		return err
	}
	if how == "deleted" && uid == before {
		return errors.New("the old one is still there")
	}
	data := b.data(t)
	if len(data["ca.key"]) < 100 || len(data["previous.crt"]) == 0 {
		return fmt.Errorf("it holds %d keys", len(data))
	}
	return nil
}
