package node

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"text/template"
)

//go:embed config
var configs embed.FS

// provisioner is the user that provisions volumes.
const provisioner = "ensure-volumes-test-host-folders"

// writeConfigs writes what the programs read, each file of config/ filled in
// and under the same name.
func (i Inside) writeConfigs() error {
	n := number(i.Number)
	values := map[string]string{
		"Address":             n.inner().String(),
		"Authority":           filepath.Join(i.Dir, "ca.crt"),
		"CNIConfigs":          i.path("cni"),
		"CNIPlugins":          cniPlugins(),
		"Cgroup":              "/" + n.cgroup(),
		"Node":                name,
		"PauseImage":          PauseImage,
		"Pods":                n.pods().String(),
		"Provisioner":         provisioner,
		"ProxyKubeconfig":     i.path("pki", "kube-proxy.kubeconfig"),
		"ResolvConf":          i.path("resolv.conf"),
		"Root":                i.path("containerd"),
		"SchedulerKubeconfig": i.path("pki", "kube-scheduler.kubeconfig"),
		"ServingCert":         i.path("pki", "kubelet.crt"),
		"ServingKey":          i.path("pki", "kubelet.key"),
		"VolumePlugins":       i.path("volume-plugins"),
	}
	for _, folder := range []string{"cni", "pki", "volumes", "containerd", "kubelet"} {
		if err := os.MkdirAll(i.path(folder), 0o755); err != nil {
			return fmt.Errorf("creating the node's folders: %w", err)
		}
	}
	// Pods find no name server: there is none.
	if err := os.WriteFile(i.path("resolv.conf"), nil, 0o644); err != nil {
		return fmt.Errorf("writing resolv.conf: %w", err)
	}
	// Quoted as JSON, which YAML and TOML read too.
	quote := func(s string) (string, error) {
		quoted, err := json.Marshal(s)
		return string(quoted), err
	}
	all, err := template.New("").Funcs(template.FuncMap{"quote": quote}).Option("missingkey=error").ParseFS(configs, "config/*")
	if err != nil {
		return fmt.Errorf("reading the configurations: %w", err)
	}
	for file, target := range map[string]string{
		"cluster.yaml":        i.path("cluster.yaml"),
		"containerd.toml":     i.path("containerd.toml"),
		"kube-proxy.yaml":     i.path("kube-proxy.yaml"),
		"kube-scheduler.yaml": i.path("kube-scheduler.yaml"),
		"kubelet.yaml":        i.path("kubelet.yaml"),
		"pods.conflist":       i.path("cni", "pods.conflist"),
	} {
		var content bytes.Buffer
		if err := all.ExecuteTemplate(&content, file, values); err != nil {
			return fmt.Errorf("filling in %s: %w", file, err)
		}
		if err := os.WriteFile(target, content.Bytes(), 0o644); err != nil {
			return fmt.Errorf("writing %s: %w", file, err)
		}
	}
	return nil
}
