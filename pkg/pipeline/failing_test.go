package pipeline

import (
	"fmt"
	"net/netip"
	"testing"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/rollup"
)

// However many clients fail, the list has MaxFailing of them and the failures
// of the others, and nothing is lost.
func TestFailingClients(t *testing.T) {
	s := rollup.New(rollup.Options{IPv6Prefix: 64})
	const clients = MaxFailing + 50
	for i := range clients {
		for j := range 3 {
			reason := "ClientCertExpired"
			if j == 2 {
				reason = "UnmappedConnectionError"
			}
			s.Add(&connlog.Entry{
				Client:       netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}),
				ListenerPort: 443, Protocol: "TLSv1.2", Cipher: fmt.Sprint("suite-", j), Status: connlog.FailedPrefix + reason,
			})
		}
	}
	list := failingClients(s)
	var sum, other uint64
	reasons := make(map[string]bool)
	named := make(map[string]bool)
	for i, c := range list {
		sum += c.Failed
		reasons[c.Reason] = true
		if c.Client == metric.Other {
			other += c.Failed
			if c.Protocol != "" || c.Cipher != "" {
				t.Errorf("the others have %v", c)
			}
			continue
		}
		named[fmt.Sprint(c.Client, c.Reason)] = true
		if i > 0 && c.Failed > list[i-1].Failed && list[i-1].Client != metric.Other {
			t.Errorf("%v comes after %v", c, list[i-1])
		}
	}
	if sum != 3*clients || len(named) != MaxFailing || other == 0 || len(reasons) != 2 {
		t.Errorf("%d failures, %d of others, %d named, reasons %v", sum, other, len(named), reasons)
	}
}
