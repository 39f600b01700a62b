package realtls

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tlswatch/internal/cli/captures"
	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

// A variation is a client with settings.
type variation struct {
	name  string
	fetch func(t *testing.T, targets []target) map[int]bool // by port: whether the page came
}

// A target is a server to fetch a page of.
type target struct {
	port     int
	identity string // file with a client certificate and its key, "" for none
}

// one makes the function fetch of a program that fetches one page at a time.
func one(path string, args func(target) []string) func(*testing.T, []target) map[int]bool {
	return func(t *testing.T, targets []target) map[int]bool {
		came := make(map[int]bool)
		for _, to := range targets {
			came[to.port] = answered(t, path, args(to))
		}
		return came
	}
}

// answered runs a program that gets a request as its input, until it prints the answer or
// ends.
func answered(t *testing.T, path string, args []string) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, path, args...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	io.WriteString(stdin, "GET / HTTP/1.0\r\n\r\n") // fails if the program has ended
	came := false
	for lines := bufio.NewScanner(stdout); !came && lines.Scan(); {
		came = strings.Contains(lines.Text(), "HTTP/1.")
	}
	cancel()
	cmd.Wait()
	return came
}

// many makes the function fetch of a program in testdata, which fetches all pages. The
// suffix is that of the files with client certificates that it reads.
func many(versions, suffix string, command ...string) func(*testing.T, []target) map[int]bool {
	return func(t *testing.T, targets []target) map[int]bool {
		ctx, cancel := context.WithTimeout(t.Context(), timeout)
		defer cancel()
		cmd := exec.CommandContext(ctx, command[0], command[1:]...)
		var in, stderr bytes.Buffer
		for _, to := range targets {
			file := to.identity
			if file != "" {
				file += suffix
			}
			fmt.Fprintf(&in, "%d\t%s\t%s\n", to.port, versions, file)
		}
		cmd.Stdin, cmd.Stderr = &in, &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%q: %v\n%s", command, err, &stderr)
		}
		came := make(map[int]bool)
		for line := range strings.Lines(string(out)) {
			port, answer, _ := strings.Cut(line, "\t")
			var n int
			if _, err := fmt.Sscan(port, &n); err != nil {
				t.Fatalf("%q prints %q", command, line)
			}
			came[n] = strings.HasPrefix(answer, "HTTP/1.")
		}
		if len(came) != len(targets) {
			t.Fatalf("%q answers for %d of %d servers\n%s", command, len(came), len(targets), &stderr)
		}
		return came
	}
}

// withGo makes the function fetch of crypto/tls.
func withGo(config *tls.Config) func(*testing.T, []target) map[int]bool {
	return func(t *testing.T, targets []target) map[int]bool {
		came := make(map[int]bool)
		for _, to := range targets {
			c := config.Clone()
			c.ServerName, c.InsecureSkipVerify = host, true
			if to.identity != "" {
				pair, err := tls.LoadX509KeyPair(to.identity, to.identity)
				if err != nil {
					t.Fatal(err)
				}
				c.Certificates = []tls.Certificate{pair}
			}
			conn, err := tls.DialWithDialer(&net.Dialer{Timeout: 30 * time.Second}, "tcp", local(to.port), c)
			if err != nil {
				continue
			}
			io.WriteString(conn, "GET / HTTP/1.0\r\n\r\n")
			answer := make([]byte, 7)
			_, err = io.ReadFull(conn, answer)
			came[to.port] = err == nil && string(answer) == "HTTP/1."
			conn.Close()
		}
		return came
	}
}

// variations returns the clients that are installed.
func variations(t *testing.T) (list []variation) {
	t.Helper()
	installed := func(name string) bool {
		_, err := exec.LookPath(name)
		if err != nil {
			t.Logf("SKIPPED: %s is not on PATH", name)
		}
		return err == nil
	}
	add := func(name string, fetch func(*testing.T, []target) map[int]bool) {
		list = append(list, variation{name, fetch})
	}
	if installed("openssl") {
		for _, settings := range []string{
			"", "-tls1 -cipher DEFAULT:@SECLEVEL=0", "-tls1_1 -cipher DEFAULT:@SECLEVEL=0", "-tls1_2", "-tls1_3",
			"-tls1_2 -cipher ECDHE-RSA-AES256-SHA", "-tls1_2 -cipher AES128-SHA", "-tls1_2 -cipher ECDHE-ECDSA-AES128-GCM-SHA256:AES256-SHA256",
			"-tls1_2 -cipher ECDHE-RSA-CHACHA20-POLY1305", "-curves X25519", "-curves P-521", "-tls1_2 -curves X25519", "-tls1_2 -sigalgs RSA+SHA256",
			"-tls1_1 -fallback_scsv -cipher DEFAULT:@SECLEVEL=0", "-ciphersuites TLS_CHACHA20_POLY1305_SHA256 -cipher AES128-SHA256",
			"-tls1_3 -sigalgs RSA+SHA256:ECDSA+SHA256",
		} {
			add("openssl s_client "+settings, one("openssl", func(to target) []string {
				args := append([]string{"s_client", "-quiet", "-connect", local(to.port), "-servername", host}, strings.Fields(settings)...)
				if to.identity != "" {
					args = append(args, "-cert", to.identity, "-key", to.identity)
				}
				return args
			}))
		}
	}
	if installed("gnutls-cli") {
		for _, settings := range []string{
			"NORMAL", "NORMAL:-VERS-ALL:+VERS-TLS1.2", "NORMAL:-VERS-ALL:+VERS-TLS1.0", "NORMAL:-VERS-TLS1.3:-KX-ALL:+RSA",
			"NORMAL:-GROUP-ALL:+GROUP-X25519", "NORMAL:-CIPHER-ALL:+AES-256-CBC:+CHACHA20-POLY1305",
		} {
			add("gnutls-cli "+settings, one("gnutls-cli", func(to target) []string {
				args := []string{"--insecure", "--sni-hostname", host, "--priority", settings, "-p", fmt.Sprint(to.port), "127.0.0.1"}
				if to.identity != "" {
					args = append(args, "--x509certfile", to.identity, "--x509keyfile", to.identity)
				}
				return args
			}))
		}
	}
	if installed("curl") {
		for _, settings := range []string{"", "--tls-max 1.2", "--tlsv1.0 --tls-max 1.0 --ciphers DEFAULT@SECLEVEL=0", "--tlsv1.3", "--curves X25519"} {
			add("curl "+settings, one("curl", func(to target) []string {
				args := append([]string{"-ski", "--http1.0", "--connect-to", host + ":443:" + local(to.port)}, strings.Fields(settings)...)
				if to.identity != "" {
					args = append(args, "--cert", to.identity)
				}
				return append(args, "https://"+host+"/")
			}))
		}
	}
	for _, program := range []struct {
		name, file, suffix string
		versions           []string
	}{
		{"python3", "fetch.py", "", []string{"", "TLSv1.2", "TLSv1,TLSv1.1"}},
		{"node", "fetch.js", "", []string{"", "TLSv1.2", "TLSv1,TLSv1.1"}},
		{"java", "Fetch.java", ".p12", []string{"", "TLSv1.2", "TLSv1.3"}},
	} {
		if installed(program.name) {
			for _, versions := range program.versions {
				add(program.name+" "+versions, many(versions, program.suffix, program.name, filepath.Join("testdata", program.file)))
			}
		}
	}
	for name, config := range map[string]*tls.Config{
		"": {}, "1.2": {MaxVersion: tls.VersionTLS12}, "1.0": {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
		"x25519": {CurvePreferences: []tls.CurveID{tls.X25519}}, "one suite": {MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{0xc027}},
	} {
		add("go "+name, withGo(config))
	}
	slices.SortFunc(list, func(a, b variation) int { return strings.Compare(a.name, b.name) })
	return list
}

var pairPolicies = []string{
	"2016-08", "TLS13-1-0-2021-06", "TLS13-1-2-2021-06", "TLS13-1-2-Res-2021-06", "TLS13-1-3-2021-06", "TLS-1-2-2017-01",
	"FS-1-1-2019-08", "TLS13-1-2-FIPS-2023-04", "TLS13-1-2-Res-PQ-2025-09", "TLS13-1-2-RFC9151-INTEROP4-FIPS-2023-07",
}

// servers starts each implementation with each policy and certificate.
func servers(t *testing.T, ids *identities) (list []*server) {
	t.Helper()
	for _, implementation := range []struct {
		program string
		start   func(*testing.T, *identities, *secpolicy.Policy, secpolicy.KeyKinds, bool) *server
	}{{"", newGo}, {"openssl", newOpenSSL}, {"gnutls-serv", newGnuTLS}} {
		if implementation.program != "" {
			if _, err := exec.LookPath(implementation.program); err != nil {
				t.Logf("SKIPPED: %s is not on PATH", implementation.program)
				continue
			}
		}
		for i, name := range pairPolicies {
			policy, err := secpolicy.Lookup(secpolicy.Prefix + name)
			if err != nil {
				t.Fatal(err)
			}
			for j, certificates := range []secpolicy.KeyKinds{secpolicy.RSA, secpolicy.ECDSA, secpolicy.RSA | secpolicy.ECDSA} {
				list = append(list, implementation.start(t, ids, policy, certificates, (i+j)%3 == 0))
			}
		}
	}
	return list
}

// counts are outcomes of pairs.
type counts struct {
	sync.Mutex
	accepted, refused, unknown, mutual int
}

// TestPairs compares the verdict on each client with what it negotiates with each server.
func TestPairs(t *testing.T) {
	needReal(t)
	ids := newIdentities(t)
	all := servers(t, ids)
	var n counts
	t.Run("clients", func(t *testing.T) {
		for i, c := range variations(t) {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				var some []*server
				for j, s := range all {
					if (i+j)%3 == 0 {
						some = append(some, s)
					}
				}
				n.pairs(t, c, some, ids)
			})
		}
	})
	t.Logf("%d pairs: %d accepted, %d refused, %d unknown; %d with a client certificate", n.accepted+n.refused+n.unknown, n.accepted, n.refused, n.unknown, n.mutual)
	if n.accepted+n.refused+n.unknown < 500 || n.accepted < 200 || n.refused < 100 || n.unknown > (n.accepted+n.refused)/5 || n.mutual < 100 {
		t.Error("too few pairs, or too many unknown")
	}
}

// pairs lets a client fetch a page of each server.
func (n *counts) pairs(t *testing.T, c variation, servers []*server, ids *identities) {
	var targets []target
	var relays []*relay
	for _, s := range servers {
		r := newRelay(t, s.address)
		relays = append(relays, r)
		to := target{port: r.port}
		if s.mutual {
			to.identity = ids.file(kinds(s.certificates)[0])
		}
		targets = append(targets, to)
	}
	came := c.fetch(t, targets)
	for i, s := range servers {
		client, chosen, err := relays[i].hellos()
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		n.judge(t, s, client, chosen, came[targets[i].port])
	}
}

// doubt returns why an outcome is unknown that has nothing to do with the policy, "" if
// nothing is.
func (s *server) doubt(o secpolicy.Offer, v secpolicy.Verdict) string {
	pss := func(s tlsname.SignatureScheme) bool { return 0x0804 <= s && s <= 0x0806 }
	switch {
	case s.mutual && v.Version() == tlsname.TLS13 && !slices.ContainsFunc(o.SignatureSchemes, pss):
		return "the client cannot sign with its RSA key in TLS 1.3"
	case !s.ordered && s.certificates == secpolicy.RSA|secpolicy.ECDSA:
		// The server chooses a certificate first, and may choose one that the client cannot verify.
		o.Certificates = secpolicy.ECDSA
		if v := s.policy.Accepts(o); v.Accepted && len(v.Hints) > 0 {
			return "with the ECDSA certificate: " + v.Hints[0]
		}
	}
	return ""
}

// judge compares the verdict on a ClientHello with the outcome.
func (n *counts) judge(t *testing.T, s *server, client *tlswire.ClientHello, chosen *tlswire.ServerHello, came bool) {
	t.Helper()
	o := captures.OfferOf(client)
	o.Certificates = s.certificates
	v := s.policy.Accepts(o)
	if reason := s.doubt(o, v); reason != "" {
		v.Hints = append(v.Hints, reason)
	}
	says := fmt.Sprintf("%s: accepted %t, %s, %q", s, v.Accepted, v.Reason, v.Hints)
	n.Lock()
	defer n.Unlock()
	if s.mutual {
		n.mutual++
	}
	switch {
	case !v.Accepted:
		if n.refused++; came {
			t.Errorf("%s; but it works", says)
		}
	case len(v.Hints) > 0:
		n.unknown++
	case !came || chosen == nil:
		t.Errorf("%s; but it fails", says)
	default:
		n.accepted++
		// crypto/tls prefers ChaCha20 for clients that do.
		ordered := s.ordered && o.Suites[0] != 0x1303
		if chosen.Version != v.Version() || ordered && chosen.CipherSuite != v.Suite {
			t.Errorf("%s; but it negotiates %s with %s", says, chosen.Version, chosen.CipherSuite)
		}
	}
}
