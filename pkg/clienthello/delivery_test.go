package clienthello

import (
	"bytes"
	"crypto/tls"
	"strings"
	"testing"
	"time"
)

// How much of a ClientHello was delivered, and what the capture does not show.
func TestHalfDelivered(t *testing.T) {
	hello := onlyClient(hybrid())
	size, cut := len(hello), 1400
	// Acknowledges n bytes of the ClientHello.
	acknowledge := func(s *script, n int) {
		after := s.seq[0]
		s.seq[0] = 0xfffffe01 + uint32(n)
		s.segment(false, ack, s.seq[1], nil)
		s.seq[0] = after
	}
	end := func(s *script, flags uint8, n int) {
		after := s.seq[0]
		s.seq[0] = 0xfffffe01 + uint32(n)
		s.end(false, flags)
		s.seq[0] = after
	}
	again := func(s *script, from int) {
		s.segment(true, ack, 0xfffffe01+uint32(from), hello[from:min(from+cut, size)])
	}
	later := func(s *script, d time.Duration) { s.at = s.at.Add(d) }
	for name, test := range map[string]struct {
		play    func(s *script)
		kind    Kind
		want    int // bytes acknowledged; -1: no half-delivered ClientHello
		dropped bool
	}{
		"silence after the first segment": {func(s *script) {
			acknowledge(s, cut)
			later(s, 10*time.Second)
			acknowledge(s, cut)
		}, NoAnswer, cut, false},
		"reset after the first segment": {func(s *script) { acknowledge(s, cut); s.segment(false, rst, s.seq[1], nil) }, Reset, cut, false},
		"closed after the first segment": {func(s *script) {
			acknowledge(s, cut)
			later(s, time.Minute)
			end(s, fin, cut)
		}, Closed, cut, false},
		"the second segment sent again": {func(s *script) {
			acknowledge(s, cut)
			for range 3 {
				later(s, 300*time.Millisecond)
				again(s, cut)
			}
			later(s, 10*time.Second)
			end(s, fin, cut)
		}, Closed, cut, true},
		"the second segment at two interfaces": {func(s *script) {
			acknowledge(s, cut)
			s.at = s.at.Add(-time.Millisecond)
			copied := s.packets[4]
			s.packets = append(s.packets[:5], append([]packet{copied}, s.packets[5:]...)...)
			later(s, 10*time.Second)
			end(s, fin, cut)
		}, Closed, cut, false},
		"the client gives up": {func(s *script) {
			acknowledge(s, cut)
			later(s, 10*time.Second)
			s.end(true, rst)
		}, Reset, cut, false},
		"the client gives up at once":      {func(s *script) { s.end(true, rst) }, Reset, -1, false},
		"reset without an acknowledgement": {func(s *script) { s.segment(false, rst, s.seq[1], nil) }, Reset, -1, false},
		"reset that acknowledges all":      {func(s *script) { s.end(false, rst) }, Reset, -1, false},
		"reset that acknowledges nothing":  {func(s *script) { end(s, rst, 0) }, Reset, 0, false},
		"all acknowledged, then silence": {func(s *script) {
			acknowledge(s, cut)
			acknowledge(s, size)
			later(s, 10*time.Second)
			acknowledge(s, size)
		}, NoAnswer, -1, false},
		"an alert":         {func(s *script) { acknowledge(s, cut); s.send(false, record(21, []byte{2, 40}), 100) }, AlertSent, -1, false},
		"the capture ends": {func(s *script) { acknowledge(s, cut) }, CaptureEnded, -1, false},
		"nobody there": {func(s *script) {
			later(s, 10*time.Second)
			again(s, 0)
		}, NoAnswer, -1, false},
		"the first segment lost, the second acknowledged by SACK": {func(s *script) {
			acknowledge(s, 0)
			later(s, time.Second)
			again(s, 0)
			later(s, 10*time.Second)
			again(s, 0)
		}, NoAnswer, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := usual().open()
			s.send(true, hello, cut)
			test.play(s)
			h := one(t, ethernetPcap(s.packets))
			d := h.Outcome.HalfDelivered
			if h.Outcome.Kind != test.kind || (d != nil) != (test.want >= 0) {
				t.Fatalf("%s, %+v", told(h), d)
			}
			if d == nil {
				if strings.Contains(h.Cause(), "half") {
					t.Errorf("cause %s", h.Cause())
				}
				return
			}
			if d.Acknowledged != test.want || d.Sent != size || h.Size != size || d.LikelyDropped() != test.dropped || strings.Contains(h.Outcome.Note, "likely") != test.dropped {
				t.Errorf("%+v, want %d of %d; %s", d, test.want, size, h.Outcome.Note)
			}
		})
	}
}

// If the second segment is not in the capture, the size is that in the headers.
func TestHalfDeliveredIncomplete(t *testing.T) {
	hello := onlyClient(hybrid())
	for _, cut := range []int{9, 100, 1400, len(hello) - 1} {
		s := usual().open()
		s.segment(true, ack, s.seq[0], hello[:cut])
		s.seq[0] += uint32(cut)
		s.segment(false, ack, s.seq[1], nil)
		s.at = s.at.Add(time.Minute)
		s.end(false, fin)
		h := one(t, ethernetPcap(s.packets))
		if d := h.Outcome.HalfDelivered; !h.Truncated() || d == nil || d.Acknowledged != cut || d.Sent != len(hello) {
			t.Errorf("%d bytes: %+v, %v", cut, h.Outcome, h.Fault)
		}
	}
}

// A second ClientHello may be half-delivered too.
func TestHalfDeliveredSecondHello(t *testing.T) {
	c := trusting()
	c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
	flights := exchange(t, c, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}})
	s := usual().open()
	s.send(true, flights[0].data, 1448)
	s.send(false, flights[1].data[:5+int(flights[1].data[3])<<8+int(flights[1].data[4])], 1448)
	var second []byte
	for _, f := range flights[2:] {
		if f.client {
			second = append(second, f.data...)
		}
	}
	start := bytes.Index(second, []byte{22, 3, 3})
	n := start + 5 + int(second[start+3])<<8 + int(second[start+4])
	s.send(true, second[:n], n-50)
	s.seq[0] -= 50
	s.at = s.at.Add(time.Minute)
	s.end(false, fin)
	h := one(t, ethernetPcap(s.packets))
	if d := h.Outcome.HalfDelivered; h.SecondHello == nil || d == nil || d.Sent != n-start || d.Acknowledged != n-start-50 {
		t.Errorf("%+v, want %d", h.Outcome, n-start)
	}
}

// A server that asks for another key share again and again.
func TestHelloRetryLoop(t *testing.T) {
	c := trusting()
	c.CurvePreferences = []tls.CurveID{tls.X25519, tls.CurveP384}
	flights := exchange(t, c, &tls.Config{CurvePreferences: []tls.CurveID{tls.CurveP384}})
	s := usual().open()
	retry := flights[1].data[:5+int(flights[1].data[3])<<8+int(flights[1].data[4])]
	for range 3 {
		s.send(true, flights[0].data, 1448)
		s.send(false, retry, 1448)
	}
	s.end(true, fin)
	s.end(false, fin)
	h := one(t, ethernetPcap(s.packets))
	if h.Outcome.HelloRetries != 3 || h.Cause() != "HelloRetryRequest loop" || !strings.Contains(h.Outcome.Note, "HelloRetryRequest 3 times") {
		t.Errorf("%+v, %s", h.Outcome, h.Cause())
	}
}
