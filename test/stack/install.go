package stack

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"k8s.io/client-go/util/cert"

	"github.com/ensure-volumes/ensure-volumes/test/process"
)

// Name of the namespace, the ServiceAccount and everything else in
// config/webhook.
const Name = "ensure-volumes"

// Installation is ensure-volumes installed on a control plane. The webhook
// itself runs once Start is called; several processes may follow one another.
// Not for use by several goroutines at once.
type Installation struct {
	Dir        string         // certificates, logs, kubeconfig, rendered overlay
	Kubeconfig string         // acts as the shipped ServiceAccount
	URL        string         // where the webhook serves, such as https://127.0.0.1:23456
	Address    string         // host and port of URL
	CAPool     *x509.CertPool // the authority of its certificate; nil: whoever answers at URL is believed
	CertDir    string         // tls.crt, tls.key, ca.crt
	Binary     string         // the program that Start runs; built from cmd/webhook when empty

	root         string
	controlPlane *ControlPlane
	started      int
}

// Install applies config/webhook of the repository at root through the overlay,
// with a fresh certificate and a free port. Applying is all that it does on the
// cluster, besides asking for a token of the ServiceAccount.
func (cp *ControlPlane) Install(ctx context.Context, root string) (*Installation, error) {
	address, err := process.FreeAddress()
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(cp.Dir, "webhook")
	in := &Installation{
		Dir:          dir,
		Kubeconfig:   filepath.Join(dir, "kubeconfig"),
		URL:          "https://" + address,
		Address:      address,
		CertDir:      filepath.Join(dir, "certs"),
		root:         root,
		controlPlane: cp,
	}
	authority, err := in.writeCertificate()
	if err != nil {
		return nil, err
	}
	overlay := filepath.Join(dir, "overlay")
	if err := renderOverlay(overlay, filepath.Join(root, "config", "webhook"), in.URL+"/mutate", authority); err != nil {
		return nil, err
	}
	if output, err := cp.Kubectl(ctx, "", "apply", "-k", overlay); err != nil {
		return nil, fmt.Errorf("applying config/webhook: %w\n%s", err, output)
	}
	return in, in.writeKubeconfig(ctx)
}

// writeCertificate makes a serving certificate and returns its authority.
func (in *Installation) writeCertificate() (authority []byte, err error) {
	chain, key, err := cert.GenerateSelfSignedCertKey("127.0.0.1", nil, []string{"localhost", Name + "." + Name + ".svc"})
	if err != nil {
		return nil, fmt.Errorf("making the serving certificate: %w", err)
	}
	leaf, authority := pem.Decode(chain) // the authority follows the leaf
	if leaf == nil || len(authority) == 0 {
		return nil, errors.New("making the serving certificate: the chain lacks its authority")
	}
	in.CAPool = x509.NewCertPool()
	in.CAPool.AppendCertsFromPEM(authority)
	if err := os.MkdirAll(in.CertDir, 0o700); err != nil {
		return nil, fmt.Errorf("creating the certificate folder: %w", err)
	}
	for name, content := range map[string][]byte{"tls.crt": pem.EncodeToMemory(leaf), "tls.key": key, "ca.crt": authority} {
		if err := os.WriteFile(filepath.Join(in.CertDir, name), content, 0o600); err != nil {
			return nil, fmt.Errorf("writing the serving certificate: %w", err)
		}
	}
	return authority, nil
}

// writeKubeconfig asks for a token of the ServiceAccount and writes a
// kubeconfig around it.
func (in *Installation) writeKubeconfig(ctx context.Context) error {
	clients, err := kubernetes.NewForConfig(in.controlPlane.Config)
	if err != nil {
		return fmt.Errorf("making a client: %w", err)
	}
	lifetime := int64(30 * 24 * 60 * 60) // s; `make up` may be left running
	token, err := clients.CoreV1().ServiceAccounts(Name).CreateToken(ctx, Name, &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &lifetime},
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("asking for a token of ServiceAccount %s/%s: %w", Name, Name, err)
	}
	config := clientcmdapi.NewConfig()
	config.CurrentContext = Name
	config.Contexts[Name] = &clientcmdapi.Context{Cluster: Name, AuthInfo: Name}
	config.Clusters[Name] = &clientcmdapi.Cluster{
		Server:                   in.controlPlane.Config.Host,
		CertificateAuthorityData: in.controlPlane.Config.CAData,
	}
	config.AuthInfos[Name] = &clientcmdapi.AuthInfo{Token: token.Status.Token}
	if err := clientcmd.WriteToFile(*config, in.Kubeconfig); err != nil {
		return fmt.Errorf("writing the webhook's kubeconfig: %w", err)
	}
	return nil
}
