package report_test

import (
	"net/netip"
	"testing"
	"time"

	"tlswatch/internal/dev/reporttest"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
)

// A failing client, or block of clients, has its latest success.
func TestLatestSuccess(t *testing.T) {
	for bits, want := range map[int]string{0: "TLSv1 A", 24: "TLSv1.3 B"} {
		c := report.New(report.Options{IPv4Prefix: bits})
		w := c.Worker()
		add := func(client string, minute int, protocol, cipher, status string) {
			w.Add(&connlog.Entry{
				Time: reporttest.Start.Add(time.Duration(minute) * time.Minute), Client: netip.MustParseAddr(client),
				ListenerPort: 443, Protocol: protocol, Cipher: cipher, Status: status,
			})
		}
		add("192.0.2.1", 2, "TLSv1", "A", "Success")
		add("192.0.2.1", 1, "TLSv1.2", "C", "Success")
		add("192.0.2.1", 4, "", "", "Failed:UnmappedConnectionError")
		add("192.0.2.9", 3, "TLSv1.3", "B", "Success")
		w.Close()
		row := c.Result(report.Source{}, 0).FailedClients[0]
		at := reporttest.Start.Add(2 * time.Minute)
		if bits > 0 {
			at = at.Add(time.Minute)
		}
		if got := row.LastProtocol + " " + row.LastCipher; got != want || row.LastSuccess == nil || !row.LastSuccess.Equal(at) {
			t.Errorf("by %d bits: %q at %v, want %q at %v", bits, got, row.LastSuccess, want, at)
		}
	}
}
