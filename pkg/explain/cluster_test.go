package explain_test

import (
	"strings"
	"testing"
)

// TestManifestOverCluster: what the manifest says of an object wins over what the cluster has, as applying it would; but a claim that
// exists stays as it is.
func TestManifestOverCluster(t *testing.T) {
	namespace := "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {volumes.opensandbox.io/auto-create: enabled}, annotations: {volumes.opensandbox.io/storage: 4Gi}}\n"
	wants(t, table(t, strings.Replace(namespace, "4Gi", "6Gi", 1)+"---\n"+aPod, namespace), "home create storage 6Gi Namespace")
	wants(t, table(t, strings.Replace(namespace, "enabled", "disabled", 1)+"---\n"+aPod, namespace), "home leave", "lacks the label")

	owner := "apiVersion: sandbox.opensandbox.io/v1alpha1\nkind: BatchSandbox\nmetadata: {name: x, namespace: default, annotations: {volumes.opensandbox.io/storageClass: SAYS}}\n"
	enabled := namespace + "\n---\n"
	in := strings.Replace(owner, "SAYS", "slow", 1) + "spec: {template: " + template + "}\n"
	wants(t, table(t, in, enabled+strings.Replace(owner, "SAYS", "fast", 1)+"\n---\n"+class("slow", "")),
		"pod x-0: allowed", `home create storage 3Gi metadata.annotations[volumes.opensandbox.io/storage] storageClass slow BatchSandbox "x": metadata.annotations`)

	pvc := "apiVersion: v1\nkind: PersistentVolumeClaim\nmetadata: {name: home, namespace: default}\nspec: {resources: {requests: {storage: 9Gi}}}\n"
	wants(t, table(t, strings.Replace(pvc, "9Gi", "8Gi", 1)+"---\n"+aPod, enabled+pvc), "home use storage 9Gi the claim as it exists")
}

// TestDefaultClass: of several default classes the newest counts, and of equally new ones the first by name, as with the API server.
func TestDefaultClass(t *testing.T) {
	for classes, want := range map[string]string{
		class("a", "2026-01-01T00:00:00Z") + "---\n" + class("b", "2026-02-01T00:00:00Z"): "b",
		class("b", "2026-02-01T00:00:00Z") + "---\n" + class("a", "2026-01-01T00:00:00Z"): "b",
		class("b", "2026-01-01T00:00:00Z") + "---\n" + class("a", "2026-01-01T00:00:00Z"): "a",
	} {
		wants(t, table(t, classes+"---\n"+aPod), "home create", "storageClass "+want+" default")
	}
}

// class is a default StorageClass that was made at a time.
func class(name, created string) string {
	made := ""
	if created != "" {
		made = ", creationTimestamp: " + created
	}
	return "apiVersion: storage.k8s.io/v1\nkind: StorageClass\nmetadata: {name: " + name + made + ", annotations: {storageclass.kubernetes.io/is-default-class: \"true\"}}\nprovisioner: example.com/none\n"
}
