package authority

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

const (
	manager     = "ensure-volumes"
	passTimeout = 5 * time.Second
	attempts    = 5 // replicas that start at once get in each other's way
)

// errAgain says that another replica was faster: read again.
var errAgain = errors.New("somebody else is changing it at the same time")

// pass looks at the Secret and the configuration once and brings them and the leaf to what they should be.
func (a *Authority) pass(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, passTimeout)
	defer cancel()
	err := errAgain
	for try := 0; try < attempts && errors.Is(err, errAgain); try++ {
		err = a.look(ctx)
	}
	a.judge(err)
	return err
}

func (a *Authority) look(ctx context.Context) error {
	config, err := a.Configurations.Get(ctx, a.Configuration, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		a.live = nil
		return fmt.Errorf("MutatingWebhookConfiguration %s does not exist", a.Configuration)
	}
	if err != nil {
		return fmt.Errorf("reading MutatingWebhookConfiguration %s: %w", a.Configuration, err)
	}
	a.observe(config)
	// After the configuration, never before it: the first rule.
	secret, err := a.Secrets.Get(ctx, a.Secret, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		secret, err = nil, nil
	}
	if err != nil {
		return fmt.Errorf("reading Secret %s: %w", a.Secret, err)
	}
	want, err := a.settleSecret(ctx, secret)
	if errors.Is(err, errAgain) || want.current == nil {
		return err
	}
	failed := errors.Join(err, a.publish(ctx, config, want))
	if errors.Is(failed, errAgain) {
		return failed
	}
	return errors.Join(failed, a.renewLeaf(want))
}

// observe takes in a configuration as it is on the API server.
func (a *Authority) observe(config *admissionv1.MutatingWebhookConfiguration) {
	a.live = readLive(config)
	a.seen = a.seen.after(a.live, a.now())
}

// settleSecret brings the Secret to what it should hold and returns what it then holds. Where it cannot be written, that is
// what was read, as far as it can sign.
func (a *Authority) settleSecret(ctx context.Context, secret *corev1.Secret) (state, error) {
	now := a.now()
	var data map[string][]byte
	if secret != nil {
		data = secret.Data
	}
	stored, legible, fault := decode(data)
	want, why, err := a.plan(stored, legible, fault, view{a.live, a.seen, a.leaf.issuer}, now)
	if err != nil || why == "" {
		return want, err
	}
	if err := a.write(ctx, secret, want); err != nil {
		if !stored.current.usable(a.live.hosts(), now) {
			stored.current = nil
		}
		return stored, err
	}
	a.Log.Info("certificate authority stored", "secret", a.Secret, "why", why,
		"current", want.current.cert.SerialNumber.String(), "rollover", want.next != nil, "previous", len(want.previous))
	return want, nil
}

func (a *Authority) write(ctx context.Context, secret *corev1.Secret, want state) error {
	data, err := want.encode()
	if err != nil {
		return err
	}
	if secret == nil {
		secret = &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: a.Secret, Labels: map[string]string{"app.kubernetes.io/name": manager}},
			Type:       corev1.SecretTypeOpaque, Data: data,
		}
		_, err = a.Secrets.Create(ctx, secret, metav1.CreateOptions{FieldManager: manager})
		if apierrors.IsAlreadyExists(err) {
			err = errAgain
		}
	} else {
		secret.Data = data
		_, err = a.Secrets.Update(ctx, secret, metav1.UpdateOptions{FieldManager: manager})
		if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
			err = errAgain
		}
	}
	if err != nil {
		return fmt.Errorf("writing Secret %s: %w", a.Secret, err)
	}
	return nil
}

// publish brings every caBundle to what the Secret says.
func (a *Authority) publish(ctx context.Context, config *admissionv1.MutatingWebhookConfiguration, want state) error {
	bundle := writeCerts(want.certs())
	if a.live.holds(bundle) {
		return nil
	}
	patch, err := a.live.patch(config.ResourceVersion, bundle)
	if err != nil {
		return fmt.Errorf("writing the caBundle of MutatingWebhookConfiguration %s: %w", a.Configuration, err)
	}
	config, err = a.Configurations.Patch(ctx, a.Configuration, types.StrategicMergePatchType, patch, metav1.PatchOptions{FieldManager: manager})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		err = errAgain
	}
	if err != nil {
		return fmt.Errorf("writing the caBundle of MutatingWebhookConfiguration %s: %w", a.Configuration, err)
	}
	a.observe(config)
	a.Log.Info("caBundle written", "configuration", a.Configuration, "authorities", len(want.certs()))
	return nil
}

// renewLeaf replaces the leaf where there is a better one to be had.
func (a *Authority) renewLeaf(s state) error {
	now, hosts := a.now(), a.live.hosts()
	a.authExpiry.Set(float64(s.current.cert.NotAfter.Unix()))
	by := s.current
	if s.next != nil && !a.live.trusts(by.cert) && a.live.trusts(s.next.cert) {
		by = s.next
	}
	if a.leaf.issuer != nil && a.leaf.issuer.Equal(by.cert) && slices.Equal(a.leaf.hosts, hosts) && a.leaf.fresh(now) {
		return nil
	}
	good := a.leaf.issuer != nil && a.live.refuses(a.leaf.tls.Leaf, now) == nil
	if good && !a.seen.settled(by.cert, now, a.settle) {
		return nil
	}
	next, err := by.sign(hosts, now, a.leafLifetime)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.leaf = next
	a.mu.Unlock()
	a.leafExpiry.Set(float64(next.tls.Leaf.NotAfter.Unix()))
	a.Log.Info("serving certificate signed", "serial", next.tls.Leaf.SerialNumber.String(), "authority", by.cert.SerialNumber.String(),
		"hosts", hosts, "expires", next.tls.Leaf.NotAfter.UTC().Format(time.RFC3339))
	return nil
}

// judge finds out whether API servers accept the leaf. An error of the look matters only where they do not: it is why.
func (a *Authority) judge(err error) {
	refused := errors.New("there is no certificate yet")
	if a.leaf.issuer != nil {
		refused = a.live.refuses(a.leaf.tls.Leaf, a.now())
	}
	if refused != nil && err != nil {
		refused = fmt.Errorf("%w; %w", refused, err)
	}
	a.mu.Lock()
	a.refused = refused
	a.mu.Unlock()
}
