package integration

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// A Pool's pods are made before anybody asks, so nothing of a caller's is on them: the hints are those of the Pool's template, the
// claim is one for all pods, and nothing goes with a sandbox.
func TestAPool(t *testing.T) {
	t.Parallel()
	ns := world.namespace(t)
	o := world.opensandbox(t, ns, false, asGuided)
	world.apply(t, ns, `
apiVersion: sandbox.opensandbox.io/v1alpha1
kind: Pool
metadata:
  name: warm
  annotations: {volumes.opensandbox.io/storage: 9Gi} # a Pool is no listed owner: this is not read
spec:
  capacitySpec: {poolMin: 1, poolMax: 5, bufferMin: 2, bufferMax: 3}
  template:
    metadata:
      annotations:
        models.volumes.opensandbox.io/storage: 6Gi
        volumes.opensandbox.io/accessModes: RWX
        volumes.opensandbox.io/deleteOnSandboxTermination: "true"
    spec:
      containers: [{name: main, image: sandbox, volumeMounts: [{name: models, mountPath: /models}]}]
      volumes: [{name: models, persistentVolumeClaim: {claimName: models}}]
`)
	if err := o.controllers.Once(t.Context(), ns); err != nil {
		t.Fatal(err)
	}
	var pods corev1.PodList
	if err := world.admin.List(t.Context(), &pods, client.InNamespace(ns)); err != nil {
		t.Fatal(err)
	}
	if len(pods.Items) != 2 || pods.Items[0].GenerateName != "warm-" || pods.Items[0].OwnerReferences[0].Kind != "Pool" {
		t.Errorf("the pods are %v", pods.Items)
	}
	world.wantDescribed(t, ns, "models", "6Gi standard [ReadWriteMany]")
	if owners := world.claim(t, ns, "models").OwnerReferences; len(owners) > 0 {
		t.Errorf("the claim is owned by %v", owners)
	}
	want := []string{ // the first pod and the second
		`claim "models" is kept despite deleteOnSandboxTermination: the pod has no controller of a listed kind`,
		`claim "models" exists: deleteOnSandboxTermination true asked, it has false`,
	}
	if warned := o.made.warned(); !slices.Equal(warned, want) {
		t.Errorf("warned %q, want %q", warned, want)
	}

	// Of a caller's request for one of them the hints reach nobody, and volumes are refused before anything is done.
	pooled := request(t, `
extensions: {poolRef: warm, opensandbox.extensions.volumes: '[{"claimName":"models","storage":"50Gi"}]'}
`)
	if err := o.ask(t, "7c1d", pooled); err != nil {
		t.Error(err)
	}
	pooled.Volumes = request(t, alices).Volumes
	if err := o.ask(t, "8d2e", pooled); err == nil || !strings.HasPrefix(err.Error(), "400 ") {
		t.Errorf("volumes for a pooled sandbox: %v", err)
	}
	world.wantDescribed(t, ns, "models", "6Gi standard [ReadWriteMany]")
	if n := times(world.calls(t, ns), "create persistentvolumeclaims"); n != 1 {
		t.Errorf("%d claims were created", n)
	}
}

// A refusal ends the making of a Pool's pods and becomes an event of the Pool: of a quota in the cluster's words, of a faulty
// hint with the fix. The next try comes as far.
func TestARefusalReachesThePool(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ size, says, did string }{
		"quota": {"50Gi", "exceeded quota: storage, requested: requests.storage=50Gi, used: requests.storage=0, limited: requests.storage=20Gi", "create 403"},
		"fault": {"5 GB", `invalid quantity "5 GB"; write it as "5Gi"`, "create 422"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ns := world.namespace(t)
			world.quota(t, ns, map[string]string{"requests.storage": "20Gi"})
			o := world.opensandbox(t, ns, false, asGuided)
			world.apply(t, ns, `
apiVersion: sandbox.opensandbox.io/v1alpha1
kind: Pool
metadata: {name: warm}
spec:
  capacitySpec: {poolMin: 2, poolMax: 5, bufferMin: 2, bufferMax: 3}
  template:
    metadata: {annotations: {volumes.opensandbox.io/storage: `+test.size+`}}
    spec:
      containers: [{name: main, image: sandbox}]
      volumes: [{name: models, persistentVolumeClaim: {claimName: models}}]
`)
			for range 2 {
				if err := o.controllers.Once(t.Context(), ns); err == nil || !strings.Contains(err.Error(), test.says) {
					t.Errorf("the controller is told %v", err)
				}
			}
			if got := world.did(t, ns, controllersUser, "pods"); !slices.Equal(got, []string{test.did, test.did}) {
				t.Errorf("after two tries the controller has done %q", got)
			}
			if told := world.told(t, ns, "Pool", "warm"); len(told) != 1 || !strings.Contains(told[0], test.says) {
				t.Errorf("the Pool's events say %q, want %q", told, test.says)
			}
			world.wantClaims(t, ns)
		})
	}
}
