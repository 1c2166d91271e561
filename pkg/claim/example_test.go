package claim_test

import (
	"fmt"

	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/ensure-volumes/ensure-volumes/pkg/claim"
)

func Example() {
	used := []string{"alice-home", "scratch"}
	pod := claim.Read(claim.Object{Kind: claim.Pod, Annotations: map[string]string{
		"volumes.opensandbox.io/claims":          `[{"claimName":"alice-home","storage":"10Gi"}]`,
		"scratch.volumes.opensandbox.io/storage": "10 GB",
	}}, used)
	namespace := claim.Read(claim.Object{Kind: claim.Namespace, Name: "team", Annotations: map[string]string{
		"volumes.opensandbox.io/storageClass": "fast",
	}}, used)

	for _, name := range used {
		want := claim.Resolve(name, resource.MustParse("1Gi"), &pod, &namespace)
		for _, f := range want.Faults {
			fmt.Println(name, "is refused:", f.Error())
		}
		if len(want.Faults) == 0 {
			fmt.Println(name, "has", want.Storage.Value.String(), "of class", want.StorageClass.Value, "as", want.AccessModes.Value)
		}
	}
	// Output:
	// alice-home has 10Gi of class fast as ReadWriteOnce
	// scratch is refused: metadata.annotations[scratch.volumes.opensandbox.io/storage]: invalid quantity "10 GB"; write it as "10Gi"
}
