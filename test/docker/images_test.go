package docker

import "testing"

func TestFilesTransparent(t *testing.T) {
	transparentAll(t, []scenario{
		{name: "cp", script: `
			mkdir -p tree/sub
			head -c 5000000 /dev/urandom >tree/large
			echo content >tree/sub/file
			chmod 640 tree/sub/file
			ln -s sub/file tree/link
			d create --name scene-cp --network none $IMAGE sh
			d cp tree scene-cp:/data
			d cp scene-cp:/data/tree back
			diff -r tree back && stat -c %a back/sub/file && readlink back/link
			tar -cf - tree/sub | d cp - scene-cp:/tmp
			d cp scene-cp:/tmp/tree/sub - | tar -t
			d cp -L scene-cp:/data/tree/link followed && cat followed
			d cp scene-cp:/none .
			d cp tree/sub scene-cp:/none/none
			echo no tar | d cp - scene-cp:/tmp
			d cp nobody:/tmp .
			d rm scene-cp`,
			lines: []string{"640", "sub/file", "content"},
			codes: []string{"cp 0", "cp 1"}},
		{name: "save and load", script: `
			d save $IMAGE | sha256sum | sed 's/../& /g' # in another shape than an id, so that it is compared
			d create --name scene-save --network none $IMAGE sh
			head -c 5000000 /dev/urandom >large
			d cp large scene-save:/data
			d commit scene-save scene-save:1
			d save scene-save:1 >first.tar
			d save -o second.tar scene-save:1
			d rmi scene-save:1
			d load <first.tar
			d save scene-save:1 | cmp - first.tar && cmp first.tar second.tar && echo the same
			d rmi scene-save:1
			d load -q -i second.tar
			d save scene-save:1 | d load
			echo no tar | d load
			d save none:none
			d export scene-save | tar -t | sort
			d export scene-save | d import - scene-save:2
			d run --rm --network none scene-save:2 /bin/ls /data
			d rmi scene-save:1 scene-save:2
			d rm scene-save`,
			lines: []string{"the same", "bin/busybox", "Loaded image: scene-save:1"},
			codes: []string{"save 0", "save 1", "load 0", "load 1", "import 0"}},
		{name: "build", script: `
			echo content >file
			printf 'FROM %s\nCOPY file /file\nRUN --network=none cat /file' $IMAGE >Refused
			printf 'FROM %s\nCOPY file /file\nRUN cat /file\n' $IMAGE >Dockerfile
			d build --network none -t scene-build .
			d build -q --network none --iidfile id . && cat id
			tar -c file Dockerfile | d build --network none -t scene-build -
			d run --rm --network none scene-build cat /file
			d history --format '{{.CreatedBy}}' scene-build
			printf 'FROM %s\nRUN echo before; exit 11\n' $IMAGE | d build --no-cache --force-rm --network none -
			d build -f Refused .
			d build none
			d rmi scene-build`,
			lines: []string{"content", " ---> Using cache", "Successfully tagged scene-build:latest"},
			codes: []string{"build 0", "build 11", "build 1", "run 0"}},
	})
}

// TestBuildKit: it takes connections of its own over (an upgrade to HTTP/2), in
// which the engine asks the client for the files. The CLI of Debian's docker.io
// brings BuildKit itself; the newer ones want a plugin for it.
func TestBuildKit(t *testing.T) {
	transparentAll(t, []scenario{{name: "buildkit", script: `
		export DOCKER_BUILDKIT=1
		head -c 3000000 /dev/urandom >large
		echo content >file
		printf 'FROM %s\nCOPY . /files\nRUN cat /files/file\n' $IMAGE >Dockerfile
		/usr/bin/docker build --progress plain --network none --no-cache -t scene-buildkit . 2>said; echo build $? >&3
		# Without what depends on the time, or on what the client has sent before; the steps have their numbers by chance.
		grep -E '^#[0-9]+ (\[|[0-9.]+ content)' said | sed -E 's/^#[0-9]+ //; s/^[0-9.]+ //' | sort -u
		d run --rm --network none --pull never scene-buildkit cat /files/large | cmp - large && echo the same
		printf 'FROM %s\nRUN exit 12\n' $IMAGE | /usr/bin/docker build --progress plain --network none --no-cache - 2>said; echo build $? >&3
		grep -o 'exit code: .*' said | sort -u
		d rmi scene-buildkit`,
		lines: []string{"content", "[3/3] RUN cat /files/file", "the same", "exit code: 12"},
		codes: []string{"build 0", "build 1", "run 0"},
	}})
}
