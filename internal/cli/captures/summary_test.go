package captures

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"tlswatch/internal/text"
	"tlswatch/pkg/clienthello"
	"tlswatch/pkg/clienthello/tlswire"
	"tlswatch/pkg/tlsname"
)

// handshake makes a handshake of a client at 10.0.0.LAST with a ClientHello of size bytes.
func handshake(last byte, size int, postQuantum bool, o clienthello.Outcome) *clienthello.Handshake {
	hello := &tlswire.ClientHello{KeyShares: []tlsname.Group{0x001d}}
	if postQuantum {
		hello.KeyShares = []tlsname.Group{0x11ec}
	}
	client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, last}), 40000)
	return &clienthello.Handshake{Protocol: clienthello.TLS, Client: client, Peer: client, Server: netip.MustParseAddrPort("192.0.2.1:443"), Hello: hello, Size: size, Outcome: o}
}

func TestSummary(t *testing.T) {
	negotiated := clienthello.Outcome{Kind: clienthello.Negotiated, Version: tlsname.TLS13}
	half := clienthello.Outcome{Kind: clienthello.Closed, By: clienthello.Server, HalfDelivered: &clienthello.Delivery{Acknowledged: 1400, Sent: 1575}}
	retry := clienthello.Outcome{Kind: clienthello.Closed, By: clienthello.Client, HelloRetry: 0x0018, HelloRetries: 1}
	s := NewSummary()
	for range 2 { // fails with post-quantum key shares, works without
		s.Add(handshake(1, 1575, true, half))
		s.Add(handshake(1, 517, false, negotiated))
	}
	s.Add(handshake(1, 517, false, negotiated)) // no retry
	s.Add(handshake(2, 1575, true, half))
	s.Add(handshake(2, 517, false, retry))
	for range 4 {
		s.Add(handshake(3, 517, false, retry))
	}
	s.Add(handshake(4, 1575, true, negotiated))
	s.Add(handshake(4, 517, false, negotiated))
	wantCauses := []Cause{{"client closed the connection, after a HelloRetryRequest", 5}, {"negotiated TLSv1.3", 5}, {"half-delivered ClientHello", 3}}
	if got := s.Causes(); !slices.Equal(got, wantCauses) {
		t.Errorf("causes %v, want %v", got, wantCauses)
	}
	want := []clientCounts{
		{Client: "10.0.0.1", Handshakes: 5, Negotiated: 3, PostQuantum: 2, SmallestHello: 517, LargestHello: 1575, HalfDelivered: 2, Retries: 2, RetriesNegotiated: 2},
		{Client: "10.0.0.2", Handshakes: 2, PostQuantum: 1, SmallestHello: 517, LargestHello: 1575, HalfDelivered: 1, Retries: 1, HelloRetries: 1},
		{Client: "10.0.0.3", Handshakes: 4, SmallestHello: 517, LargestHello: 517, HelloRetries: 4, HelloRetryLoops: 2},
		{Client: "10.0.0.4", Handshakes: 2, Negotiated: 2, PostQuantum: 1, SmallestHello: 517, LargestHello: 1575},
	}
	if got := s.ranked(); !slices.Equal(got, want) {
		t.Errorf("clients\n%+v\nwant\n%+v", got, want)
	}
	var b strings.Builder
	if err := s.Write(&b, text.Screen{}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"OUTCOMES of 13 handshakes",
		"  10.0.0.1           5           3   2  517 to 1,575               2  2 of 2 worked       -",
		"  10.0.0.3           4           0   0  517                        0  -                   4, 2 in a loop",
	} {
		if !strings.Contains(b.String(), line+"\n") {
			t.Errorf("%q is not in\n%s", line, b.String())
		}
	}
	wantNotes := []string{
		"10.0.0.1: 2 half-delivered (ClientHellos of 517 to 1,575 bytes); of the retries without post-quantum key shares, 2 of 2 worked",
		"10.0.0.2: 1 half-delivered (ClientHellos of 517 to 1,575 bytes); of the retries without post-quantum key shares, 0 of 1 worked",
		"10.0.0.3: 2 HelloRetryRequests in a loop",
	}
	if got := s.Notes(); !slices.Equal(got, wantNotes) {
		t.Errorf("notes %q, want %q", got, wantNotes)
	}
}

// The summary of a capture that never ends is bounded.
func TestSummaryBounded(t *testing.T) {
	s := NewSummary()
	for i := range 2 * maxClients {
		h := handshake(0, 517, false, clienthello.Outcome{Kind: clienthello.NoAnswer})
		h.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
		s.Add(h)
	}
	if len(s.clients) != maxClients || s.others != maxClients || s.Causes()[0].Count != 2*maxClients {
		t.Errorf("%d clients, %d others", len(s.clients), s.others)
	}
}
