package fill

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"
	"k8s.io/apimachinery/pkg/util/uuid"
	"k8s.io/client-go/kubernetes/scheme"
)

// etcd is the client of all fillers; it keeps a connection for each writer.
var etcd = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: writers}}

// store writes an object as the API server would store it: in protobuf, with
// what the API server sets. The API server hears of it from etcd.
func (f *Filler) store(ctx context.Context, resource string, object interface {
	runtime.Object
	metav1.Object
}) error {
	object.SetUID(uuid.NewUUID())
	object.SetCreationTimestamp(metav1.NewTime(time.Now().Truncate(time.Second)))
	encoder := scheme.Codecs.EncoderForVersion(protobuf.NewSerializer(scheme.Scheme, scheme.Scheme), corev1.SchemeGroupVersion)
	value, err := runtime.Encode(encoder, object)
	if err != nil {
		return fmt.Errorf("encoding %s %s: %w", resource, object.GetName(), err)
	}
	// The gateway to etcd's gRPC, in JSON.
	body, err := json.Marshal(map[string][]byte{"key": []byte("/registry/" + resource + "/" + object.GetNamespace() + "/" + object.GetName()), "value": value})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.Etcd+"/v3/kv/put", bytes.NewReader(body))
	if err != nil {
		return err
	}
	response, err := etcd.Do(request)
	if err != nil {
		return fmt.Errorf("storing %s %s: %w", resource, object.GetName(), err)
	}
	defer response.Body.Close()
	said, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, said)
	}
	if err != nil {
		return fmt.Errorf("storing %s %s: %w", resource, object.GetName(), err)
	}
	return nil
}
