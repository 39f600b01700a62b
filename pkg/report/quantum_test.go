package report_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/reporttest"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
)

// A client is listed for what the log proves: successful TLS without post-quantum key
// exchange.
func TestNonPostQuantumClients(t *testing.T) {
	for _, test := range []struct{ what, connections, want string }{
		{"up to TLS 1.2", "TLSv1.2 secp256r1 Success; TLSv1 - Success", "2 TLSv1.2 false"},
		{"TLS 1.2 without a group, as with RSA key exchange", "TLSv1.2 - Success", "1 TLSv1.2 false"},
		{"another spelling", "TLSv1.3 P-256 Success", "1 TLSv1.3 false"},
		{"post-quantum", "TLSv1.3 X25519MLKEM768 Success", ""},
		{"some of both", "TLSv1.3 X25519MLKEM768 Success; TLSv1.2 secp256r1 Success", "1 TLSv1.2 true"},
		{"TLS 1.3, and the log names no group", "TLSv1.3 - Success", ""},
		{"TLS 1.3 with a group that is not known", "TLSv1.3 NEWGROUP Success", ""},
		{"a protocol that is not known", "TLSv9 x25519 Success", "1 - false"},
		{"neither is known", "TLSv9 NEWGROUP Success", ""},
		{"failed negotiations", "TLSv1.2 secp256r1 Failed:ClientCertExpired; - - Failed:UnmappedConnectionError", ""},
		{"plain HTTP", "- - -", ""},
	} {
		c := report.New(report.Options{})
		w := c.Worker()
		for connection := range strings.SplitSeq(test.connections, "; ") {
			f := strings.Fields(connection)
			for i := range f {
				if f[i] == "-" {
					f[i] = "" // as entries have it
				}
			}
			w.Add(&connlog.Entry{Time: reporttest.Start, Client: netip.MustParseAddr("203.0.113.7"), Protocol: f[0], KeyExchange: f[1], Status: f[2]})
		}
		w.Close()
		r := c.Result(report.Source{}, 0)
		var got []string
		for _, x := range r.NonPostQuantumClients {
			got = append(got, fmt.Sprint(x.Connections, " ", x.Protocol, " ", x.PostQuantum))
		}
		if strings.Join(got, "; ") != test.want || r.TotalNonPostQuantumClients != len(got) {
			t.Errorf("%s: %q of %d, want %q", test.what, got, r.TotalNonPostQuantumClients, test.want)
		}
	}
}

// Most clients may be without it: a result with all rows has the first ones, unless all
// are wanted.
func TestNonPostQuantumClientsAreBounded(t *testing.T) {
	for _, test := range []struct {
		all       bool
		top, want int
	}{{false, 0, 100}, {true, 0, 300}, {false, 7, 7}, {true, 7, 7}} {
		c := report.New(report.Options{AllClients: test.all})
		w := c.Worker()
		for i := range 300 {
			w.Add(&connlog.Entry{Time: reporttest.Start, Client: netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), Protocol: "TLSv1.2", Status: "Success"})
		}
		w.Close()
		if r := c.Result(report.Source{}, test.top); len(r.NonPostQuantumClients) != test.want || r.TotalNonPostQuantumClients != 300 {
			t.Errorf("%+v: %d of %d", test, len(r.NonPostQuantumClients), r.TotalNonPostQuantumClients)
		}
	}
}

// A certificate has the clients that use it most, and how many there are, however the
// lines are spread over workers.
func TestCertificateClients(t *testing.T) {
	var log strings.Builder
	add := func(subject, notAfter string, client, times int) {
		for range times {
			log.WriteString(reporttest.Line(reporttest.Start, fmt.Sprintf("203.0.113.%d", client), fmt.Sprintf(`TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 0.01 "CN=%s" NotBefore=2020-01-01T00:00:00Z;NotAfter=%sT00:00:00Z 01 Success TID_1`, subject, notAfter)))
		}
	}
	soon, late := reporttest.Start.AddDate(0, 0, 10).Format(time.DateOnly), reporttest.Start.AddDate(0, 0, 50).Format(time.DateOnly)
	for client := range 9 {
		add("fleet", soon, client, 1+client%3)
	}
	add("one", soon, 200, 2)
	add("later", late, 201, 1)
	for _, workers := range []int{1, 2, 7} {
		for days, want := range map[int][]string{
			0:  {"CN=fleet 9 [203.0.113.2 203.0.113.5 203.0.113.8 203.0.113.1 203.0.113.4]", "CN=one 1 [203.0.113.200]"},
			9:  nil,
			60: {"CN=fleet 9 [203.0.113.2 203.0.113.5 203.0.113.8 203.0.113.1 203.0.113.4]", "CN=one 1 [203.0.113.200]", "CN=later 1 [203.0.113.201]"},
		} {
			r := reporttest.Collect(t, report.Options{Expiring: time.Duration(days) * 24 * time.Hour}, log.String(), workers).Result(report.Source{}, 0)
			var got []string
			for _, x := range r.ClientCertificates {
				got = append(got, fmt.Sprint(x.Subject, " ", x.Clients, " ", x.Examples))
			}
			if d := gocmp.Diff(want, got); d != "" {
				t.Errorf("%d workers, %d days: -want +got\n%s", workers, days, d)
			}
		}
	}
}
