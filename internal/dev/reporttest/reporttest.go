// Package reporttest makes the results that tests of reports look at.
package reporttest

import (
	"io"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/report"
)

// Start is a time for [Line].
var Start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

// Log lines without time, client and ports, for [Line].
const (
	Good = `TLSv1.3 TLS_AES_128_GCM_SHA256 0.010 "-" - - Success TID_1 x25519 app/a/1 192.0.2.1`
	Bad  = `TLSv1.2 ECDHE-RSA-AES256-SHA - "-" - - Failed:UnmappedConnectionError TID_1 - app/a/1 192.0.2.1`

	// Hostile has names and a subject as a malicious client would choose them.
	Hostile = `TLSv1.2 <script>alert(1)</script> - "=HYPERLINK(\"http://evil\")\,\"x\"<img src=x onerror=alert(2)>` + "\x1b[31m" + `" NotBefore=2026-01-01T00:00:00Z;NotAfter=2026-12-01T00:00:00Z 01 Failed:</script><b>&` + "\u202e" + ` TID_1 @SUM(A1) app/a/1 192.0.2.1`
)

// Line makes a log line.
func Line(at time.Time, client, rest string) string {
	return at.Format("2006-01-02T15:04:05.000000Z") + " " + client + " 36280 443 " + rest + "\n"
}

// Collect counts the lines of a log, by several workers in turn.
func Collect(t testing.TB, o report.Options, log string, workers int) *report.Collector {
	t.Helper()
	c := report.New(o)
	var ws []*report.Worker
	for range workers {
		ws = append(ws, c.Worker())
	}
	r := connlog.NewReader(strings.NewReader(log))
	var e connlog.Entry
	for i := 0; ; i++ {
		err := r.Read(&e)
		if err == io.EOF {
			break
		}
		if err == nil {
			ws[i%workers].Add(&e)
		}
	}
	for _, w := range ws {
		w.Close()
	}
	return c
}

// Mixed collects a log with rows for every list, and returns it with a source
// that has every fault.
func Mixed(t testing.TB) (*report.Collector, report.Source) {
	t.Helper()
	log := string(connlogtest.Log(connlogtest.Options{Seed: 7, Lines: 2000, Duration: 50 * time.Minute})) +
		Line(Start, "192.0.2.99", strings.Replace(Good, `"-" - -`, `"CN=ends soon" NotBefore=2026-01-01T00:00:00Z;NotAfter=2026-12-01T00:00:00Z 01`, 1))
	source := report.Source{
		Objects: 12, OutsideObjects: 3, Bytes: 1_234_567, Lines: 2003, MalformedLines: 1002,
		Skipped:       []report.SkippedCount{{Reason: logkey.AccessLog, Count: 2}},
		Malformed:     []report.MalformedLine{{Object: "logs/conn_log_1.log.gz", Line: 17, Error: `client_ip: not an IP address: "x"`}},
		FailedObjects: []report.FailedObject{{Object: "logs/cut.log.gz", Error: "gzip data is cut"}}, Partial: true,
	}
	c := Collect(t, report.Options{ByListener: true}, log, 1)
	c.Diagnose("ELBSecurityPolicy-TLS13-1-2-2021-06", func(f report.Failure) report.Diagnosis {
		if f.Cipher == "ECDHE-RSA-AES256-SHA" && f.Port == 443 && f.LoadBalancer != "" {
			return report.Diagnosis{ID: "cipher-not-in-policy", Cause: "The policy does not accept ECDHE-RSA-AES256-SHA, which is the best that the client offered.", Remedy: "Update the client. ELBSecurityPolicy-2016-08 accepts it, but gives up forward secrecy for all."}
		}
		return report.Diagnosis{ID: "other", Cause: "Something else: " + f.Status}
	})
	return c, source
}
