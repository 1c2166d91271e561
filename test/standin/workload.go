package standin

import (
	"maps"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// labelID is on everything that the server makes for a sandbox.
const labelID = "opensandbox.io/id"

// annotations are what becomes of a request's extensions: those under opensandbox.extensions. are copied.
func (r *Request) annotations() map[string]any {
	all := map[string]any{}
	for key, value := range r.Extensions {
		if name, ok := strings.CutPrefix(key, "opensandbox.extensions."); ok {
			all["opensandbox.io/extensions."+name] = value
		}
	}
	return all
}

// labels are the sandbox's id and the request's metadata.
func (r *Request) labels(id string) map[string]any {
	all := map[string]any{labelID: id}
	for key, value := range r.Metadata {
		all[key] = value
	}
	return all
}

// workload is the custom resource that the server makes of a request. A BatchSandbox has the id's name, and labels and
// annotations also in its template; a Sandbox begins with a letter, and its podTemplate has the labels only.
func (s *Server) workload(id string, r *Request) *unstructured.Unstructured {
	metadata := map[string]any{"namespace": s.Namespace, "name": s.name(id), "labels": r.labels(id), "annotations": r.annotations()}
	spec := map[string]any{}
	cr := map[string]any{"metadata": metadata, "spec": spec}
	expires := ""
	if r.Timeout > 0 {
		expires = time.Now().Add(time.Duration(r.Timeout) * time.Second).UTC().Format(time.RFC3339)
	}
	if s.AgentSandbox {
		cr["apiVersion"], cr["kind"] = KindSandbox.GroupVersion().String(), KindSandbox.Kind
		spec["operatingMode"], spec["service"], spec["shutdownPolicy"] = "Running", true, "Delete"
		spec["podTemplate"] = map[string]any{"metadata": map[string]any{"labels": r.labels(id)}, "spec": r.podSpec(id)}
		if expires != "" {
			spec["shutdownTime"] = expires
		}
		return &unstructured.Unstructured{Object: cr}
	}
	cr["apiVersion"], cr["kind"] = KindBatchSandbox.GroupVersion().String(), KindBatchSandbox.Kind
	spec["replicas"] = int64(1)
	if expires != "" {
		spec["expireTime"] = expires
	}
	if pool := r.Extensions["poolRef"]; pool != "" {
		spec["poolRef"] = pool
		return &unstructured.Unstructured{Object: cr}
	}
	spec["template"] = map[string]any{
		"metadata": map[string]any{"labels": r.labels(id), "annotations": r.annotations()}, "spec": r.podSpec(id),
	}
	return &unstructured.Unstructured{Object: cr}
}

// name is what the server calls the custom resource of a sandbox.
func (s *Server) name(id string) string {
	if s.AgentSandbox && id[0] >= '0' && id[0] <= '9' {
		return "sandbox-" + id
	}
	return id
}

// podSpec is a pod with the server's own folder and the request's claims: each claim once as a volume, called as its first mount,
// read-only where all its mounts are.
func (r *Request) podSpec(id string) map[string]any {
	readOnly := map[string]bool{}
	for _, v := range r.Volumes {
		before, known := readOnly[v.PVC.ClaimName]
		readOnly[v.PVC.ClaimName] = v.ReadOnly && (before || !known)
	}
	own := map[string]any{"name": "opensandbox-bin", "mountPath": "/opt/opensandbox"}
	volumes, mounts := []any{map[string]any{"name": "opensandbox-bin", "emptyDir": map[string]any{}}}, []any{own}
	called := map[string]string{}
	for _, v := range r.Volumes {
		name := v.PVC.ClaimName
		if called[name] == "" {
			called[name] = v.Name
			volumes = append(volumes, map[string]any{
				"name": v.Name, "persistentVolumeClaim": map[string]any{"claimName": name, "readOnly": readOnly[name]},
			})
		}
		mount := map[string]any{"name": called[name], "mountPath": v.MountPath, "readOnly": v.ReadOnly}
		if v.SubPath != "" {
			mount["subPath"] = v.SubPath
		}
		mounts = append(mounts, mount)
	}
	main := map[string]any{
		"name": "sandbox", "image": r.Image.URI, "volumeMounts": mounts,
		"env": []any{map[string]any{"name": "OPENSANDBOX_ID", "value": id}},
	}
	if len(r.Entrypoint) > 0 {
		command := []any{"/opt/opensandbox/bootstrap.sh"}
		for _, word := range r.Entrypoint {
			command = append(command, word)
		}
		main["command"] = command
	}
	if len(r.ResourceLimits) > 0 {
		limits := map[string]any{}
		for resource, amount := range r.ResourceLimits {
			limits[resource] = amount
		}
		main["resources"] = map[string]any{"limits": limits, "requests": maps.Clone(limits)}
	}
	return map[string]any{
		"automountServiceAccountToken": false,
		"initContainers":               []any{map[string]any{"name": "execd-installer", "image": "execd", "volumeMounts": []any{maps.Clone(own)}}},
		"containers":                   []any{main},
		"volumes":                      volumes,
	}
}
