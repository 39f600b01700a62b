package clienthello

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// interleaved returns the packets of n connections, in turn and 1 ms apart. Every third
// one gets no answer after the ClientHello until its end.
func interleaved(n int, r *rand.Rand) []packet {
	var left [][]packet
	for i := range n {
		s := newScript(fmt.Sprintf("198.51.100.77:%d", 40000+i), "198.51.100.10:443")
		flights := classical()
		if i%2 == 0 {
			flights = hybrid()
		}
		if i%3 == 0 {
			s.open().send(true, flights[0].data, 700)
			s.end(false, rst)
		} else {
			s.play(flights, 700)
		}
		left = append(left, s.packets)
	}
	var all []packet
	at := start
	for len(left) > 0 {
		i := r.IntN(len(left))
		at = at.Add(time.Millisecond)
		all = append(all, packet{at, left[i][0].ip})
		if left[i] = left[i][1:]; len(left[i]) == 0 {
			left = slices.Delete(left, i, i+1)
		}
	}
	return all
}

// sorted is toldAll in the order of text.
func sorted(all []*Handshake) []string {
	list := toldAll(all)
	slices.Sort(list)
	return list
}

// Wrong times of packets change no handshake.
func TestTimesContradict(t *testing.T) {
	hour := time.Hour
	for name, shift := range map[string]func(i int, r *rand.Rand) time.Duration{
		"one packet ahead": func(i int, r *rand.Rand) time.Duration {
			if i == 30 {
				return hour
			}
			return 0
		},
		"one packet behind": func(i int, r *rand.Rand) time.Duration {
			if i == 30 {
				return -hour
			}
			return 0
		},
		"some packets anywhere": func(i int, r *rand.Rand) time.Duration {
			if r.IntN(10) == 0 {
				return time.Duration(r.Int64N(int64(48*hour))) - 24*hour
			}
			return 0
		},
		"two machines":                   func(i int, r *rand.Rand) time.Duration { return time.Duration(r.IntN(2)) * hour },
		"two machines, one minute apart": func(i int, r *rand.Rand) time.Duration { return time.Duration(r.IntN(2)) * time.Minute },
		"three machines":                 func(i int, r *rand.Rand) time.Duration { return time.Duration(r.IntN(3)) * hour },
		"steps ahead":                    func(i int, r *rand.Rand) time.Duration { return time.Duration(i/40) * hour },
		"steps back":                     func(i int, r *rand.Rand) time.Duration { return -time.Duration(i/40) * hour },
		"there and back":                 func(i int, r *rand.Rand) time.Duration { return time.Duration(i/30%2) * 3 * time.Minute },
		"backward":                       func(i int, r *rand.Rand) time.Duration { return -2 * time.Duration(i) * time.Millisecond },
	} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(20) {
				r := rand.New(rand.NewPCG(seed, 1))
				packets := interleaved(12, r)
				all, stats := track(t, Options{}, ethernetPcap(packets))
				want := sorted(all)
				if len(want) != 12 || stats.Midstream+stats.Other+stats.Empty != 0 {
					t.Fatalf("seed %d: %d handshakes in order, %+v", seed, len(want), stats)
				}
				for i := range packets {
					packets[i].at = packets[i].at.Add(shift(i, r))
				}
				all, stats = track(t, Options{InTimeOrder: seed%2 == 0}, ethernetPcap(packets))
				if got := sorted(all); !slices.Equal(got, want) || stats.Midstream+stats.Other+stats.Empty+stats.GivenUp != 0 {
					t.Errorf("seed %d: got  %q\nwant %q\n%+v", seed, got, want, stats)
				}
			}
		})
	}
}

// An odd packet in one file does not keep its connections from the packets of another.
func TestTimesContradictInFiles(t *testing.T) {
	for seed := range uint64(20) {
		r := rand.New(rand.NewPCG(seed, 2))
		packets := interleaved(8, r)
		all, _ := track(t, Options{}, ethernetPcap(packets))
		want := sorted(all)
		var parts [2][]packet
		for i, p := range packets {
			p.at = start.Add(time.Duration(i) * time.Second) // so that it takes minutes
			if i%12 == 7 && r.IntN(2) == 0 {
				p.at = p.at.Add(time.Hour)
			}
			parts[i%2] = append(parts[i%2], p)
		}
		var got []*Handshake
		tracker := NewTracker(Options{}, func(h *Handshake) error {
			got = append(got, h)
			return nil
		})
		var files []Capture
		for i := range parts {
			files = append(files, Capture{fmt.Sprint(i), func() (io.ReadCloser, error) {
				return io.NopCloser(bytes.NewReader(ethernetPcap(parts[i]))), nil
			}})
		}
		if err := tracker.ReadAll(t.Context(), files); err != nil {
			t.Fatal(err)
		}
		tracker.Close()
		if !slices.Equal(sorted(got), want) {
			t.Errorf("seed %d: got  %q\nwant %q\n%+v", seed, sorted(got), want, tracker.Stats())
		}
	}
}

// While the time does not advance, memory is bounded by the number of connections.
func TestManyWithoutTime(t *testing.T) {
	tracker := NewTracker(Options{}, func(*Handshake) error { return nil })
	hello := onlyClient(classical())
	for i := range 17 {
		var packets []packet
		for j := range 2000 {
			s := newScript(fmt.Sprintf("10.%d.%d.%d:40000", i, j>>8, j&0xff), "198.51.100.10:443")
			s.send(true, hello, 1448)
			for k := range s.packets {
				s.packets[k].at = start.Add(-time.Duration(i*2000+j) * time.Hour)
			}
			packets = append(packets, s.packets...)
		}
		if err := tracker.Read(t.Context(), bytes.NewReader(ethernetPcap(packets))); err != nil {
			t.Fatal(err)
		}
		if n := tracker.open.n + tracker.closed.n; n > maxConnections {
			t.Fatalf("%d connections", n)
		}
	}
	if err := tracker.Close(); err != nil || tracker.Stats().Handshakes != 34_000 {
		t.Errorf("%v, %+v", err, tracker.Stats())
	}
	checkEmpty(t, tracker)
}

// Silence is seen although the first packet was far ahead, or the time steps afterwards.
func TestSilenceAtOddTimes(t *testing.T) {
	for name, shift := range map[string]func(i int) time.Duration{
		"none":              func(int) time.Duration { return 0 },
		"the first packet":  func(i int) time.Duration { return map[bool]time.Duration{true: time.Hour}[i == 0] },
		"all but the first": func(i int) time.Duration { return map[bool]time.Duration{true: time.Hour}[i > 0] },
		"the last packet":   func(i int) time.Duration { return map[bool]time.Duration{true: -time.Hour}[i == 8] },
	} {
		quiet := usual().open()
		quiet.send(true, onlyClient(classical()), 1448)
		late := newScript("198.51.100.78:40000", "198.51.100.10:443")
		late.at = quiet.at.Add(20 * time.Second)
		packets := append(quiet.packets, late.open().packets...)
		late.send(true, onlyClient(classical()), 100)
		for i := range packets {
			packets[i].at = packets[i].at.Add(shift(i))
		}
		all, _ := track(t, Options{}, ethernetPcap(packets))
		if len(all) == 0 || all[0].Outcome.Kind != NoAnswer {
			t.Errorf("%s: %q", name, toldAll(all))
		}
	}
}

// With little traffic, a connection without an answer is reported before the capture ends.
func TestPauses(t *testing.T) {
	quiet := usual().open()
	quiet.send(true, onlyClient(hybrid()), 1448)
	packets := quiet.packets
	at := quiet.at
	for i := range 6 {
		at = at.Add(5 * time.Minute)
		s := newScript(fmt.Sprintf("198.51.100.78:%d", 41000+i), "198.51.100.10:443")
		s.at = at
		packets = append(packets, s.play(classical(), 1448).packets...)
	}
	var first *Handshake
	tracker := NewTracker(Options{}, func(h *Handshake) error {
		if h.Client.Port() == 40000 {
			first = h
		}
		return nil
	})
	source := ethernetPcap(packets)
	r, w := io.Pipe()
	go func() {
		w.Write(source)
		w.CloseWithError(io.ErrUnexpectedEOF) // it does not come to its end
	}()
	tracker.Read(t.Context(), r)
	if first == nil || first.Outcome.Kind != NoAnswer {
		t.Errorf("%+v", first)
	}
}
