package world

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsname"
)

var update = flag.Bool("update", false, "rewrite golden files")

func generate(t *testing.T, kind string, seed uint64) *World {
	t.Helper()
	w, err := Generate(kind, seed)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// read returns the entries of all logs, by time.
func read(t *testing.T, logs []Log) (entries []connlog.Entry) {
	t.Helper()
	z := connlog.NewReader(nil)
	for _, l := range logs {
		z.Reset(bytes.NewReader(l.Text))
		for {
			var e connlog.Entry
			err := z.Read(&e)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", l.Key, err)
			}
			e.TraceID, e.ServerName, e.ClientCert = nil, nil, connlog.ClientCert{} // they point into the reader
			entries = append(entries, e)
		}
	}
	slices.SortStableFunc(entries, func(a, b connlog.Entry) int { return a.Time.Compare(b.Time) })
	return entries
}

// What the truth says is what the logs show.
func TestTruth(t *testing.T) {
	for _, kind := range Kinds() {
		for seed := range uint64(1) {
			if kind == "large" {
				break // as others, and takes a second
			}
			t.Run(fmt.Sprint(kind, seed), func(t *testing.T) {
				t.Parallel()
				w := generate(t, kind, seed)
				entries := read(t, w.Logs)
				checkTotals(t, w.Truth, entries)
				for _, in := range w.Truth.Incidents {
					checkIncident(t, in, entries)
				}
				if nothing := kind == Quiet || kind == "hits nobody"; nothing != (len(w.Truth.Incidents) == 0) {
					t.Errorf("%d incidents", len(w.Truth.Incidents))
				}
			})
		}
	}
}

func checkTotals(t *testing.T, truth *Truth, entries []connlog.Entry) {
	failed, failures := 0, make(map[netip.Addr]int)
	for _, e := range entries {
		if e.Failed() {
			failed++
			failures[e.Client]++
		}
	}
	if len(entries) != truth.Connections || failed != truth.Failed {
		t.Errorf("the logs have %d connections, %d failed; the truth %d, %d", len(entries), failed, truth.Connections, truth.Failed)
	}
	scanners := 0
	for _, e := range entries {
		if _, ok := slices.BinarySearchFunc(truth.Scanners, e.Client, netip.Addr.Compare); !ok {
			continue
		}
		scanners++
		if !e.Failed() || e.Protocol != "" {
			t.Fatalf("scanner %s negotiated something", e.Client)
		}
	}
	if scanners != truth.ScannerFailures {
		t.Errorf("%d failures of scanners; the truth has %d", scanners, truth.ScannerFailures)
	}
	both := slices.Concat(truth.Scanners, truth.Customers)
	if all := sorted(setOf(both)); len(all) != len(both) || !slices.Equal(all, sorted(setOf(slices.Collect(maps.Keys(failures))))) {
		t.Error("scanners and customers are not the clients with failures")
	}
}

func setOf(list []netip.Addr) map[netip.Addr]bool {
	set := make(map[netip.Addr]bool)
	for _, a := range list {
		set[a] = true
	}
	return set
}

func checkIncident(t *testing.T, in Incident, entries []connlog.Entry) {
	worked, fresh := setOf(in.WorkedBefore), setOf(in.NewCustomers)
	succeeded, failed := make(map[netip.Addr]bool), make(map[netip.Addr]bool)
	for _, e := range entries {
		if e.LoadBalancer != in.LoadBalancer || e.ListenerPort != in.Port || !worked[e.Client] && !fresh[e.Client] {
			continue
		}
		switch {
		case !e.Failed():
			succeeded[e.Client] = true
		case !succeeded[e.Client] && worked[e.Client]:
			t.Errorf("%s fails before its first success", e.Client)
		case !e.Time.Before(in.Start.Truncate(time.Second)):
			failed[e.Client] = true
		}
	}
	for a := range maps.Keys(worked) {
		if !failed[a] {
			t.Errorf("%s worked before, and does not fail since", a)
		}
	}
	if in.Oracle.After.After(in.Changed) || in.Oracle.Until.Before(in.Start) && in.Alike[0] != incident.Steady && in.Alike[0] != incident.Scan {
		t.Errorf("the oracle's bracket %v to %v does not contain %v to %v", in.Oracle.After, in.Oracle.Until, in.Start, in.Changed)
	}
}

// If a listener changes to another policy instead, those work whom the truth says to
// work.
func TestEffects(t *testing.T) {
	for seed := range uint64(2) {
		truth := generate(t, "policy", seed).Truth.Incidents[0]
		w := newWorld("policy", seed)
		w.policyChanged(w.ordinary(w.changedPolicies(seed)))
		w.run()
		in := w.incidents[0]
		worked := make(map[*program]bool)
		for _, e := range w.events {
			if e.listener == in.listener && e.reason == "" && e.at < in.start {
				worked[e.device.program] = true
			}
		}
		wasHit := breaking(in.before.policy, in.after.policy)
		good := 0
		for _, effect := range truth.Policies {
			if effect.Good() {
				good++
			}
			in.listener.after[0].policy = policies(strings.TrimPrefix(effect.Name, secpolicy.Prefix))[0]
			broken, others := make(map[*program]bool), make(map[*program]bool)
			for _, d := range w.devices {
				if o := w.connect(d, w.length, 1); d.listener == in.listener && o.cause == 0 && worked[d.program] {
					if slices.Contains(wasHit, d.program) {
						broken[d.program] = true
					} else {
						others[d.program] = true
					}
				}
			}
			if len(broken) != effect.Of-effect.Fixes || len(others) != effect.Breaks {
				t.Errorf("seed %d, %s: %d stay broken and %d break; the truth has %d of %d fixed, %d broken",
					seed, effect.Name, len(broken), len(others), effect.Fixes, effect.Of, effect.Breaks)
			}
		}
		if good == len(truth.Policies) {
			t.Errorf("seed %d: every policy is good", seed)
		}
	}
}

// No target has more than a sixth of the seeds, and all families are there before.
func TestPolicyVariety(t *testing.T) {
	after, family := make(map[string]int), make(map[string]int)
	for seed := range uint64(120) {
		w := newWorld("policy", seed)
		b, a := w.changedPolicies(seed)
		after[a.Name]++
		switch {
		case strings.Contains(b.Name, "RFC9151"):
			family["RFC 9151"]++
		case b.FIPS && b.PostQuantum:
			family["FIPS PQ"]++
		case b.FIPS:
			family["FIPS"]++
		case b.PostQuantum:
			family["PQ"]++
		case strings.HasPrefix(b.Name, secpolicy.Prefix+"FS"):
			family["FS"]++
		default:
			family["TLS"]++
		}
	}
	for name, n := range after {
		if n > 120/6 {
			t.Errorf("%s: %d of 120", name, n)
		}
	}
	if len(family) != 6 {
		t.Errorf("families before: %v", family)
	}
}

func TestNegotiate(t *testing.T) {
	rsa, ecdsa := keys{rsa: true}, keys{ecdsa: true}
	for _, test := range []struct {
		client, policy string
		keys           keys
		want           string
	}{
		{"Chromium 137 (Win 11)", "TLS13-1-2-Res-PQ-2025-09", rsa, "TLSv1.3 TLS_AES_128_GCM_SHA256 X25519MLKEM768"},
		{"Chromium 137 (Win 11)", "TLS13-1-2-2021-06", rsa, "TLSv1.3 TLS_AES_128_GCM_SHA256 x25519"},
		{"Chromium 137 (Win 11)", "2016-08", rsa, "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1"},
		{"Java 7u25", "2016-08", rsa, "TLSv1 ECDHE-RSA-AES128-SHA secp256r1"},
		{"Java 7u25", "TLS13-1-2-2021-06", rsa, "none"},
		{"Java 6u45", "2016-08", rsa, "TLSv1 AES128-SHA"},
		{"Java 6u45", "2016-08", ecdsa, "none"},
		{"Android 7.0", "TLS13-1-2-RFC9151-FIPS-2023-07", rsa, "none"},
		{"OpenSSL 1.1.0l (Debian)", "2016-08", ecdsa, "TLSv1.2 ECDHE-ECDSA-AES128-GCM-SHA256 secp256r1"},
		{"OpenSSL 1.1.1d, no RSA-PSS", "2016-08", rsa, "TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 secp256r1"},
		{"OpenSSL 1.1.1d, no RSA-PSS", "TLS13-1-2-2021-06", rsa, "none"},
		{"OpenSSL 3.0.15, groups x25519 only", "TLS13-1-2-FIPS-2023-04", rsa, "none"},
		{"OpenSSL 3.0.15, groups x25519 only", "2016-08", rsa, "TLSv1.2 AES128-GCM-SHA256"},
	} {
		a := negotiate(named(test.client)[0], policies(test.policy)[0], test.keys)
		got := "none"
		if a.ok() {
			got = a.version.String() + " " + a.suite.String()
			if a.group != 0 {
				got += " " + a.group.String()
			}
		}
		if got != test.want {
			t.Errorf("%s with %s: %s, want %s", test.client, test.policy, got, test.want)
		}
	}
	for _, p := range secpolicy.Builtin().Policies() {
		for _, c := range everyone {
			if a := negotiate(c, &p, rsa); a.ok() && (!slices.Contains(c.suites, a.suite) || !slices.Contains(p.Ciphers, a.suite) ||
				a.suite.Authentication() == tlsname.AuthECDSA) {
				t.Errorf("%s with %s: %v", c.name, p.Name, a)
			}
		}
	}
}

func TestGolden(t *testing.T) {
	var b bytes.Buffer
	for _, kind := range []string{"small", "NLB policy"} {
		w := generate(t, kind, 2)
		w.Truth.Customers, w.Truth.Scanners = nil, nil
		for i := range w.Truth.Incidents {
			w.Truth.Incidents[i].Policies = w.Truth.Incidents[i].Policies[:2]
		}
		text, err := json.MarshalIndent(w.Truth, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", text)
		slices.SortFunc(w.Logs, func(a, b Log) int { return strings.Compare(a.Key, b.Key) })
		for _, l := range w.Logs[:3] {
			lines := bytes.SplitAfterN(l.Text, []byte("\n"), 3)
			fmt.Fprintf(&b, "%s\n%s", l.Key, bytes.Join(lines[:len(lines)-1], nil))
		}
	}
	const name = "testdata/world.golden"
	if *update {
		if err := os.WriteFile(name, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), want) {
		t.Error("the worlds differ from testdata/world.golden: run with -update and read git diff")
	}
}

func TestUnknownKind(t *testing.T) {
	if _, err := Generate("flood", 1); err == nil || !strings.Contains(err.Error(), `no kind of incident "flood"; there are policy, `) {
		t.Errorf("got %v", err)
	}
}
