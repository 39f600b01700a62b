package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"tlswatch/pkg/report"
)

// One object that cannot be read: the others are in the report, it is named,
// and the exit status is 1.
func TestReportS3OneFails(t *testing.T) {
	b := newBucketful(t)
	keys := b.fill(t, 60)
	t.Setenv("AWS_ENDPOINT_URL_S3", newProxy(t, b, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, keys[31]) {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
		return true
	}))
	status, stdout, stderr := cli(t.Context(), "report", "--format", "json", "s3://"+cloudBucket)
	var r report.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	bad := "s3://" + cloudBucket + "/" + keys[31]
	if status != exitFailed || r.Objects != 59 || r.Connections != 118 || r.Failed != 59 || r.Partial {
		t.Errorf("exit status %d, %d objects, %d connections", status, r.Objects, r.Connections)
	}
	if len(r.FailedObjects) != 1 || r.FailedObjects[0].Object != bad || !strings.Contains(stderr, bad) {
		t.Errorf("failed %v; %s", r.FailedObjects, stderr)
	}
}

// Ctrl-C shows what was read so far.
func TestReportInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdin, feed := io.Pipe()
	defer feed.Close()
	go func() {
		fmt.Fprintf(feed, successLine, "192.0.2.1")
		io.WriteString(feed, strings.Repeat(" ", 1<<17)+"\n") // so that the first line is handed on
		cancel()
	}()
	var stdout, stderr bytes.Buffer
	status := run(ctx, []string{"report", "-"}, stdin, &stdout, &stderr)
	if status != exitInterrupted || !strings.HasPrefix(stdout.String(), "PARTIAL: interrupted") || !strings.Contains(stdout.String(), "1 connections") {
		t.Errorf("exit status %d\n%s", status, &stdout)
	}
	if !strings.Contains(stderr.String(), "the result is partial") {
		t.Errorf("standard error: %s", &stderr)
	}
}
