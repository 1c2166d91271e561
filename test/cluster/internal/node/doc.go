// Package node runs a whole Kubernetes cluster of one machine: the control
// plane of package plane, and beside it kube-scheduler, containerd, kubelet,
// kube-proxy and a provisioner of volumes.
//
// # Where it lives
//
// Everything runs in namespaces of its own for processes, mounts, network,
// host name and System V objects, below one process 1. That has three
// consequences, which are the reasons for it:
//
//   - The end of process 1, in whatever way, ends every container, mount,
//     bridge, rule and network namespace: the kernel sees to that. Process 1
//     cannot outlive the program that started it. Control groups alone stay,
//     empty; they are removed at the end or, after a kill, at the next start.
//   - Programs that insist on folders such as /run/containerd, /var/lib/cni or
//     /var/log/pods find them, and what they write is in the state folder or in
//     memory. kubelet does not change the kernel's settings of the machine.
//   - Ports, names of interfaces and tables of rules cannot collide with those
//     of the machine, or of a second cluster on it.
//
// # How it is reached
//
// A cluster has a number N, the first free one, and the addresses 10.N.0.0/16:
// ClusterIPs in 10.N.0.0/24, pods in 10.N.1.0/24 on the bridge pods0, the node
// and its API server at 10.N.2.2. One pair of virtual interfaces leads there;
// its outer end is called ensurevolN, has the address 10.N.2.1 and the one
// route to 10.N.0.0/16. So the API server, ClusterIPs and pods answer the
// machine itself, and nothing leads farther.
//
// # What it is not
//
// One node; no DNS; no way out but to the machine at 10.N.2.1; no IPv6; no
// ports of the host; no network policies. Images come from archives (Load). An
// environment without CAP_SYS_RESOURCE grants no lower oom_score_adj: containerd
// is told to do without.
//
// kube-proxy takes up to a second to hear of an endpoint, as it does anywhere: a
// Service whose first pod has just become ready may refuse connections so long.
package node
