package clienthello

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// sides splits packets by their sender.
func sides(packets []packet) (client, server []packet) {
	for _, p := range packets {
		if p.ip[15] == 77 {
			client = append(client, p)
		} else {
			server = append(server, p)
		}
	}
	return client, server
}

// What one direction shows is said, and what it does not show is not claimed.
func TestOneSide(t *testing.T) {
	failed := usual().open()
	failed.send(true, onlyClient(hybrid()), 700)
	failed.segment(false, ack, failed.seq[1], nil)
	failed.send(false, record(21, []byte{2, 40}), 100)
	failed.end(false, fin)
	failed.at = failed.at.Add(time.Minute)
	failed.end(true, fin)
	silent := usual().open()
	silent.send(true, onlyClient(hybrid()), 700)
	silent.at = silent.at.Add(time.Minute)
	silent.end(true, rst)
	for name, test := range map[string]struct {
		packets        []packet
		client, server string
	}{
		"TLS 1.2": {usual().play(classical(), 700).packets,
			"198.51.100.77:40000 alb.example.test closed by client", "198.51.100.77:40000 - negotiated TLSv1.2 server only"},
		"TLS 1.3": {usual().play(hybrid(), 700).packets,
			"198.51.100.77:40000 alb.example.test closed by client", "198.51.100.77:40000 - closed by server TLSv1.3 server only"},
		"an alert": {failed.packets,
			"198.51.100.77:40000 alb.example.test closed by client", "198.51.100.77:40000 - alert by server handshake_failure server only"},
		"silence": {silent.packets, "198.51.100.77:40000 alb.example.test reset by client", ""},
	} {
		t.Run(name, func(t *testing.T) {
			client, server := sides(test.packets)
			h := one(t, ethernetPcap(client))
			if got := told(h); got != test.client || !h.Outcome.AnswerMissing || h.Outcome.HalfDelivered != nil || h.Fault != nil ||
				!strings.Contains(h.Outcome.Note, "server's packets are not in the capture") {
				t.Errorf("of the client: %s, %+v", got, h.Outcome)
			}
			for _, inTimeOrder := range []bool{false, true} {
				all, stats := track(t, Options{InTimeOrder: inTimeOrder}, ethernetPcap(server))
				if test.server == "" {
					if len(all) != 0 || stats.Empty != 1 {
						t.Errorf("of the server: %q, %+v", toldAll(all), stats)
					}
					continue
				}
				if got := toldAll(all); !slices.Equal(got, []string{test.server}) || stats.Other+stats.Empty+stats.Midstream != 0 {
					t.Fatalf("of the server: %q, %+v", got, stats)
				}
				if h := all[0]; !errors.Is(h.Fault, errServerOnly) || !h.Truncated() || h.Hello != nil {
					t.Errorf("of the server: %v", h.Fault)
				}
			}
			// One side after the other, as two captures.
			want := told(one(t, ethernetPcap(test.packets)))
			if test.server != "" {
				all, _ := track(t, Options{InTimeOrder: true}, ethernetPcap(slices.Concat(client[:1], server, client[1:])))
				if got := toldAll(all); !slices.Equal(got, []string{want}) {
					t.Errorf("the server first: %q, want %q", got, want)
				}
			}
		})
	}
}

// The client's packets after those of the server may have no ClientHello.
func TestNoClientHello(t *testing.T) {
	packets := usual().play(classical(), 700).packets
	_, server := sides(packets)
	bare := usual()
	bare.seq[0] += 5000
	bare.segment(true, ack, bare.seq[0], record(23, make([]byte, 100)))
	all, stats := track(t, Options{InTimeOrder: true}, ethernetPcap(slices.Concat(server[1:], bare.packets)))
	if len(all) != 0 || stats.Midstream != 1 {
		t.Errorf("%q, %+v", toldAll(all), stats)
	}
}
