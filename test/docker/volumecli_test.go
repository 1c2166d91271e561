package docker

import "testing"

// The CLI names the driver where its user does not, so that its own volumes are
// the caller's affair and get nothing of ours.
func TestVolumesTransparent(t *testing.T) {
	transparentAll(t, []scenario{
		{name: "volume", script: `
			d volume create --label scene=volume scene-a
			d volume create --label scene=volume -o type=tmpfs -o device=tmpfs -o o=size=1m scene-b
			d volume create scene-a
			d volume ls --filter label=scene=volume
			d volume ls -q --filter name=scene-a
			d volume inspect scene-a scene-b
			d volume inspect none
			d run --rm --network none -v scene-a:/data $IMAGE sh -c 'echo kept >/data/f'
			d run --rm --network none -v scene-a:/data:ro $IMAGE cat /data/f
			d run --rm --network none --mount type=volume,src=scene-a,dst=/data,readonly $IMAGE touch /data/f
			d run --rm --network none -v scene-b:/data $IMAGE busybox df -k /data
			d create --name scene-volume --network none -v scene-a:/data -v /anonymous $IMAGE sh
			d inspect -f '{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.Driver}} {{.RW}}{{"\n"}}{{end}}' scene-volume | sort
			d volume rm scene-a
			d rm -v scene-volume
			d volume rm scene-a none
			d volume create --label scene=volume scene-c
			d volume prune --force --filter label=scene=volume
			d volume rm scene-b
			d volume ls --filter label=scene=volume`,
			lines: []string{"kept", "local     scene-b", "volume scene-a /data local true", "Deleted Volumes:", "DRIVER    VOLUME NAME"},
			codes: []string{"volume 0", "volume 1", "run 0", "run 1", "rm 0"}},
		{name: "copies of the image's files", script: `
			d volume create scene-copied
			d run --rm --network none -v scene-copied:/bin $IMAGE ls /bin
			d run --rm --network none -v scene-copied:/other:ro $IMAGE ls /other
			d volume create scene-empty
			d run --rm --network none -v scene-empty:/bin:nocopy $IMAGE ls /bin
			d run --rm --network none -v scene-empty:/other $IMAGE ls /other
			d volume rm scene-copied scene-empty`,
			lines: []string{"busybox"},
			codes: []string{"run 0", "run 127"}},
		{name: "refused by the engine", script: `
			d volume create scene-refused
			for mode in rw,ro ro,ro z,z Z,z nocopy,nocopy cached,delegated nonsense rshared; do d create -v scene-refused:/data:$mode $IMAGE sh; done
			d create --mount type=volume,src=scene-refused,dst=relative $IMAGE sh
			d create --mount type=volume,src=scene-refused,dst=/ $IMAGE sh
			d create --pull never -v scene-refused:/data -v scene-refused:/data no-such-image
			d create -v /no/such:/data:nonsense $IMAGE sh
			d volume rm scene-refused`,
			codes: []string{"create 1", "volume 0"}},
	})
}
