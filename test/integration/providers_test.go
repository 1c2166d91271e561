package integration

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// alices is what a caller asks for: a claim with its hints beside it, another one mounted twice, and a third with none.
const alices = `
volumes:
- {name: home, pvc: {claimName: alice-home}, mountPath: /home/alice}
- {name: data, pvc: {claimName: shared}, mountPath: /data}
- {name: data-again, pvc: {claimName: shared}, mountPath: /reference, readOnly: true, subPath: reference}
- {name: scratch, pvc: {claimName: scratch}, mountPath: /scratch}
extensions:
  opensandbox.extensions.volumes: >-
    [{"claimName":"alice-home","storage":"5Gi","storageClass":"fast"},{"claimName":"shared","accessModes":["ReadWriteMany"]}]
metadata:
  team: a
  scratch.volumes.opensandbox.io/storage: 3Gi
`

// A caller's request reaches the claims the same way through each provider: as the guide's tables say.
func TestARequestReachesTheClaims(t *testing.T) {
	t.Parallel()
	for name, agentSandbox := range map[string]bool{"BatchSandbox": false, "Sandbox": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			o := world.opensandbox(t, ns, agentSandbox, asGuided)
			if err := o.ask(t, "3f2a", request(t, alices)); err != nil {
				t.Fatal(err)
			}
			world.wantDescribed(t, ns, "alice-home", "5Gi fast [ReadWriteOnce]", "shared", "1Gi standard [ReadWriteMany]", "scratch", "3Gi standard [ReadWriteOnce]")
			if warned := o.made.warned(); len(warned) > 0 {
				t.Errorf("warned %q", warned)
			}
			made, err := world.only(t.Context(), ns)
			if err != nil {
				t.Fatal(err)
			}
			wantName, wantOwner, onPod := "3f2a-0", "BatchSandbox sandbox.opensandbox.io/v1alpha1 3f2a", true
			if agentSandbox {
				wantName, wantOwner, onPod = "sandbox-3f2a", "Sandbox agents.x-k8s.io/v1beta1 sandbox-3f2a", false
			}
			ref := made.OwnerReferences[0]
			if got := ref.Kind + " " + ref.APIVersion + " " + ref.Name; made.Name != wantName || got != wantOwner {
				t.Errorf("pod %s of %s, want %s of %s", made.Name, got, wantName, wantOwner)
			}
			if _, ok := made.Annotations[extensions]; ok != onPod {
				t.Errorf("the hints on the pod: %t, want %t; this is no longer what the provider does", ok, onPod)
			}
			if got := strings.Split(made.Annotations[domain+"/created"], ","); len(got) != 3 {
				t.Errorf("the pod says that %q were created", got)
			}
			if n := len(slices.DeleteFunc(made.Spec.Volumes, func(v corev1.Volume) bool { return v.PersistentVolumeClaim == nil })); n != 3 {
				t.Errorf("the pod has %d volumes with claims", n)
			}
			for _, c := range []string{"alice-home", "shared", "scratch"} {
				if id := world.claim(t, ns, c).Labels["opensandbox.io/id"]; id != "3f2a" {
					t.Errorf("claim %s is of sandbox %q", c, id)
				}
			}
		})
	}
}

const three = `
apiVersion: sandbox.opensandbox.io/v1alpha1
kind: BatchSandbox
metadata: {name: batch}
spec:
  replicas: 3
  template:
    metadata:
      labels: {app: batch}
      annotations: {opensandbox.io/extensions.volumes: '[{"claimName":"shared","storage":"SIZE","accessModes":["RWX"]}]'}
    spec:
      containers:
      - {name: main, image: sandbox, volumeMounts: [{name: rw, mountPath: /rw}, {name: ro, mountPath: /ro}]}
      volumes:
      - {name: rw, persistentVolumeClaim: {claimName: shared}}
      - {name: ro, persistentVolumeClaim: {claimName: shared, readOnly: true}}
`

// A BatchSandbox of three: its pods come one after the other and share the claim that the first one brought about. A refusal ends it
// at that pod, and the next try goes on from there.
func TestABatchOfSandboxes(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	o := world.opensandbox(t, ns, false, asGuided)
	cr := world.apply(t, ns, strings.Replace(three, "SIZE", "4 GB", 1))
	for range 2 {
		err := o.controllers.Once(t.Context(), ns)
		if err == nil || !strings.Contains(err.Error(), `invalid quantity "4 GB"; write it as "4Gi"`) {
			t.Fatalf("a faulty hint: %v", err)
		}
	}
	const refused = "create batch-0 422"
	if got := world.did(t, ns, controllersUser, "pods"); !slices.Equal(got, []string{refused, refused}) {
		t.Errorf("after two refusals the controller has done %q", got)
	}
	world.wantClaims(t, ns)

	template, _, err := unstructured.NestedMap(cr.Object, "spec", "template", "metadata", "annotations")
	if err != nil {
		t.Fatal(err)
	}
	patch := client.MergeFrom(cr.DeepCopy())
	template[extensions] = strings.Replace(template[extensions].(string), "4 GB", "4Gi", 1)
	if err := unstructured.SetNestedMap(cr.Object, template, "spec", "template", "metadata", "annotations"); err != nil {
		t.Fatal(err)
	}
	if err := world.admin.Patch(t.Context(), cr, patch); err != nil {
		t.Fatal(err)
	}
	// A quota on pods stops it at the second: admission has passed us, and the first has its claim.
	quota := world.quota(t, ns, map[string]string{"pods": "1"})
	if err := o.controllers.Once(t.Context(), ns); err == nil || !strings.Contains(err.Error(), "creating Pod "+ns+"/batch-1") {
		t.Errorf("at the second: %v", err)
	}
	if err := world.admin.Delete(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	if err := o.controllers.Once(t.Context(), ns); err != nil {
		t.Error(err)
	}
	want := []string{refused, refused, "create batch-0 201", "create batch-1 403", "create batch-1 201", "create batch-2 201"}
	if got := world.did(t, ns, controllersUser, "pods"); !slices.Equal(got, want) {
		t.Errorf("the controller has done %q, want %q", got, want)
	}
	world.wantDescribed(t, ns, "shared", "4Gi standard [ReadWriteMany]")
	if by := world.claim(t, ns, "shared").Annotations[domain+"/created-for"]; by != "batch-0" {
		t.Errorf("the claim was created for %q", by)
	}
	if n := times(world.calls(t, ns), "create persistentvolumeclaims"); n != 1 {
		t.Errorf("%d claims were created", n)
	}
	if p := world.pod(t, ns, "batch-2"); p.GenerateName != "batch-" {
		t.Errorf("generateName %q", p.GenerateName)
	}
}

// The older version of agent-sandbox names its own version as the owner's. The claim is mounted twice, and is one.
func TestASandboxOfTheOlderVersion(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	o := world.opensandbox(t, ns, true, asGuided)
	cr := world.apply(t, ns, `
apiVersion: agents.x-k8s.io/v1alpha1
kind: Sandbox
metadata: {name: alice, annotations: {volumes.opensandbox.io/storage: 2Gi}}
spec:
  replicas: 1
  podTemplate:
    metadata: {labels: {app: alice}}
    spec:
      containers: [{name: main, image: sandbox}]
      volumes: [{name: rw, persistentVolumeClaim: {claimName: home}}, {name: ro, persistentVolumeClaim: {claimName: home, readOnly: true}}]
`)
	if err := o.controllers.Sandbox(t.Context(), cr); err != nil {
		t.Fatal(err)
	}
	if ref := world.pod(t, ns, "alice").OwnerReferences[0]; ref.APIVersion != sandboxBefore {
		t.Errorf("the pod's owner is at %s", ref.APIVersion)
	}
	world.wantDescribed(t, ns, "home", "2Gi standard [ReadWriteOnce]")
}
