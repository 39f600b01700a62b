// Package alerttest makes the windows that tests of alerts look at.
package alerttest

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/rollup"
)

const (
	Bucket = "amzn-s3-demo-logging-bucket"
	// Key is the form of a key in the AWS page on connection logs.
	Key = "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2026/11/23/conn_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20261123T1005Z_172.160.001.192_20sg8hgm.log.gz"
)

// Log lines without time and client, for [Lines].
const (
	Success = `443 TLSv1.3 TLS_AES_128_GCM_SHA256 0.010 "-" - - Success`
	Expired = `8443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 - "CN=till-4.example.com,O=Example" NotBefore=2025-11-22T00:00:00Z;NotAfter=2026-11-22T00:00:00Z 0A1B Failed:ClientCertExpired`
	Novel   = `443 TLSv1.3 TLS_AES_128_GCM_SHA256 - "-" - - Failed:ClientCertFromTheFuture`
)

// Lines returns n lines of a client, a second apart.
func Lines(n int, client, rest string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "2026-11-23T10:0%d:%02d.000000Z %s %d %s\n", i/60%5, i%60, client, 40000+i, rest)
	}
	return b.String()
}

// Summarize reads a log.
func Summarize(t testing.TB, log []byte) *rollup.Summary {
	t.Helper()
	s := rollup.New(rollup.Options{IPv6Prefix: 64})
	z := connlog.NewReader(bytes.NewReader(log))
	var e connlog.Entry
	for {
		switch err := z.Read(&e).(type) {
		case nil:
			s.Add(&e)
		case *connlog.ParseError:
			s.AddMalformed()
		default:
			if err != io.EOF {
				t.Fatal(err)
			}
			return s
		}
	}
}

// Sum adds up windows over the time that they cover.
func Sum(windows ...alert.Window) alert.Window {
	start, end := windows[0].Start, windows[0].End
	var sum alert.Sum
	for _, w := range windows {
		sum.Add(w)
		if w.Start.Before(start) {
			start = w.Start
		}
		if w.End.After(end) {
			end = w.End
		}
	}
	return sum.Window(end, end.Sub(start))
}

// Observe returns the window of a log that was delivered under [Key].
func Observe(t testing.TB, log []byte, clients bool) alert.Window {
	t.Helper()
	k, err := logkey.Parse(Key)
	if err != nil {
		t.Fatal(err)
	}
	return alert.Observe(Summarize(t, log), k, "s3://"+Bucket+"/"+Key, clients)
}
