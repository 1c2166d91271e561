package plane

const issuer = "https://kubernetes.default.svc"

func (p Plane) etcdArgs(at addresses) []string {
	return []string{
		"--data-dir=" + p.path("etcd"),
		"--listen-client-urls=http://" + at.etcd,
		"--advertise-client-urls=http://" + at.etcd,
		"--listen-peer-urls=http://" + at.etcdPeer,
		"--initial-advertise-peer-urls=http://" + at.etcdPeer,
		"--initial-cluster=default=http://" + at.etcdPeer,
		"--unsafe-no-fsync", // the state is thrown away anyway
	}
}

func (p Plane) apiServerArgs(at addresses) []string {
	args := []string{
		"--etcd-servers=http://" + at.etcd,
		"--secure-port=" + port(at.api),
		"--tls-cert-file=" + p.path("pki", "serving.crt"),
		"--tls-private-key-file=" + p.path("pki", "serving.key"),
		"--client-ca-file=" + p.path("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + p.path("pki", "service-accounts.key"),
		"--service-account-signing-key-file=" + p.path("pki", "service-accounts.key"),
		"--service-cluster-ip-range=" + p.Network.services().String(),
		"--audit-policy-file=" + p.path("audit-policy.yaml"),
		"--audit-log-path=" + p.path("audit.log"),
		"--profiling=false",
	}
	if !p.Network.Address.IsValid() {
		return append(args,
			"--bind-address=127.0.0.1",
			"--advertise-address=127.0.0.1", // or a machine without a network has none to offer
			// An endpoint on 127.0.0.1 would be refused, and nobody here could use it.
			"--endpoint-reconciler-type=none",
		)
	}
	return append(args,
		"--bind-address=0.0.0.0",
		// What pods reach behind the ClusterIP of the Service kubernetes.
		"--advertise-address="+p.Network.Address.String(),
		"--allow-privileged=true",
		"--kubelet-certificate-authority="+p.path("ca.crt"),
		"--kubelet-client-certificate="+p.path("pki", "kubelet-client.crt"),
		"--kubelet-client-key="+p.path("pki", "kubelet-client.key"),
		"--kubelet-preferred-address-types=InternalIP",
	)
}

func (p Plane) controllerManagerArgs(at addresses) []string {
	return []string{
		"--kubeconfig=" + p.path("pki", "controller-manager.kubeconfig"),
		"--bind-address=127.0.0.1",
		"--secure-port=" + port(at.controllers),
		"--tls-cert-file=" + p.path("pki", "serving.crt"),
		"--tls-private-key-file=" + p.path("pki", "serving.key"),
		"--service-account-private-key-file=" + p.path("pki", "service-accounts.key"),
		"--root-ca-file=" + p.path("ca.crt"),
		// Each controller under its own account, as in a real cluster: the audit
		// log then says which one did what.
		"--use-service-account-credentials=true",
		"--leader-elect=false",
		"--resource-quota-sync-period=5s",
		"--flex-volume-plugin-dir=" + p.path("volume-plugins"), // it would make one in /usr
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--profiling=false",
	}
}
