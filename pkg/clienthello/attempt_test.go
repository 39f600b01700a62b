package clienthello

import (
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/gopacket/gopacket/layers"
)

// insert puts packets into others.
func insert(packets []packet, at int, more ...packet) []packet {
	return slices.Insert(slices.Clone(packets), at, more...)
}

// alone makes one packet of the usual connection.
func alone(client bool, flags uint8, seq, acknowledged uint32) packet {
	s := usual()
	s.seq[index(!client)] = acknowledged
	s.segment(client, flags, seq, nil)
	return s.packets[0]
}

// A stale SYN, and what answers it, belong to no connection.
func TestStaleSYN(t *testing.T) {
	for _, flights := range [][]flight{classical(), hybrid()} {
		packets := usual().play(flights, 700).packets
		want := one(t, ethernetPcap(packets))
		for at := 1; at <= len(packets); at++ {
			for _, seq := range []uint32{777, 2488, 1 << 31} {
				stale := alone(true, syn, seq, 0)
				challenge := alone(false, ack, 78, 0xfffffe01)
				refusal := alone(false, rst|ack, 0, seq+1)
				for _, more := range [][]packet{{stale}, {stale, challenge}, {stale, refusal}, {stale, stale}} {
					all, stats := track(t, Options{}, ethernetPcap(insert(packets, at, more...)))
					if len(all) != 1 || stats.Empty+stats.Midstream+stats.Other+stats.Unreadable != 0 {
						t.Fatalf("SYN %d at %d, %d packets: %d handshakes, %+v", seq, at, len(more), len(all), stats)
					}
					same(t, all[0], want)
				}
			}
		}
	}
}

// The server may still have an earlier connection, which it acknowledges and the client
// resets.
func TestHalfOpen(t *testing.T) {
	packets := usual().play(classical(), 700).packets
	want := one(t, ethernetPcap(packets))
	for _, old := range []uint32{1 << 20, 1 << 31, 0xfff00000} {
		reset := alone(true, rst, old, 0)
		for _, more := range [][]packet{{alone(false, ack, 4711, old), reset, packets[0]}, {reset, packets[0]}} {
			all, stats := track(t, Options{}, ethernetPcap(insert(packets, 1, more...)))
			if len(all) != 1 || stats.Empty+stats.Midstream+stats.Other != 0 {
				t.Fatalf("%d: %d handshakes, %+v", old, len(all), stats)
			}
			same(t, all[0], want)
		}
	}
}

// Of several SYN-ACKs, the one counts that the client acknowledges.
func TestUnlikeSYNACKs(t *testing.T) {
	packets := usual().play(classical(), 700).packets
	want := one(t, ethernetPcap(packets))
	for _, seq := range []uint32{5, 78, 1 << 31, 0xffffff00} {
		other := alone(false, syn|ack, seq, 0xfffffe01)
		for at := 1; at <= len(packets); at++ {
			if at == 2 && seq == 78 {
				continue
			}
			for _, more := range [][]packet{{other}, {other, other}, {packets[0], other}} {
				all, stats := track(t, Options{}, ethernetPcap(insert(packets, at, more...)))
				if len(all) != 1 || stats.Empty+stats.Midstream+stats.Other != 0 {
					t.Fatalf("SYN-ACK %d at %d: %d handshakes, %+v", seq, at, len(all), stats)
				}
				same(t, all[0], want)
			}
		}
	}
}

// A client may try again from the same port with another sequence number. The attempt
// without an answer is no connection.
func TestSecondAttempt(t *testing.T) {
	packets := usual().play(classical(), 700).packets
	want := one(t, ethernetPcap(packets))
	all, stats := track(t, Options{}, ethernetPcap(insert(packets, 0, alone(true, syn, 99, 0), alone(true, syn, 99, 0))))
	if len(all) != 1 || stats.Empty != 0 {
		t.Fatalf("%d handshakes, %+v", len(all), stats)
	}
	same(t, all[0], want)
}

// Connections that reuse ports are all found, whatever their sequence numbers, even if an
// earlier one has no end in the capture.
func TestPortReuseAnywhere(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 3))
		var packets []packet
		at := start
		want := 2 + r.IntN(3)
		for range want {
			s := usual()
			s.at, s.seq = at, [2]uint32{r.Uint32(), r.Uint32()}
			s.play(classical(), 100+r.IntN(1400))
			if r.IntN(3) == 0 {
				s.packets = s.packets[:5+r.IntN(len(s.packets)-5)]
			}
			at = s.at
			packets = append(packets, s.packets...)
		}
		all, stats := track(t, Options{}, ethernetPcap(packets))
		if len(all) != want || stats.Empty+stats.Midstream+stats.Other != 0 {
			t.Errorf("seed %d: %d handshakes, want %d; %+v", seed, len(all), want, stats)
		}
	}
}

// With TCP Fast Open, the ClientHello is in the SYN, also if a port is reused.
func TestFastOpen(t *testing.T) {
	hello := onlyClient(classical())
	var packets []packet
	at := start
	for i := range 3 {
		s := usual()
		s.at, s.seq = at, [2]uint32{uint32(1000 * i), uint32(7000 * i)}
		s.segment(true, syn, s.seq[0], hello)
		s.seq[0] += 1 + uint32(len(hello))
		s.segment(false, syn|ack, s.seq[1], nil)
		s.seq[1]++
		s.send(false, record(21, []byte{2, 40}), 100)
		s.end(false, fin)
		packets, at = append(packets, s.packets...), s.at
	}
	all, stats := track(t, Options{}, ethernetPcap(packets))
	if len(all) != 3 || stats.Empty+stats.Midstream+stats.Other != 0 {
		t.Fatalf("%q, %+v", toldAll(all), stats)
	}
	for _, h := range all {
		if h.Fault != nil || h.Outcome.Kind != AlertSent {
			t.Errorf("%s", told(h))
		}
	}
}

// A SYN-ACK, with data or without, may follow a connection that began before the capture.
func TestSYNACKAfterMidstream(t *testing.T) {
	for _, n := range []int{0, 100} {
		old := usual()
		old.segment(true, ack, 500, make([]byte, 100))
		old.segment(true, rst|ack, 600, nil)
		old.segment(false, syn|ack, 900, make([]byte, n))
		fresh := usual()
		fresh.at = old.at
		fresh.play(classical(), 1448)
		all, stats := track(t, Options{}, ethernetPcap(slices.Concat(old.packets, fresh.packets)))
		if len(all) != 1 || all[0].Fault != nil || stats.Midstream != 1 {
			t.Errorf("%d bytes: %q, %+v", n, toldAll(all), stats)
		}
	}
}

// The directions of a connection may come through different tunnels, and the packets of
// different connections through different tunnels may have the same addresses.
func TestTunnels(t *testing.T) {
	s := usual().play(hybrid(), 700)
	want := one(t, ethernetPcap(s.packets))
	in := func(ip []byte) []byte { return gre(outer, 0, uint16(etherType(ip)), nil, ip) }
	mixed := func(frame func(i int, ip []byte) []byte) []byte {
		i := -1
		return pcapOf(layers.LinkTypeEthernet, func(ip []byte) []byte {
			i++
			return frame(i, ip)
		}, s.packets)
	}
	same(t, one(t, mixed(func(_ int, ip []byte) []byte {
		if ip[15] == 77 {
			return in(ip)
		}
		return ethernet(ip)
	})), want)
	other := usual().play(classical(), 1448)
	var frames []packet
	for i := range max(len(s.packets), len(other.packets)) {
		if i < len(s.packets) {
			frames = append(frames, packet{start, in(s.packets[i].ip)})
		}
		if i < len(other.packets) {
			frames = append(frames, packet{start, ethernet(other.packets[i].ip)})
		}
	}
	all, _ := track(t, Options{}, pcapOf(layers.LinkTypeEthernet, nil, frames))
	if len(all) != 2 || all[0].Outcome.Kind != Negotiated || all[1].Outcome.Kind != Negotiated || all[0].Outcome.Version == all[1].Outcome.Version {
		t.Errorf("%q", toldAll(all))
	}
}
