package config_test

import (
	"encoding/json"
	"reflect"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"
)

func metadata(t *testing.T, doc string) *metav1.PartialObjectMetadata {
	t.Helper()
	var object metav1.PartialObjectMetadata
	data, err := yaml.ToJSON([]byte(doc))
	if err == nil {
		err = json.Unmarshal(data, &object)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &object
}

// certManager is what the tests here read of an Issuer or a Certificate.
type certManager struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Spec     struct {
		SecretName string
		DNSNames   []string
		IsCA       bool
		Usages     []string
		PrivateKey struct{ RotationPolicy string }
		IssuerRef  struct{ Kind, Name string }
		CA         *struct{ SecretName string }
		SelfSigned *struct{}
	}
}

// The chain from the authority to the certificate that the Deployment mounts, for the name that the API server asks for.
func TestCertManager(t *testing.T) {
	objects, others := decode(t, render(t, withCertManager))
	byName := map[string]certManager{}
	for _, doc := range others {
		var o certManager
		data, err := yaml.ToJSON([]byte(doc))
		if err == nil {
			err = json.Unmarshal(data, &o)
		}
		if err != nil {
			t.Fatal(err)
		}
		byName[o.Kind+"/"+o.Metadata.Name] = o
	}
	selfSigned, ca := byName["Issuer/ensure-volumes-selfsigned"], byName["Certificate/ensure-volumes-ca"]
	issuer, serving := byName["Issuer/ensure-volumes-ca"], byName["Certificate/ensure-volumes-tls"]

	if selfSigned.Spec.SelfSigned == nil || !ca.Spec.IsCA || ca.Spec.IssuerRef.Name != selfSigned.Metadata.Name {
		t.Errorf("authority: %+v %+v", selfSigned, ca)
	}
	if ca.Spec.PrivateKey.RotationPolicy != "Never" {
		t.Error("an authority with a new key breaks every call until the replicas' volumes follow")
	}
	if issuer.Spec.CA == nil || issuer.Spec.CA.SecretName != ca.Spec.SecretName || serving.Spec.IssuerRef.Name != issuer.Metadata.Name {
		t.Errorf("issuer: %+v %+v", issuer, serving)
	}
	service := the[*corev1.Service](t, objects)
	if want := []string{service.Name + "." + service.Namespace + ".svc"}; !reflect.DeepEqual(serving.Spec.DNSNames, want) {
		t.Errorf("names %v, want %v", serving.Spec.DNSNames, want)
	}
	if secret := the[*appsv1.Deployment](t, objects).Spec.Template.Spec.Volumes[0].Secret.SecretName; serving.Spec.SecretName != secret {
		t.Errorf("the certificate goes to %q, the Deployment mounts %q", serving.Spec.SecretName, secret)
	}
	configuration := the[*admissionv1.MutatingWebhookConfiguration](t, objects)
	if got, want := configuration.Annotations["cert-manager.io/inject-ca-from"], serving.Metadata.Namespace+"/"+serving.Metadata.Name; got != want {
		t.Errorf("caBundle from %q, want %q", got, want)
	}
}

// The component adds its own objects and one annotation, and leaves the rest of the base alone.
func TestCertManagerChangesNothingElse(t *testing.T) {
	objects, _ := decode(t, render(t, withCertManager))
	the[*admissionv1.MutatingWebhookConfiguration](t, objects).Annotations = nil
	if !reflect.DeepEqual(objects, installed(t)) {
		t.Error("the component changes more of the base than the annotation")
	}
}
