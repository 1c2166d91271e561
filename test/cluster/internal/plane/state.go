package plane

import (
	_ "embed"
	"encoding/base64"
	"fmt"
	"net"
	"os"

	"github.com/ensure-volumes/ensure-volumes/test/cluster/internal/pki"
)

//go:embed audit-policy.yaml
var auditPolicy []byte

// credentials are what our own probes need.
type credentials struct {
	authority []byte
	admin     pki.Pair
}

// writePKI makes every key, certificate and kubeconfig of the control plane.
// For others: ca.crt and kubeconfig (an administrator's).
func (p Plane) writePKI(at addresses) (credentials, error) {
	authority, err := pki.NewAuthority("ensure-volumes test control plane")
	if err != nil {
		return credentials{}, err
	}
	serving, err := authority.Serving("kube-apiserver",
		[]string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		[]net.IP{net.IPv4(127, 0, 0, 1), net.ParseIP(serviceFirst)})
	if err != nil {
		return credentials{}, err
	}
	admin, err := authority.Client("admin", "system:masters")
	if err != nil {
		return credentials{}, err
	}
	controllers, err := authority.Client("system:kube-controller-manager")
	if err != nil {
		return credentials{}, err
	}
	accounts, err := pki.Key()
	if err != nil {
		return credentials{}, err
	}
	for path, content := range map[string][]byte{
		p.path("ca.crt"):                               authority.CertPEM,
		p.path("pki", "serving.crt"):                   serving.CertPEM,
		p.path("pki", "serving.key"):                   serving.KeyPEM,
		p.path("pki", "service-accounts.key"):          accounts,
		p.path("pki", "controller-manager.kubeconfig"): kubeconfig(at.api, authority, controllers),
		p.path("kubeconfig"):                           kubeconfig(at.api, authority, admin),
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return credentials{}, fmt.Errorf("writing the credentials: %w", err)
		}
	}
	return credentials{authority: authority.CertPEM, admin: admin}, nil
}

func (p Plane) writeAuditPolicy() error {
	if err := os.WriteFile(p.path("audit-policy.yaml"), auditPolicy, 0o600); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	return nil
}

// kubeconfig is one file that needs no other.
func kubeconfig(address string, authority *pki.Authority, user pki.Pair) []byte {
	encode := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: ensure-volumes
contexts:
- name: ensure-volumes
  context: {cluster: ensure-volumes, user: ensure-volumes}
clusters:
- name: ensure-volumes
  cluster:
    server: https://%s
    certificate-authority-data: %s
users:
- name: ensure-volumes
  user:
    client-certificate-data: %s
    client-key-data: %s
`, address, encode(authority.CertPEM), encode(user.CertPEM), encode(user.KeyPEM))
}
