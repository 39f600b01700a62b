package clienthello

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gopacket/gopacket/layers"
)

// Ten thousand connections at the same time, with every packet from another connection
// than the previous one.
func TestManyConnections(t *testing.T) {
	const n = 10_000
	hellos := [][]flight{classical(), hybrid()}
	scripts := make([]*script, n)
	for i := range scripts {
		s := newScript(fmt.Sprintf("10.%d.%d.77:%d", i>>8, i&0xff, 1024+i), "198.51.100.10:443").open()
		for _, f := range hellos[i%2] {
			s.send(f.client, f.data, 1448)
		}
		scripts[i] = s
	}
	var packets []packet
	at := start
	for turn, left := 0, true; left; turn++ {
		left = false
		for _, s := range scripts {
			if turn < len(s.packets) {
				packets = append(packets, packet{at, s.packets[turn].ip})
				at = at.Add(time.Microsecond)
				left = true
			}
		}
	}
	capture := pcapOf(layers.LinkTypeRaw, nil, packets)
	want := [2]*Handshake{one(t, ethernetPcap(scripts[0].packets)), one(t, ethernetPcap(scripts[1].packets))}
	for _, ordered := range []bool{false, true} {
		all, stats := track(t, Options{InTimeOrder: ordered}, capture)
		if len(all) != n || stats.Handshakes != n || stats.GivenUp != 0 {
			t.Fatalf("%d handshakes, %+v", len(all), stats)
		}
		seen := make(map[netip.AddrPort]bool)
		for i, h := range all {
			seen[h.Client] = true
			kind := int(h.Client.Port()-1024) % 2
			if h.Hello.JA3() != want[kind].Hello.JA3() || h.Outcome != want[kind].Outcome {
				t.Fatalf("%v: %+v", h.Client, h)
			}
			if ordered && i > 0 && h.Time.Before(all[i-1].Time) {
				t.Fatalf("handshake %d is of %v, the one before of %v", i, h.Time, all[i-1].Time)
			}
		}
		if len(seen) != n {
			t.Errorf("%d clients", len(seen))
		}
	}
}

// The memory of a Tracker is bounded for any input, and what it gives up is counted.
func TestBounds(t *testing.T) {
	hello := onlyClient(hybrid())
	addr := func(i int) string { return fmt.Sprintf("10.%d.%d.%d:5000", i>>16, i>>8&0xff, i&0xff) }
	for name, test := range map[string]struct {
		n     int
		ports func(i int, s *script)
	}{
		"hellos without an end":      {10_000, func(_ int, s *script) { s.open().send(true, hello[:1400], 1448) }},
		"gaps":                       {1500, func(_ int, s *script) { s.open().segment(true, ack, s.seq[0]+1, make([]byte, 60_000)) }},
		"SYNs":                       {40_000, func(_ int, s *script) { s.segment(true, syn, 7, nil) }},
		"connections of before":      {40_000, func(_ int, s *script) { s.segment(true, ack, 7, hello[100:200]) }},
		"hellos that nobody answers": {40_000, func(_ int, s *script) { s.segment(true, ack, 7, hello) }},
	} {
		t.Run(name, func(t *testing.T) {
			told := 0
			tracker := NewTracker(Options{InTimeOrder: true}, func(*Handshake) error {
				told++
				return nil
			})
			var packets []packet
			for i := range test.n {
				s := newScript(addr(i), "198.51.100.10:443")
				test.ports(i, s)
				if packets = append(packets, s.packets...); i%500 != 499 {
					continue
				}
				if err := tracker.Read(t.Context(), bytes.NewReader(pcapOf(layers.LinkTypeRaw, nil, packets))); err != nil {
					t.Fatal(err)
				}
				packets = packets[:0]
				if tracker.held > maxHeld || len(tracker.connections) > maxConnections || tracker.waitingCost > maxWaiting {
					t.Fatalf("%d bytes held, %d connections, %d bytes wait", tracker.held, len(tracker.connections), tracker.waitingCost)
				}
			}
			if err := tracker.Close(); err != nil {
				t.Fatal(err)
			}
			checkEmpty(t, tracker)
			s := tracker.Stats()
			if total := s.Handshakes + s.Empty + s.Midstream + s.Other + s.Unreadable; total != int64(test.n) {
				t.Errorf("%d connections are accounted for, of %d: %+v", total, test.n, s)
			}
			if s.GivenUp == 0 && test.n > maxConnections {
				t.Errorf("nothing was given up: %+v", s)
			}
			if s.Handshakes != int64(told) {
				t.Errorf("%d reported, %+v", told, s)
			}
		})
	}
}

// Memory does not grow with the capture.
func TestMemory(t *testing.T) {
	heap := func(megabytes int) uint64 {
		r, w := io.Pipe()
		go func() {
			_, err := writeTraffic(w, megabytes*1e6)
			w.CloseWithError(err)
		}()
		tracker := NewTracker(Options{}, func(*Handshake) error { return nil })
		if err := tracker.Read(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		defer runtime.KeepAlive(tracker)
		return m.HeapAlloc
	}
	small, large := heap(5), heap(60)
	if large > small+8<<20 {
		t.Errorf("%d bytes after a small capture, %d after a large one", small, large)
	}
}

// Handshakes are reported when they end, not when the capture does.
func TestStreaming(t *testing.T) {
	r, w := io.Pipe()
	told := make(chan *Handshake)
	ended := make(chan error)
	go func() {
		tracker := NewTracker(Options{}, func(h *Handshake) error {
			told <- h
			return nil
		})
		err := tracker.Read(context.Background(), r)
		ended <- errors.Join(err, tracker.Close())
	}()
	var packets []packet
	for i := range 3 {
		packets = append(packets, newScript(fmt.Sprintf("198.51.100.77:%d", 40000+i), "198.51.100.10:443").play(hybrid(), 1448).packets...)
	}
	capture := ethernetPcap(packets)
	written := 24
	var writes sync.WaitGroup
	if _, err := w.Write(capture[:24]); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		connection := ethernetPcap(packets[i*len(packets)/3 : (i+1)*len(packets)/3])[24:]
		if !bytes.Equal(connection, capture[written:written+len(connection)]) {
			t.Fatal("the parts are not the whole")
		}
		writes.Go(func() { w.Write(connection) }) // while the reader tells
		if h := <-told; h.Client.Port() != uint16(40000+i) {
			t.Errorf("handshake %d is of port %d", i, h.Client.Port())
		}
		written += len(connection)
		writes.Wait()
	}
	w.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	var packets []packet
	for i, server := range []string{"198.51.100.10:443", "198.51.100.10:8443", "[2001:db8::10]:443"} {
		client := fmt.Sprintf("198.51.100.%d:40000", 77+i)
		if server[0] == '[' {
			client = "[2001:db8::77]:443" // the client's port is no server's
		}
		packets = append(packets, newScript(client, server).play(classical(), 1400).packets...)
	}
	// A server's port as a client's, which the options do not select.
	packets = append(packets, newScript("192.0.2.1:443", "192.0.2.2:9000").play(classical(), 1400).packets...)
	capture := ethernetPcap(packets)
	for name, test := range map[string]struct {
		o    Options
		want int
	}{
		"all":     {Options{}, 4},
		"443":     {Options{Ports: []uint16{443}}, 2},
		"two":     {Options{Ports: []uint16{443, 8443}}, 3},
		"clients": {Options{Clients: []netip.Prefix{netip.MustParsePrefix("198.51.100.77/32")}}, 1},
		"servers": {Options{Clients: []netip.Prefix{netip.MustParsePrefix("198.51.100.10/32")}}, 0},
		"IPv6":    {Options{Clients: []netip.Prefix{netip.MustParsePrefix("2001:db8::/32")}}, 1},
		"both":    {Options{Clients: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}, Ports: []uint16{8443}}, 1},
	} {
		if all, _ := track(t, test.o, capture); len(all) != test.want {
			t.Errorf("%s: %d handshakes, want %d", name, len(all), test.want)
		}
	}
}

// The ports of a connection may be reused immediately.
func TestPortReuse(t *testing.T) {
	first := usual().play(classical(), 1448)
	second := usual()
	second.seq, second.at = [2]uint32{1000, 2000}, first.at
	second.play(hybrid(), 1448)
	cut := usual() // a connection that only began
	cut.seq, cut.at = [2]uint32{5000, 6000}, second.at
	cut.open().send(true, onlyClient(hybrid())[:100], 1448)
	third := usual()
	third.seq, third.at = [2]uint32{9000, 9500}, cut.at
	third.play(classical(), 1448)
	all, stats := track(t, Options{}, ethernetPcap(slices.Concat(first.packets, second.packets, cut.packets, third.packets)))
	if len(all) != 4 || stats.Midstream != 0 {
		t.Fatalf("%d handshakes, %+v", len(all), stats)
	}
	if !all[2].Truncated() || all[2].Outcome.Kind != Closed && all[2].Outcome.Kind != CaptureEnded {
		t.Errorf("the third: %v, %+v", all[2].Fault, all[2].Outcome)
	}
}

// A connection that began before the capture does not hide the next one with its
// ports.
func TestPortReuseAfterMidstream(t *testing.T) {
	old := usual()
	old.segment(true, ack, 500, make([]byte, 100))
	old.segment(true, rst|ack, 600, nil)
	fresh := usual()
	fresh.at = old.at
	fresh.play(classical(), 1448)
	all, stats := track(t, Options{}, ethernetPcap(slices.Concat(old.packets, fresh.packets)))
	if len(all) != 1 || all[0].Fault != nil || stats.Midstream != 1 {
		t.Errorf("%d handshakes, %+v", len(all), stats)
	}
}

// For a capture of one direction, the note says that the other is missing.
func TestOneDirection(t *testing.T) {
	var client []packet
	for _, p := range usual().play(classical(), 1448).packets {
		if p.ip[15] == 77 {
			client = append(client, p)
		}
	}
	h := one(t, ethernetPcap(client))
	if h.Fault != nil || h.Hello == nil || h.Outcome.Kind != Closed || !strings.Contains(h.Outcome.Note, "server's packets are not in the capture") {
		t.Errorf("%+v", h)
	}
}

// A packet without a time has the time of the previous one.
func TestPacketsWithoutTime(t *testing.T) {
	var b bytes.Buffer
	block := func(kind uint32, body []byte) {
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
		for _, v := range []any{kind, uint32(len(body) + 12), body, uint32(len(body) + 12)} {
			binary.Write(&b, binary.LittleEndian, v)
		}
	}
	block(0x0a0d0d0a, []byte{0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff})
	block(1, []byte{101, 0, 0, 0, 0, 0, 4, 0})
	for _, p := range usual().play(hybrid(), 700).packets {
		block(3, append(binary.LittleEndian.AppendUint32(nil, uint32(len(p.ip))), p.ip...))
	}
	same(t, one(t, b.Bytes()), one(t, ethernetPcap(usual().play(hybrid(), 700).packets)))
}

// An idle connection is reported once the time of the capture has advanced, not before.
func TestIdle(t *testing.T) {
	quiet := usual().open()
	quiet.send(true, onlyClient(hybrid()), 1448)
	late := newScript("198.51.100.78:40000", "198.51.100.10:443")
	late.at = start.Add(idleTime + time.Minute)
	late.open()
	told := 0
	tracker := NewTracker(Options{}, func(h *Handshake) error {
		told++
		if h.Outcome.Kind != NoAnswer {
			t.Errorf("%+v", h.Outcome)
		}
		return nil
	})
	for i, s := range []*script{quiet, late} {
		if err := tracker.Read(t.Context(), bytes.NewReader(ethernetPcap(s.packets))); err != nil {
			t.Fatal(err)
		}
		if told != i {
			t.Errorf("after capture %d: %d reported", i, told)
		}
	}
}
