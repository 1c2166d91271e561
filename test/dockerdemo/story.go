package main

// story is what somebody does, and what must come of it.
type story struct {
	title string
	steps []step
}

// step is a command line of bash. In it {x} stands for the demo's own suffix of
// names, {image} for its image and {pid} for the companion's process.
type step struct {
	command string
	fails   bool     // whether the command does
	says    []string // what its output must hold; the same stands for the same there
	nothing bool     // its output must be empty
	// then is a line that the companion's log must have got before the next step.
	then string
	// patient is asked again until it says what it must: somebody else does it.
	patient bool
}

const (
	once    = "docker run --rm --network none "
	volumes = "volumes.opensandbox.io/"
)

// configuration is the companion's, in the folder where the commands run.
const configuration = `volumeAutoCreate: true
defaultClass: standard
classes:
  standard:
    driver: local
  ram:
    driver: local
    options: {type: tmpfs, device: tmpfs, o: "size={bytes}"}
    labels: {medium: memory}
`

// stories are in the order they are told: each begins with what the one before left.
func stories() []story {
	return []story{{
		title: "A container with a missing volume, its hints as labels: the volume is of that class and size",
		steps: []step{{
			command: "docker run --detach --network none --name alice-{x} -v home-{x}:/home \\\n" +
				"  --label " + volumes + "storageClass=ram --label home-{x}." + volumes + "storage=16Mi \\\n  {image} sleep 600",
		}, {
			command: "docker exec alice-{x} df -k /home",
			says:    []string{"tmpfs", " 16384 "},
		}},
	}, {
		title: "The volume: driver and options from the class, labels that say whose it is",
		steps: []step{{
			command: "docker volume inspect home-{x}",
			says: []string{`"Driver": "local"`, `"o": "size=16777216"`, `"medium": "memory"`, `"app.kubernetes.io/managed-by": "ensure-volumes"`,
				`"` + volumes + `created-for": "alice-{x}"`, `"` + volumes + `storage": "16Mi"`, `"` + volumes + `storageClass": "ram"`},
		}},
	}, {
		title: "A second container reads the data",
		steps: []step{{
			command: "docker exec alice-{x} sh -c 'echo hello from alice > /home/note'",
			nothing: true,
		}, {
			command: once + "-v home-{x}:/home:ro {image} cat /home/note",
			says:    []string{"hello from alice"},
		}},
	}, {
		title: "A faulty hint: the container is refused, and nothing is created",
		steps: []step{{
			command: once + "-v data-{x}:/data --label '" + volumes + "storage=10 GB' {image} true",
			fails:   true,
			says:    []string{"Error response from daemon: Labels[" + volumes + `storage]: invalid quantity "10 GB"; write it as "10Gi"`},
		}, {
			command: "docker volume ls --quiet --filter name=data-{x}",
			nothing: true,
		}},
	}, {
		title: "A class that does not exist",
		steps: []step{{
			command: once + "-v data-{x}:/data --label " + volumes + "storageClass=fast {image} true",
			fails:   true,
			says:    []string{`class "fast" does not exist; write one of ram, standard`},
		}},
	}, {
		title: "The volume exists: it is used as it is, and what differs is a warning",
		steps: []step{{
			command: once + "-v home-{x}:/home --label " + volumes + "storage=32Mi {image} cat /home/note",
			says:    []string{`volume "home-{x}" exists: storage 32Mi asked, it has 16Mi`, "hello from alice"},
		}},
	}, {
		title: "A volume that goes with its last container",
		steps: []step{{
			command: once + "-v scratch-{x}:/data --label " + volumes + "deleteOnSandboxTermination=true {image} touch /data/file",
			nothing: true,
		}, {
			command: "docker volume ls --quiet --filter name=scratch-{x}",
			nothing: true,
			patient: true,
		}},
	}, {
		title: "The safety switch is turned off: nothing is created any more, and what exists is used",
		steps: []step{{
			command: "sed -i 's/^volumeAutoCreate: true/volumeAutoCreate: false/' companion.yaml && kill -HUP {pid}",
			nothing: true,
			then:    "the configuration was read again",
		}, {
			command: once + "--pull never -v data-{x}:/data {image} true",
			fails:   true,
			says:    []string{`volume "data-{x}" does not exist, and the companion is switched off (volumeAutoCreate: false); create it first`},
		}, {
			command: once + "-v home-{x}:/home {image} cat /home/note",
			says:    []string{"hello from alice"},
		}},
	}, {
		title: "The end",
		steps: []step{{
			command: "docker rm --force alice-{x}",
			says:    []string{"alice-{x}"},
		}, {
			command: "docker volume rm home-{x}",
			says:    []string{"home-{x}"},
		}, {
			command: "docker ps --all --quiet --filter name={x}; docker volume ls --quiet --filter name={x}",
			nothing: true,
		}},
	}}
}

// volumeNames are those of every volume that the stories name, also where they must not come into being.
func volumeNames() []string { return []string{"home-{x}", "data-{x}", "scratch-{x}"} }
