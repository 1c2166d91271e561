package process

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"
)

// A try that the limit cuts short knows less than the one before it.
func TestPollKeepsTheLastErrorThatSaysSomething(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	tries := 0
	err := Poll(ctx, time.Minute, nil, func() error {
		if tries++; tries == 1 {
			return errors.New("not ready: no lists")
		}
		<-ctx.Done()
		return ctx.Err()
	}, "waiting")
	if tries != 2 || !errors.Is(err, context.DeadlineExceeded) || !strings.HasSuffix(err.Error(), "not ready: no lists") {
		t.Errorf("after %d tries: %v", tries, err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	if err := Poll(ctx, time.Minute, nil, func() error { return errors.New("cut short") }, "waiting"); err == nil || !strings.Contains(err.Error(), "cut short") {
		t.Errorf("with one try only: %v", err)
	}
}
