package plane

// serviceRange holds the ClusterIPs; its first address is the API server's.
const (
	serviceRange = "10.43.0.0/24"
	serviceFirst = "10.43.0.1"
	issuer       = "https://kubernetes.default.svc"
)

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
	return []string{
		"--etcd-servers=http://" + at.etcd,
		"--bind-address=127.0.0.1",
		"--advertise-address=127.0.0.1", // or a machine without a network has none to offer
		"--secure-port=" + port(at.api),
		"--tls-cert-file=" + p.path("pki", "serving.crt"),
		"--tls-private-key-file=" + p.path("pki", "serving.key"),
		"--client-ca-file=" + p.path("ca.crt"),
		"--authorization-mode=Node,RBAC",
		"--service-account-issuer=" + issuer,
		"--service-account-key-file=" + p.path("pki", "service-accounts.key"),
		"--service-account-signing-key-file=" + p.path("pki", "service-accounts.key"),
		"--service-cluster-ip-range=" + serviceRange,
		// An endpoint on 127.0.0.1 would be refused, and nobody here could use it.
		"--endpoint-reconciler-type=none",
		"--audit-policy-file=" + p.path("audit-policy.yaml"),
		"--audit-log-path=" + p.path("audit.log"),
		"--profiling=false",
	}
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
		"--kube-api-qps=200",
		"--kube-api-burst=400",
		"--profiling=false",
	}
}
