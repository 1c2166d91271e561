package claim_test

// containerRows are the rules of a container where it is not like a pod: its
// labels are what a pod's annotations are, so that there is one rank less.
func containerRows() []row {
	return []row{
		{
			rule: "a container's label holds the list", on: onContainers,
			labels: keys{list: `[{"claimName":"home","storage":"5Gi"}]`, data + "storage": "6Gi"},
			home:   ok("storage=5Gi"), data: ok("storage=6Gi"),
		},
		{
			rule: "a container's label holds OpenSandbox's list", on: onContainers,
			labels: keys{ext: `[{"claimName":"home","storage":"5Gi"}]`}, home: ok("storage=5Gi"),
		},
		{
			rule: "a container's list and a flat label are one rank", on: onContainers,
			labels: keys{list: `[{"claimName":"home","storage":"5Gi"}]`, home + "storage": "6Gi"},
			home:   refused("Labels["+list+"][0].storage", `"6Gi"`),
		},
		{
			rule: "a container's label may hold what a Kubernetes label cannot", on: onContainers,
			labels: keys{home + "accessModes": "RWO,ROX"}, home: ok("modes=ReadWriteOnce+ReadOnlyMany"),
		},
		{
			rule: "a fault in a container's label names it", on: onContainers,
			labels: keys{home + "storage": "ten"}, home: refused("Labels["+home+"storage]", `"ten"`),
		},
		{
			rule: "the list of one claim is no container's label", on: onContainers,
			labels: keys{home + "claims": "[]"}, home: refused("Labels["+home+"claims]", `no scope`),
		},
	}
}
