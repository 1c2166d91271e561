package e2e

import (
	"strconv"
	"strings"
	"testing"
)

// tally is the API server's own count of what it asked the webhook. It begins
// anew when the API server is started.
type tally struct {
	calls  float64
	failed float64 // calls that came to nothing, whatever failurePolicy then did
}

func (g *ground) asked(t *testing.T) (sum tally) {
	t.Helper()
	metrics := g.kubectl(t, "get", "--raw", "/metrics")
	for line := range strings.Lines(metrics) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), "} ")
		if !strings.Contains(series, `name="claims.volumes.opensandbox.io"`) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		switch family, labels, _ := strings.Cut(series, "{"); {
		case family == "apiserver_admission_webhook_admission_duration_seconds_count":
			sum.calls += n
		case family == "apiserver_admission_webhook_fail_open_count",
			family == "apiserver_admission_webhook_rejection_count" && strings.Contains(labels, `error_type="calling_webhook_error"`):
			sum.failed += n
		}
	}
	return sum
}

// wantAsked holds that since an earlier count the API server has called the
// webhook for each pod that was created, and no call failed.
func (g *ground) wantAsked(t *testing.T, r *report, before tally, pods int) {
	t.Helper()
	now := g.asked(t)
	calls, failed := now.calls-before.calls, now.failed-before.failed
	if failed != 0 || calls < float64(pods) {
		t.Errorf("by its own count the API server has called %v times, of which %v failed, for %d pods", calls, failed, pods)
	}
	r.say("the API server counts %.0f calls of the webhook, %.0f of them failed", calls, failed)
}
