// Package logging is how the commands log: JSON, a line an event, with constant
// messages and keys (log/slog), for everything that logs through logr.
package logging

import (
	"fmt"
	"io"
	"log/slog"

	"github.com/go-logr/logr"
)

// New is a logger that writes to w what is of the level or above: debug, info, warn
// or error. It may be used by many goroutines at once.
func New(level string, w io.Writer) (logr.Logger, error) {
	levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
	l, known := levels[level]
	if !known {
		return logr.Logger{}, fmt.Errorf("invalid log level %q; write debug, info, warn or error", level)
	}
	return logr.FromSlogHandler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: l})), nil
}
