package rollup

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/connlog"
)

// old selects all but TLS 1.3.
func old(protocol, _ string) bool { return protocol != "TLSv1.3" }

var watching = Options{IPv6Prefix: 64, Watch: old, CertificateHorizon: 60 * 24 * time.Hour}

type watched struct {
	Successes    []Negotiation
	Certificates []Certificate
	Others       [2]uint64
}

func watchedOf(s *Summary) watched {
	return watched{s.Watched(), s.Certificates(), [2]uint64{s.OtherWatched, s.OtherCertificates}}
}

// Watched agrees with a slow and obvious way, in whatever order the entries come.
func TestWatched(t *testing.T) {
	log := makeLog(t, connlogtest.Options{Seed: 5, Lines: 5000})
	successes, certificates := make(map[string]uint64), make(map[string][2]uint64)
	for line := range strings.Lines(log) {
		f := connlogtest.Reference(strings.TrimSuffix(line, "\n"))
		if f == nil { // malformed
			continue
		}
		if f[10] == "Success" && f[4] != "TLSv1.3" {
			client := netip.MustParseAddr(f[1])
			bits := client.BitLen()
			if client.Is6() {
				bits = 64
			}
			prefix, _ := client.Prefix(bits)
			successes[fmt.Sprint(Client(prefix), f[3], f[4], f[5])]++
		}
		if _, until, ok := strings.Cut(f[8], "NotAfter="); ok {
			at, err := time.Parse(time.RFC3339, f[0])
			end, err2 := time.Parse(time.RFC3339, until)
			if err != nil || err2 != nil {
				t.Fatal(err, err2)
			}
			if end.Sub(at) < watching.CertificateHorizon {
				n := certificates[f[7]+" "+f[9]+" "+until]
				n[0]++
				if f[10] != "Success" {
					n[1]++
				}
				certificates[f[7]+" "+f[9]+" "+until] = n
			}
		}
	}
	whole := New(watching)
	fold(t, whole, log)
	gotSuccesses, gotCertificates := make(map[string]uint64), make(map[string][2]uint64)
	for _, s := range whole.Watched() {
		gotSuccesses[fmt.Sprint(s.Client, fmt.Sprint(s.ListenerPort), s.Protocol, s.Cipher)] = s.Count
	}
	for _, c := range whole.Certificates() {
		gotCertificates[c.Subject+" "+c.Serial+" "+c.NotAfter.Format("2006-01-02T15:04:05Z")] = [2]uint64{c.Connections, c.Failed}
	}
	if d := gocmp.Diff(successes, gotSuccesses); d != "" || len(successes) == 0 {
		t.Errorf("successes: -want +got\n%s", d)
	}
	if d := gocmp.Diff(certificates, gotCertificates); d != "" || len(certificates) == 0 {
		t.Errorf("certificates: -want +got\n%s", d)
	}

	want := watchedOf(whole)
	r := rand.New(rand.NewPCG(1, 2))
	lines := slices.Collect(strings.Lines(log))
	for range 10 {
		r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		s := New(watching)
		fold(t, s, strings.Join(lines, ""))
		if d := gocmp.Diff(want, watchedOf(s), diffOptions...); d != "" {
			t.Fatalf("-in order +shuffled\n%s", d)
		}
	}
}

// Without the options, nothing is watched.
func TestNotWatched(t *testing.T) {
	s := New(Options{})
	fold(t, s, makeLog(t, connlogtest.Options{Lines: 1000}))
	if w := watchedOf(s); len(w.Successes)+len(w.Certificates) > 0 || w.Others != [2]uint64{} {
		t.Errorf("%+v", w)
	}
}

// Sums are exact beyond the bounds.
func TestWatchedBounds(t *testing.T) {
	at := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	s := New(watching)
	const clients, certificates = maxWatched + 40_000, maxCertificates + 4000
	for i := range clients {
		e := connlog.Entry{Time: at, Client: netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), Protocol: "TLSv1.2", Cipher: "AES256-SHA", Status: "Success"}
		if i < certificates {
			e.ClientCert = connlog.ClientCert{Validity: []byte("x"), NotAfter: at.Add(time.Hour), Serial: fmt.Append(nil, i)}
		}
		s.Add(&e)
	}
	w := watchedOf(s)
	if len(w.Successes) != maxWatched || w.Others[0] != clients-maxWatched {
		t.Errorf("%d successes, %d others", len(w.Successes), w.Others[0])
	}
	if len(w.Certificates) != maxCertificates || w.Others[1] != certificates-maxCertificates {
		t.Errorf("%d certificates, %d others", len(w.Certificates), w.Others[1])
	}
}

func TestWatchedAllocations(t *testing.T) {
	entries := readEntries(t, strings.NewReader(makeLog(t, connlogtest.Options{Lines: 2000})))
	for i := range entries {
		entries[i].ClientCert = connlog.ClientCert{Subject: []byte("CN=x"), Serial: fmt.Append(nil, i%10), Validity: []byte("x"), NotAfter: entries[i].Time}
	}
	s := New(watching)
	if n := testing.AllocsPerRun(5, func() {
		for i := range entries {
			s.Add(&entries[i])
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d entries", n, len(entries))
	}
}
