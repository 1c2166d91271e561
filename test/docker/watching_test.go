package docker

import "testing"

func TestWatchingTransparent(t *testing.T) {
	transparentAll(t, []scenario{
		{name: "events", script: `
			since=$(date +%s.%N)
			docker events --since $since --filter container=scene-events --format '{{.Type}} {{.Action}}' >seen &
			events=$!
			d create --name scene-events --label a=1 --network none $IMAGE false
			until_there seen create
			d start --attach scene-events
			until_there seen die
			d rm scene-events
			until_there seen destroy
			kill -9 $events
			wait $events 2>/dev/null
			echo events $? >&3
			cat seen
			d events --since $since --until $(date +%s.%N) --filter type=container --filter container=scene-events
			d events --since never`,
			lines: []string{"container create", "container start", "container die", "container destroy",
				"TIME container die ID1 (a=1, exitCode=1, image=ensure-volumes.test/busybox:1, name=scene-events)"},
			codes: []string{"start 1", "events 0", "events 1", "events 137"}},
		{name: "stats", script: `
			d run -d --name scene-stats --network none $IMAGE sleep 1000
			docker stats --format '{{.Name}} {{.PIDs}}' scene-stats >seen &
			stats=$!
			until_there seen 'scene-stats 1'
			d exec -d scene-stats sleep 1000
			until_there seen 'scene-stats 2'
			kill -9 $stats
			wait $stats 2>/dev/null
			echo stats $? >&3
			d stats --no-stream --format '{{.Name}} {{.PIDs}}' scene-stats
			d stats --no-stream nobody
			d rm -f scene-stats`,
			lines: []string{"scene-stats 2"},
			codes: []string{"stats 0", "stats 1", "stats 137"}},
	})
}
