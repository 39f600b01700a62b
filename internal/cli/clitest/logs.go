package clitest

import (
	"bytes"
	"compress/gzip"
	"io"
	"testing"
	"time"
)

// SuccessLine is the format of a log line, for a client.
const SuccessLine = `2026-11-23T10:00:00.000000Z %s 36280 443 TLSv1.2 X 0.010 "-" - - Success` + "\n"

// Gzip compresses text.
func Gzip(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

// Until waits until f returns true.
func Until(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 seconds", what)
		}
	}
}
