package docker

import (
	"strings"
	"testing"
)

// composeFile writes $PROJECT, with a volume of its own and one that it expects.
const composeFile = `
mkdir $PROJECT
cat >$PROJECT/docker-compose.yml <<END
version: "3"
services:
  app:
    image: ` + image + `
    command: ["sh", "-c", "echo ready; cat /outside/f; touch /named/f; exec busybox sleep 1000"]
    network_mode: none
    stop_grace_period: 0s
    volumes: ["named:/named", "outside:/outside:ro"]
volumes:
  named:
  outside:
    external: true
    name: $PROJECT-outside
END
# compose ARGUMENTS: as d, for docker-compose.
compose() { docker-compose -f $PROJECT/docker-compose.yml "$@" </dev/null; code=$?; echo "compose $1 $code" >&3; return $code; }
running() { until docker logs ${PROJECT}_app_1 2>/dev/null | grep -q $1; do sleep 0.05; done; }
`

// TestComposeTransparent: docker-compose 1.29, a client on docker-py, finds the
// external volume only once it is there, and takes what it made away with it.
func TestComposeTransparent(t *testing.T) {
	t.Parallel()
	transparent(t, start(t), scenario{script: "PROJECT=one" + composeFile + `
		compose up -d
		compose down -v
		d volume create one-outside
		d run --rm --network none -v one-outside:/data $IMAGE sh -c 'echo kept >/data/f'
		compose up -d
		running kept
		compose exec -T app ls /named
		compose logs --no-color
		compose down
		d volume ls -q --filter name=one_ --filter name=one-outside
		compose down -v
		d volume ls -q --filter name=one_ --filter name=one-outside
		d volume rm one-outside`,
		lines: []string{"f", "app_1  | ready", "app_1  | kept", "one_named", "one-outside"},
		codes: []string{"compose up 1", "compose up 0", "compose exec 0", "compose down 0", "volume 0"},
	})
}

// TestComposeVolume: the volume of a project is of the default class, and stays
// so when the project comes up again. That it has labels which are not in the
// file is what docker-compose 1.29 then says: a stated limit.
func TestComposeVolume(t *testing.T) {
	t.Parallel()
	c := start(t)
	direct(t, "volume", "create", "two-outside")
	if o := play(t, c.Socket, "PROJECT=two"+composeFile+`compose up -d`); o.codes[0] != "compose up 0" || strings.Contains(o.stderr, "changed") {
		t.Errorf("the first up: %q\n%s", o.codes, o.stderr)
	}
	v := inspect(t, "two_named")
	if v == nil || v.Labels["class"] != "standard" || v.Labels[domain+"storageClass"] != "standard" || v.Labels["com.docker.compose.volume"] != "named" {
		t.Errorf("the volume is %+v", v)
	}
	o := play(t, c.Socket, "PROJECT=two"+composeFile+`
		compose up -d
		compose down
		compose up -d
		compose down -v`)
	if strings.Join(o.codes, ",") != "compose down 0,compose down 0,compose up 0,compose up 0" {
		t.Errorf("a later up: %q\n%s", o.codes, o.stderr)
	}
	for _, label := range []string{"class", "app.kubernetes.io/managed-by", domain + "created", domain + "storageClass"} {
		// At both.
		if warning := `Volume named: label "` + label + `" has changed. It may need to be recreated.`; strings.Count(o.stderr, warning) != 2 {
			t.Errorf("not twice: %s\n%s", warning, o.stderr)
		}
	}
	if strings.Count(o.stderr, "has changed") != 8 || !strings.Contains(o.stderr, "two_app_1 is up-to-date") {
		t.Errorf("a later up says\n%s", o.stderr)
	}
	if inspect(t, "two_named") != nil {
		t.Error("down -v left the volume")
	}
	if v := inspect(t, "two-outside"); v == nil || len(v.Labels) > 0 {
		t.Errorf("the external volume is %+v", v)
	}
	direct(t, "volume", "rm", "two-outside")
}
