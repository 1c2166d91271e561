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

// authority returns the authority that signs every certificate, and the key
// that signs the tokens of service accounts: those of the state that is
// continued, or new ones. What was handed out earlier stays valid then.
func (p Plane) authority() (*pki.Authority, error) {
	certPath, keyPath, accountsPath := p.path("ca.crt"), p.path("pki", "ca.key"), p.path("pki", "service-accounts.key")
	if cert, err := os.ReadFile(certPath); err == nil {
		key, err := os.ReadFile(keyPath)
		if err != nil {
			return nil, fmt.Errorf("continuing with the earlier authority: %w", err)
		}
		return pki.LoadAuthority(cert, key)
	}
	authority, err := pki.NewAuthority("ensure-volumes test control plane")
	if err != nil {
		return nil, err
	}
	accounts, err := pki.Key()
	if err != nil {
		return nil, err
	}
	key, err := authority.KeyPEM()
	if err != nil {
		return nil, err
	}
	// The certificate last: that it is there says that the rest is.
	for _, file := range []struct {
		path    string
		content []byte
	}{{keyPath, key}, {accountsPath, accounts}, {certPath, authority.CertPEM}} {
		if err := os.WriteFile(file.path, file.content, 0o600); err != nil {
			return nil, fmt.Errorf("writing the authority: %w", err)
		}
	}
	return authority, nil
}

// writePKI makes every certificate and kubeconfig of the control plane. For
// others: ca.crt and kubeconfig (an administrator's).
func (p Plane) writePKI(at addresses, authority *pki.Authority) (credentials, error) {
	reached := []net.IP{net.IPv4(127, 0, 0, 1), p.Network.services().Addr().Next().AsSlice()}
	if p.Network.Address.IsValid() {
		reached = append(reached, p.Network.Address.AsSlice())
	}
	serving, err := authority.Serving("kube-apiserver",
		[]string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		reached)
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
	kubelets, err := authority.Client("kube-apiserver-kubelet-client", "system:masters")
	if err != nil {
		return credentials{}, err
	}
	for path, content := range map[string][]byte{
		p.path("pki", "serving.crt"):                   serving.CertPEM,
		p.path("pki", "serving.key"):                   serving.KeyPEM,
		p.path("pki", "kubelet-client.crt"):            kubelets.CertPEM,
		p.path("pki", "kubelet-client.key"):            kubelets.KeyPEM,
		p.path("pki", "controller-manager.kubeconfig"): Kubeconfig(at.api, authority, controllers),
		p.path("kubeconfig"):                           Kubeconfig(at.api, authority, admin),
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

// Kubeconfig is how user reaches the API server at the address, in one file
// that needs no other.
func Kubeconfig(address string, authority *pki.Authority, user pki.Pair) []byte {
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
