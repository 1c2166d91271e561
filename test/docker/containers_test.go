package docker

import "testing"

// The end of an attach's input is the end of its output, unless the container's
// input ends with it (start -i): hence the sleeps.
func TestContainersTransparent(t *testing.T) {
	transparentAll(t, []scenario{
		{name: "run", script: `
			echo hello | d run --rm -i --network none $IMAGE sh -c 'cat; echo err >&2; exit 7'
			d run --rm --network none -e A=1 -w /tmp -u 0:8 --read-only --tmpfs /scratch $IMAGE sh -c 'echo $A $PWD; busybox id -g; touch /scratch/f && touch /f'
			head -c 3000000 /dev/zero | d run --rm -i --network none $IMAGE cat | wc -c
			d run --rm --network none $IMAGE no-such-command
			d run --rm --network none --pull never no-such-image
			d run -d --name scene-run --network none $IMAGE sh -c 'echo detached; exit 9'
			d wait scene-run
			d logs scene-run
			d run --name scene-run --network none $IMAGE sh
			d rm scene-run
			d rm scene-run
			d run --no-such-flag`,
			lines: []string{"hello", "1 /tmp", "8", "3000000", "detached", "9"},
			codes: []string{"run 7", "run 1", "run 0", "run 127", "run 125", "wait 0", "rm 0", "rm 1"}},
		{name: "attach", script: `
			d create -i --name scene-attach --network none $IMAGE sh -c 'cat; exit 6'
			printf 'one\ntwo\n' | d start --attach --interactive scene-attach
			d attach scene-attach
			d rm scene-attach
			d run -d -i --name scene-attach --network none $IMAGE sh -c 'while read l && test $l != end; do echo out $l; echo err $l >&2; done; exit 4'
			(printf 'three\nfour\n'; sleep 0.5; echo end; sleep 0.5) | d attach scene-attach
			d rm scene-attach
			d attach nobody`,
			lines: []string{"one", "two", "out three", "out four"},
			codes: []string{"start 6", "attach 4", "attach 1"}},
		{name: "exec", script: `
			d run -d --name scene-exec --network none $IMAGE sleep 1000
			echo hello | d exec -i scene-exec cat
			d exec -i scene-exec sh -c 'busybox wc -c; exit 3' </dev/null
			head -c 5000000 /dev/zero | d exec -i scene-exec busybox wc -c
			d exec scene-exec sh -c 'busybox head -c 6000000 /dev/zero; echo err >&2' | wc -c
			d exec -w /tmp -e A=1 -u 0:8 scene-exec sh -c 'echo $A $PWD $(busybox id -g)'
			d exec -d scene-exec touch /tmp/detached
			until docker exec scene-exec ls /tmp/detached 2>/dev/null; do sleep 0.05; done
			d exec scene-exec no-such-command
			d exec nobody sh
			d stop -t 0 scene-exec
			d exec scene-exec sh
			d rm scene-exec`,
			lines: []string{"hello", "0", "5000000", "6000000", "1 /tmp 8", "/tmp/detached"},
			codes: []string{"exec 0", "exec 3", "exec 126", "exec 1", "stop 0"}},
		{name: "logs", script: `
			d run --name scene-logs --network none $IMAGE sh -c 'echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three'
			d logs scene-logs
			d logs --tail 1 --timestamps scene-logs
			d logs --since 2000-01-01T00:00:00Z --until 2000-01-02T00:00:00Z scene-logs
			d logs nobody
			d rm scene-logs`,
			lines: []string{"one", "three", "TIME three"},
			codes: []string{"logs 0", "logs 1"}},
		{name: "logs -f", script: `
			d run -d -i --name scene-follow --network none $IMAGE sh -c 'echo ready; read l; echo got $l; exit 2'
			d logs -f scene-follow >followed &
			until_there followed ready
			(echo word; sleep 0.5) | d attach scene-follow
			wait
			cat followed
			d rm scene-follow`,
			lines: []string{"ready", "got word"},
			codes: []string{"logs 0", "attach 2"}},
		{name: "wait and kill", script: `
			d run -d --name scene-kill --network none $IMAGE sh -c 'trap "echo usr" USR1; trap "echo term; exit 5" TERM; echo ready; while :; do sleep 0.05; done'
			docker logs -f scene-kill >followed &
			until_there followed ready
			d wait scene-kill >waited &
			d kill -s USR1 scene-kill
			until_there followed usr
			d kill -s TERM scene-kill
			wait
			cat followed waited
			d kill scene-kill
			d start scene-kill
			d kill -s NONE scene-kill
			d kill scene-kill
			d wait scene-kill nobody
			d rm scene-kill`,
			lines: []string{"usr", "term", "5", "137"},
			codes: []string{"kill 0", "kill 1", "wait 0", "wait 1"}},
		{name: "the rest of a life", script: `
			d create --name scene-life --label a=1 --network none $IMAGE sh -c 'touch /tmp/f; busybox sleep 1000'
			d start scene-life
			d pause scene-life
			d ps --filter name=scene-life --format '{{.Names}} {{.State}} {{.Image}} {{.Label "a"}}'
			d unpause scene-life
			d top scene-life -o pid,args | sed 's/^ *[0-9]* *//'
			d update --memory 64m --memory-swap 64m scene-life
			d rename scene-life scene-life2
			d restart -t 0 scene-life2
			d inspect -f '{{.Name}} {{.State.Status}} {{.RestartCount}} {{.HostConfig.Memory}}' scene-life2
			d port scene-life2
			d rm scene-life2
			d diff scene-life2
			d rm -f scene-life2
			d inspect scene-life2`,
			lines: []string{"scene-life paused ensure-volumes.test/busybox:1 1", "/scene-life2 running 0 67108864", "A /tmp/f"},
			codes: []string{"rm 1", "rm 0", "inspect 1", "top 0"}},
	})
}
