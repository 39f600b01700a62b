package clienthello

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// told writes what a handshake says: the client's end, the name it asked for, the outcome,
// and what is missing.
func told(h *Handshake) string {
	name := "-"
	if h.Hello != nil && h.Hello.ServerName != "" {
		name = h.Hello.ServerName
	}
	s := fmt.Sprintf("%s %s %s", h.Client, name, h.Outcome.Kind)
	if h.Outcome.By != "" {
		s += " by " + string(h.Outcome.By)
	}
	if h.Outcome.Kind == AlertSent {
		s += " " + h.Outcome.Alert.String()
	}
	if !h.Protocol.TLS() {
		s += " " + string(h.Protocol)
	}
	if d := h.Outcome.HalfDelivered; d != nil {
		s += fmt.Sprintf(" acknowledged %d of %d", d.Acknowledged, d.Sent)
	}
	if v := h.Outcome.Version; v != 0 {
		s += " " + v.String()
	}
	switch {
	case h.Fault == nil:
	case errors.Is(h.Fault, errServerOnly):
		s += " server only"
	case h.Truncated():
		s += " truncated"
	default:
		s += " invalid"
	}
	return s
}

const refused = "198.51.100.77:40000 www.example.com alert by server handshake_failure"

// cases are what the captures in testdata/cases show.
var cases = map[string][]string{
	"b-behind":                       {"198.51.100.77:39880 alb.example.test alert by server handshake_failure"},
	"b-synack-an-hour-behind":        {"198.51.100.77:39876 alb.example.test negotiated TLSv1.2"},
	"c-ntp-step-back-130s-after-syn": {"198.51.100.77:39876 alb.example.test negotiated TLSv1.2"},
	"e-appended":                     {"198.51.100.77:39880 alb.example.test alert by server handshake_failure", "198.51.100.77:39876 alb.example.test negotiated TLSv1.2"},
	"stepback":                       {"198.51.100.77:39876 alb.example.test negotiated TLSv1.2", "198.51.100.77:46450 - negotiated TLSv1.2"},
	"synack-early":                   {refused},
	"synack-fastopen":                {refused},
	"synack-stale-syn":               {refused},
	"gre":                            {refused},
	"mpls":                           {refused},
	"pppoe":                          {refused},
	"qinq-9100":                      {refused},
	"snap":                           {refused},
	"gre-mixed":                      {refused, refused},
	"http":                           {"198.51.100.77:40000 - not_tls by client HTTP"},
	"proxy1":                         {"1.2.3.4:1 www.example.com reset by server"},
	"proxy2":                         {"1.2.3.4:1 www.example.com alert by server handshake_failure"},
	"caporig":                        {refused},
	"minor1":                         {refused},
	"split-hello-reset":              {"198.51.100.77:40000 www.example.com reset by server acknowledged 0 of 1575"},
	"split-hello-silence":            {"198.51.100.77:40000 www.example.com no_answer acknowledged 0 of 1575"},
	"split-hello-server-side":        {"198.51.100.77:40000 www.example.com closed by server acknowledged 1400 of 1575 truncated"},
	"client_side_only":               {"198.51.100.77:39876 alb.example.test closed by client"},
	"server_side_only":               {"198.51.100.77:39876 - negotiated TLSv1.2 server only"},
}

// caseFiles are the captures of one oddity each.
func caseFiles(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/cases/*.pcap")
	if err != nil || len(names) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(filepath.Base(name), ".pcap")] = data
	}
	return files
}

func TestCases(t *testing.T) {
	files := caseFiles(t)
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			for _, inTimeOrder := range []bool{false, true} {
				all, stats := track(t, Options{InTimeOrder: inTimeOrder}, files[name])
				if got := toldAll(all); !slices.Equal(got, want) {
					t.Errorf("got  %q\nwant %q\n%+v", got, want, stats)
				}
				// No connection is invented. The last packets of one case only open a connection.
				if n := stats.Other + stats.Midstream + stats.Unreadable + stats.Plaintext + stats.Malformed + stats.GivenUp; n != 0 || stats.Empty > 0 && name != "split-hello-silence" {
					t.Errorf("%+v", stats)
				}
			}
		})
	}
}

func toldAll(all []*Handshake) []string {
	var list []string
	for _, h := range all {
		list = append(list, told(h))
	}
	return list
}

// What programs of Wireshark make of the cases shows the same.
func TestCaseVariants(t *testing.T) {
	for _, program := range []string{"editcap", "reordercap", "mergecap"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("SKIPPED: %s is not on PATH: variants of the captures were not read", program)
		}
	}
	const other = "testdata/captures/openssl_tls10_fail.pcap"
	variants := []struct {
		name string
		argv func(in, out string) []string
		more bool // the other capture is in it
	}{
		{"pcapng, another day", func(in, out string) []string { return []string{"editcap", "-F", "pcapng", "-t", "100000.5", in, out} }, false},
		{"in the order of time", func(in, out string) []string { return []string{"reordercap", in, out} }, false},
		{"merged with another", func(in, out string) []string { return []string{"mergecap", "-F", "pcapng", "-w", out, in, other} }, true},
		{"appended to another", func(in, out string) []string {
			return []string{"mergecap", "-a", "-F", "nsecpcap", "-w", out, other, in}
		}, true},
	}
	for name, want := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, v := range variants {
				out := filepath.Join(t.TempDir(), "out")
				argv := v.argv("testdata/cases/"+name+".pcap", out)
				if output, err := exec.Command(argv[0], argv[1:]...).CombinedOutput(); err != nil {
					t.Fatalf("%q: %v\n%s", argv, err, output)
				}
				data, err := os.ReadFile(out)
				if err != nil {
					t.Fatal(err)
				}
				all, stats := track(t, Options{}, data)
				got := toldAll(all)
				if v.more {
					i := slices.IndexFunc(got, func(s string) bool { return strings.Contains(s, "protocol_version") })
					if i < 0 {
						t.Fatalf("%s: the other handshake is lost: %q", v.name, got)
					}
					got = slices.Delete(got, i, i+1)
				}
				wanted := slices.Clone(want)
				slices.Sort(got)
				slices.Sort(wanted)
				if !slices.Equal(got, wanted) {
					t.Errorf("%s: got  %q\nwant %q\n%+v", v.name, got, wanted, stats)
				}
			}
		})
	}
}

// Ordinary captures have no half-delivered ClientHello.
func TestNoFalseHalfDelivered(t *testing.T) {
	for _, files := range []map[string][]byte{captureFiles(t), caseFiles(t)} {
		for name, data := range files {
			all, _ := track(t, Options{}, data)
			for _, h := range all {
				if h.Outcome.HalfDelivered != nil && !strings.HasPrefix(name, "split-hello") {
					t.Errorf("%s: %s", name, told(h))
				}
			}
		}
	}
}

// A rotated capture may be cut anywhere.
func TestCasesInParts(t *testing.T) {
	for name, data := range caseFiles(t) {
		want, known := cases[name]
		if !known || name == "minor1" || name == "caporig" {
			continue // their packets have no place in another file
		}
		header := data[:24]
		var got []string
		tracker := NewTracker(Options{}, func(h *Handshake) error {
			got = append(got, told(h))
			return nil
		})
		for rest := data[24:]; len(rest) > 0; { // each packet in a file of its own
			n := 16 + int(rest[8]) + int(rest[9])<<8
			if err := tracker.Read(t.Context(), bytes.NewReader(slices.Concat(header, rest[:n]))); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := tracker.Close(); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
