// Package standin stands for what OpenSandbox brings to a cluster, so that its claims can be tried where OpenSandbox itself
// cannot run: its server's sequence around claims ([Server]), and the controllers that make the pods ([Controllers]). Both
// are small and know only what touches pods and claims. The sandboxes are custom resources in OpenSandbox's own schema,
// and may as well come from a manifest.
//
// What they do is taken from these sources, read in November 2026. Where versions differ, the newest is stood for. They
// were written from what those do, not from their text.
//
//   - opensandbox-group/OpenSandbox (before: alibaba/OpenSandbox), server/opensandbox_server/services/k8s/kubernetes_service.py
//     as of pull request 1752 (September 2026): the order of a create, what it reads and writes of claims, what it deletes and
//     when. That it deletes claims is of pull request 880 (May 2026), that it answers a quota at once of 1752.
//   - the same, services/k8s/batchsandbox_provider.py (commit 068d204), agent_sandbox_provider.py (075531e) and volume_helper.py
//     (714cac6): the custom resources. That a Sandbox is written at v1beta1 is of pull request 1763 (September 2026).
//   - the same, server/opensandbox_server/api/schema.py (075531e): the request, the PVC model and its patterns;
//     extensions/codec.py (33b299a): where extensions go.
//   - the same, kubernetes/internal/controller/batchsandbox_controller.go (0173b12), pool_controller.go and apis.go (06a51bd):
//     the pods of a BatchSandbox and of a Pool, and their events.
//   - the same, kubernetes/charts/opensandbox-server/templates/server.yaml (0d308dd): what the server may do.
//   - kubernetes-sigs/agent-sandbox, controllers/sandbox_controller.go (00a2432): the pod of a Sandbox, and its condition.
//
// Nothing runs on a control plane without nodes, so here a sandbox counts as ready once its pod is admitted; OpenSandbox
// waits until it has an address.
package standin
