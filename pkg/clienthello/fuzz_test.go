package clienthello

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"

	"tlswatch/pkg/clienthello/capture"
)

// captureFiles are the captures of real clients.
func captureFiles(t testing.TB) map[string][]byte {
	t.Helper()
	names, err := filepath.Glob("testdata/captures/*.pcap")
	if err != nil || len(names) == 0 {
		t.Fatalf("no captures: %v", err)
	}
	files := make(map[string][]byte)
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(name)] = data
	}
	return files
}

var outer = netip.MustParseAddr("192.0.2.1")

// FuzzCapture looks for panics, buffers that are not released, and handshakes that lack
// a fault or an outcome.
func FuzzCapture(f *testing.F) {
	for _, files := range []map[string][]byte{captureFiles(f), caseFiles(f)} {
		for _, data := range files {
			f.Add(data)
		}
	}
	packets := usual().play(hybrid(), 700).packets
	f.Add(snapped(packets, 96))
	f.Add(ethernetPcap(fragmented(packets, []int{2, 0, 1}, fragment4)))
	f.Add(pcapOf(layers.LinkTypeLinuxSLL2, func(ip []byte) []byte { return append([]byte{8, 0, 19: 0}, ip...) }, packets))
	f.Add(pcapngOf(f, packets))
	f.Add(pcapOf(layers.LinkTypeEthernet, framed(0x8847, []byte{0, 1, 1, 64}, ethernet), packets))
	for _, tunnel := range []struct {
		flags, protocol uint16
		fields          []byte
	}{{0, 0x88be, nil}, {0x1000, 0x88be, make([]byte, 12)}, {0x1000, 0x22eb, make([]byte, 16)}, {0x4000, 0x0800, make([]byte, 8)}, {0x3081, 0x880b, make([]byte, 12)}} {
		f.Add(pcapOf(layers.LinkTypeEthernet, func(ip []byte) []byte { return gre(outer, tunnel.flags, tunnel.protocol, tunnel.fields, ethernet(ip)) }, packets))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tracker := NewTracker(Options{InTimeOrder: len(data)%2 == 0}, func(h *Handshake) error { return check(t, h) })
		tracker.Read(t.Context(), bytes.NewReader(data)) // an error is no failure
		if tracker.held > maxHeld+maxPending || tracker.packets.Held() > capture.MaxFragments {
			t.Errorf("%d bytes of segments and %d of fragments are held", tracker.held, tracker.packets.Held())
		}
		if err := tracker.Close(); err != nil {
			t.Error(err)
		}
		checkEmpty(t, tracker)
	})
}

func check(t *testing.T, h *Handshake) error {
	switch {
	case !h.Client.IsValid() || !h.Server.IsValid() || h.Outcome.Kind == "":
		t.Errorf("%+v", h)
	case h.Protocol.TLS() && h.Hello == nil && h.Fault == nil:
		t.Errorf("neither ClientHello nor fault: %+v", h)
	case h.Hello != nil && h.Fault == nil && h.Protocol == TLS && len(h.Hello.CipherSuites) == 0:
		t.Errorf("a ClientHello without cipher suites: %+v", h.Hello)
	}
	return nil
}

// FuzzPacket compares the two ways to read the headers of a packet: the Decoder's own
// code and gopacket.
func FuzzPacket(f *testing.F) {
	for _, p := range usual().play(classical(), 1448).packets[:6] {
		f.Add(p.ip)
	}
	for _, p := range newScript("[2001:db8::77]:40000", "[2001:db8::10]:443").open().packets {
		f.Add(p.ip)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var link = layers.LinkTypeIPv4
		if len(data) > 0 && data[0]>>4 == 6 {
			link = layers.LinkTypeIPv6
		}
		want := gopacket.NewPacket(data, link, gopacket.DecodeOptions{NoCopy: true})
		tcp, _ := want.TransportLayer().(*layers.TCP)
		if want.ErrorLayer() != nil || tcp == nil || want.Metadata().Truncated || len(want.Layers()) > 3 {
			tcp = nil // gopacket knows more tunnels, and is stricter
		}
		tracker := NewTracker(Options{}, func(*Handshake) error { return nil })
		tracker.packets.Packet(capture.Packet{Data: data, Time: start.UnixNano(), Link: link})
		if tcp == nil || len(tcp.Payload) == 0 && !tcp.SYN {
			return
		}
		if len(tracker.connections) != 1 {
			t.Fatalf("gopacket reads a TCP packet of %d bytes, and nothing is followed", len(tcp.Payload))
		}
		for key, c := range tracker.connections {
			ports := []uint16{uint16(tcp.SrcPort), uint16(tcp.DstPort)}
			if got := []uint16{key[0].Port, key[1].Port}; !(got[0] == ports[0] && got[1] == ports[1] || got[0] == ports[1] && got[1] == ports[0]) {
				t.Errorf("ports %v, want %v", got, ports)
			}
			if total := c.sides[0].bytes + c.sides[1].bytes + pendingBytes(c); !c.finished && total != len(tcp.Payload) {
				t.Errorf("%d bytes, want %d", total, len(tcp.Payload))
			}
		}
	})
}

func pendingBytes(c *connection) int {
	n := 0
	for i := range c.sides {
		for _, s := range c.sides[i].stream.pending {
			n += len(s.data) + s.missing
		}
	}
	return n
}

// FuzzSegments sends TCP segments of two connections with the same ports, four bytes for
// each: flags and sender, sequence number, acknowledgement, and what data.
func FuzzSegments(f *testing.F) {
	f.Add([]byte{0x02, 0, 0, 0, 0x92, 0, 1, 0, 0x10, 1, 1, 1, 0x90, 1, 2, 2})
	f.Add([]byte{0x10, 1, 1, 3, 0x14, 2, 1, 0, 0x92, 5, 9, 3, 0x02, 4, 0, 0, 0x92, 5, 5, 0, 0x10, 5, 6, 1})
	hello, server := onlyClient(classical()), classical()[1].data
	f.Add([]byte("2001\x81101")) // the ClientHello is lost, and the server's packets come first
	chunks := [][]byte{nil, hello, hello[:100], server, record(21, []byte{2, 40}), []byte("EHLO x\r\n"), []byte("STARTTLS\r\n"), make([]byte, 50), sslv2Hello(), record(23, make([]byte, 100))}
	starts := []uint32{0, 1, 101, uint32(len(hello)) + 1, 777, 778, 1 << 31, 1<<31 + 1, 0xfffffff0, 51}
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 400 {
			return
		}
		s := usual()
		for ; len(data) >= 4; data = data[4:] {
			client := data[0]&0x80 == 0
			s.seq[index(!client)] = starts[int(data[2])%len(starts)]
			s.segment(client, data[0]&(fin|syn|rst|ack), starts[int(data[1])%len(starts)], chunks[int(data[3])%len(chunks)])
			if data[3] >= 128 {
				s.at = s.at.Add(time.Duration(data[3]-128) * time.Minute)
			}
		}
		for _, inTimeOrder := range []bool{false, true} {
			all, stats := track(t, Options{InTimeOrder: inTimeOrder}, ethernetPcap(s.packets))
			for _, h := range all {
				check(t, h)
				if d := h.Outcome.HalfDelivered; d != nil && (d.Acknowledged < 0 || d.Acknowledged >= d.Sent) {
					t.Errorf("%d of %d bytes", d.Acknowledged, d.Sent)
				}
			}
			if stats.Handshakes != int64(len(all)) || stats.GivenUp != 0 {
				t.Errorf("%d handshakes, %+v", len(all), stats)
			}
		}
	})
}

// FuzzHandshake sends any bytes in the two directions of a connection.
func FuzzHandshake(f *testing.F) {
	for _, flights := range [][]flight{classical(), hybrid()} {
		var client, server []byte
		for _, fl := range flights {
			if fl.client {
				client = append(client, fl.data...)
			} else {
				server = append(server, fl.data...)
			}
		}
		f.Add(client, server, 500)
	}
	for _, d := range dialogs {
		var sent [2][]byte
		for _, turn := range d.turns {
			sent[index(turn.client)] = append(sent[index(turn.client)], turn.sent...)
		}
		f.Add(append(sent[0], onlyClient(classical())...), append(sent[1], record(21, []byte{2, 40})...), 100)
	}
	f.Add(sslv2Hello(), record(21, []byte{2, 70}), 5)
	f.Add([]byte("GET / HTTP/1.1\r\n"), []byte("HTTP/1.1 400\r\n"), 100)
	f.Fuzz(func(t *testing.T, client, server []byte, size int) {
		size = min(max(size, 1), 1448)
		if len(client)+len(server) > 1<<16 {
			return
		}
		s := usual().open()
		s.send(true, client, max(size, len(client)/200))
		s.send(false, server, max(size, len(server)/200))
		s.end(true, fin)
		s.end(false, fin)
		all, _ := track(t, Options{}, ethernetPcap(s.packets))
		for _, h := range all {
			check(t, h)
			if h.Truncated() && errors.Is(h.Fault, errNotCaptured) && h.Hello != nil {
				t.Errorf("a ClientHello that is not in the capture: %+v", h)
			}
		}
	})
}
