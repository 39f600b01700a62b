package hello

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
)

// With --policy live the listener's policy judges, and if there are several
// load balancers it has to be said which.
func TestHelloLive(t *testing.T) {
	clitest.StartELB(t)
	capture := clitest.Path("pkg/clienthello/testdata/captures/openssl_cbc_fail.pcap")
	if _, stderr := clitest.Want(t, command.ExitUsage, New(), "hello", "--policy", "live", capture); !strings.Contains(stderr, "--load-balancer") || !strings.Contains(stderr, "app/") {
		t.Errorf("several: %s", stderr)
	}
	if _, stderr := clitest.Want(t, command.ExitFailed, New(), "hello", "--policy", "live", "--load-balancer", "nowhere", capture); !strings.Contains(stderr, "no load balancer nowhere") {
		t.Errorf("none: %s", stderr)
	}
	for lb, want := range map[string][2]string{
		"shop":                        {"ELBSecurityPolicy-2016-08", "certificate-unknown"},
		"app/agency/0011223344556677": {"ELBSecurityPolicy-TLS13-1-2-FIPS-2023-04", "cipher-not-in-policy"},
		"edge":                        {"", "not-judged"},
	} {
		stdout, _ := clitest.Want(t, command.ExitOK, New(), "hello", "--policy", "live", "--load-balancer", lb, "--format", "json", capture)
		var list []handshakeJSON
		if err := json.Unmarshal([]byte(stdout), &list); err != nil {
			t.Fatal(err)
		}
		if len(list) != 1 || list[0].Verdict == nil || list[0].Verdict.Policy != want[0] || list[0].Verdict.Code != want[1] {
			t.Errorf("%s: got %+v, want %v", lb, list[0].Verdict, want)
		}
	}
}

// From a pipe, a handshake is printed when it has ended.
func TestHelloStreams(t *testing.T) {
	capture, err := os.ReadFile(clitest.Path("pkg/clienthello/testdata/captures/openssl_cbc_fail.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	for _, format := range []string{"table", "json"} {
		stdin, in := io.Pipe()
		out, stdout := io.Pipe()
		status := make(chan int)
		go func() {
			status <- clitest.RunIO(t.Context(), New(), []string{"hello", "--format", format, "-"}, stdin, stdout, io.Discard)
			stdout.Close()
		}()
		go in.Write(capture)
		seen := make(chan bool, 1)
		go func() {
			s := bufio.NewScanner(out)
			for s.Scan() {
				if strings.Contains(s.Text(), "handshake_failure") {
					select {
					case seen <- true:
					default:
					}
				}
			}
		}()
		select {
		case <-seen:
		case <-time.After(30 * time.Second):
			t.Fatalf("%s: nothing is printed while the input is open", format)
		}
		in.Close()
		if s := <-status; s != command.ExitOK {
			t.Errorf("%s: exit status %d", format, s)
		}
	}
}

// Ctrl-C ends a live capture with the summary. Connections without an end are in it.
func TestHelloInterrupted(t *testing.T) {
	capture, err := os.ReadFile(clitest.Path("pkg/clienthello/testdata/captures/openssl_cbc_fail.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	unfinished, err := os.ReadFile(clitest.Path("pkg/clienthello/testdata/cases/client_side_only.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	const header, hello = 24, 24 + 3*16 + 74 + 66 + 583 // where packets begin, and the third one ends
	live := append(capture, unfinished[header:hello]...)
	for _, test := range []struct {
		args           []string
		stdout, stderr string
	}{
		{[]string{"hello", "-"}, "OUTCOMES of 2 handshakes\n", "interrupted"},
		{[]string{"hello", "--summary", "-"}, "OUTCOMES of 2 handshakes\n", "interrupted"},
		{[]string{"hello", "--format", "json", "-"}, "\n]\n", "OUTCOMES of 2 handshakes\n"},
		{[]string{"hello", "--summary", "--format", "json", "-"}, "\"handshakes\": 2,", "interrupted"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		stdin, in := io.Pipe()
		var stdout, stderr strings.Builder
		status := make(chan int)
		go func() { status <- clitest.RunIO(ctx, New(), test.args, stdin, &stdout, &stderr) }()
		in.Write(live)
		for range 3 { // a part of a record is asked for after all records before it were read
			in.Write([]byte{0})
		}
		cancel()
		if s := <-status; s != command.ExitInterrupted {
			t.Errorf("%q: exit status %d", test.args, s)
		}
		if !strings.Contains(stdout.String(), test.stdout) || !strings.Contains(stderr.String(), test.stderr) {
			t.Errorf("%q:\n%s\n%s", test.args, &stdout, &stderr)
		}
		if test.args[len(test.args)-2] == "json" && !json.Valid([]byte(stdout.String())) {
			t.Errorf("%q: no valid JSON: %s", test.args, &stdout)
		}
	}
}
