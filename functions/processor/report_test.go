package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"tlswatch/pkg/pipeline"
)

// TestReportLevel: the log calls an object "in progress" only if nothing else is
// wrong with it.
func TestReportLevel(t *testing.T) {
	busy := fmt.Errorf("%w; if that died, retry later", pipeline.ErrInProgress)
	other := errors.New("AuthorizationError")
	for _, test := range []struct {
		err            error
		level, message string
	}{
		{nil, "INFO", "processed"},
		{busy, "WARN", inProgress},
		{errors.Join(busy, busy), "WARN", inProgress},
		{other, "ERROR", "failed"},
		{errors.Join(other, busy), "ERROR", "failed"},
		{errors.Join(errors.Join(busy, other), busy), "ERROR", "failed"},
		{fmt.Errorf("%w; %w", busy, other), "ERROR", "failed"},
	} {
		got := logged(t, pipeline.Report{Err: test.err})
		if got["level"] != test.level || got["msg"] != test.message {
			t.Errorf("%v: %v %q", test.err, got["level"], got["msg"])
		}
	}
}

// TestReportPrintable: an error may quote a key, and anybody who can put objects
// chooses their keys.
func TestReportPrintable(t *testing.T) {
	got := logged(t, pipeline.Report{Err: errors.New("no such key: a\u202eb\x1b[2J")})
	if want := `no such key: a\u202eb\x1b[2J`; got["error"] != want {
		t.Errorf("error %q, want %q", got["error"], want)
	}
}

// logged returns the log line of a report.
func logged(t *testing.T, r pipeline.Report) map[string]any {
	t.Helper()
	var b bytes.Buffer
	h := handler{log: slog.New(slog.NewJSONHandler(&b, nil))}
	h.report(t.Context(), r)
	var line map[string]any
	if err := json.Unmarshal(b.Bytes(), &line); err != nil {
		t.Fatal(err)
	}
	return line
}
