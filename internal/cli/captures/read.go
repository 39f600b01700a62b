// Package captures reads packet captures for commands. It describes how handshakes
// ended and whether a security policy accepts a client.
package captures

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/text"
	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/clienthello/capture"
)

// Read reads captures: first all files, in the order of their packets, then standard
// input and other pipes. A faulty capture does not keep it from reading the others.
func Read(ctx context.Context, t *clienthello.Tracker, paths []string, stdin io.Reader) error {
	var files []clienthello.Capture
	var pipes []string
	for _, path := range paths {
		if info, err := os.Stat(path); path == command.StdinPath || err == nil && !info.Mode().IsRegular() {
			pipes = append(pipes, path)
			continue
		}
		files = append(files, clienthello.Capture{Name: path, Open: func() (io.ReadCloser, error) { return command.OpenFile(ctx, path) }})
	}
	errs := []error{t.ReadAll(ctx, files)}
	for _, path := range pipes {
		if err := readPipe(ctx, t, path, stdin); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", path, err))
		}
	}
	return cmp.Or(ctx.Err(), errors.Join(errs...))
}

func readPipe(ctx context.Context, t *clienthello.Tracker, path string, stdin io.Reader) error {
	if path == command.StdinPath {
		return t.Read(ctx, command.Interruptible(ctx, stdin))
	}
	f, err := command.OpenFile(ctx, path)
	if err != nil {
		return err
	}
	defer f.Close()
	return t.Read(ctx, f)
}

// Remarks tells the user what the output leaves out.
func Remarks(s clienthello.Stats) []string {
	var remarks []string
	add := func(n int64, one, many string) {
		if n > 0 {
			remarks = append(remarks, text.Counted(n, one, many))
		}
	}
	add(s.Cut, "TCP packet is truncated by the snap length: capture with 'tcpdump -s 0'", "TCP packets are truncated by the snap length: capture with 'tcpdump -s 0'")
	add(s.Midstream, "connection began before the capture, or its first packets are missing", "connections began before the capture, or their first packets are missing")
	add(s.Unreadable, "connection lacks its first bytes", "connections lack their first bytes")
	add(s.Empty, "connection ended before the client sent anything", "connections ended before the client sent anything")
	add(s.Plaintext, "HTTP connection on a port other than 443 is not shown; --port shows it", "HTTP connections on ports other than 443 are not shown; --port shows them")
	add(s.Other, "connection is neither TLS nor HTTP", "connections are neither TLS nor HTTP")
	add(s.QUIC, "flow is QUIC and not shown: connection logs cover TLS over TCP", "flows are QUIC and not shown: connection logs cover TLS over TCP")
	add(s.DTLS, "flow is DTLS and not shown: connection logs cover TLS over TCP", "flows are DTLS and not shown: connection logs cover TLS over TCP")
	add(s.Fragments, "IP fragment lacks the rest of its packet", "IP fragments lack the rest of their packets")
	add(s.Malformed, "packet has truncated or invalid headers", "packets have truncated or invalid headers")
	add(s.EmptyRecords, "record of the capture is empty", "records of the capture are empty")
	add(s.LongRecords, "record is longer than its packet was, and is read whole", "records are longer than their packets were, and are read whole")
	add(s.OldRecords, "packet is from a pcap file of a version before 2.4", "packets are from pcap files of versions before 2.4")
	if skipped := skippedText(s.Skipped); skipped != "" {
		remarks = append(remarks, skipped)
	}
	add(s.GivenUp, "connection was dropped to limit memory", "connections were dropped to limit memory")
	if s.Handshakes == 0 {
		remarks = append(remarks, "no ClientHello among "+text.Plural(s.Packets, "packet"))
	}
	return remarks
}

// skippedText says how many packets were not looked into, by kind.
func skippedText(skipped []capture.Count) string {
	var n int64
	var kinds []string
	for _, c := range skipped {
		n += c.Packets
		kinds = append(kinds, fmt.Sprintf("%d %s", c.Packets, c.Kind))
	}
	if n == 0 {
		return ""
	}
	return text.Counted(n, "packet was", "packets were") + " not looked into: " + strings.Join(kinds, ", ")
}
