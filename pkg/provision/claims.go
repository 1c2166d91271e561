package provision

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/cache"

	"github.com/ensure-volumes/ensure-volumes/pkg/records"
)

// Claims knows every claim of the cluster as a [Record], and keeps up with the
// API server while [Claims.Run] runs. The zero value is empty and not synced. It
// may be used by many goroutines at once.
type Claims struct {
	records.Store[*corev1.PersistentVolumeClaim, Record, *Record]
}

var _ cache.TransformingStore = (*Claims)(nil)

// Run lists and watches the claims of all namespaces until ctx ends. Trouble
// with the API server is retried for ever with a back-off; meanwhile the records
// stay as they were.
func (c *Claims) Run(ctx context.Context, cluster typedcorev1.PersistentVolumeClaimsGetter) {
	claims := cluster.PersistentVolumeClaims(metav1.NamespaceAll)
	c.Store.Run(ctx, "claims", &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return claims.List(ctx, o)
		},
		WatchFuncWithContext: claims.Watch,
	})
}
