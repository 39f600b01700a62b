package rollup

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"tlswatch/pkg/connlog"
)

// heap returns the memory in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A Summary stays small whatever a log contains: millions of clients, half of which
// fail, and as many names, in any number of minutes. "make large" checks what the
// documentation promises, a quick test does less of the same.
func TestMemory(t *testing.T) {
	const most = 28 << 20
	clients, ciphers := 600_000, 100_000
	if os.Getenv("TLSWATCH_LARGE") != "" {
		clients, ciphers = 5_000_000, 1_000_000
	}
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name  string
		lines int
		entry func(i int, e *connlog.Entry)
	}{
		{"clients", clients, func(i int, e *connlog.Entry) {
			e.Client = netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
		}},
		{"clients in many minutes", clients, func(i int, e *connlog.Entry) {
			e.Client = netip.AddrFrom4([4]byte{byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
			e.Time = start.Add(time.Duration(i) * time.Minute)
		}},
		{"ciphers", ciphers, func(i int, e *connlog.Entry) { e.Cipher = fmt.Sprintf("CIPHER-%d-WITH-A-NAME-OF-ANY-LENGTH", i) }},
		{"statuses", ciphers, func(i int, e *connlog.Entry) { e.Status = fmt.Sprintf("Failed:Reason%d", i) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			before := heap()
			s := New(Options{})
			for i := range test.lines {
				e := connlog.Entry{Time: start, Client: netip.AddrFrom4([4]byte{192, 0, 2, 1}), ListenerPort: 443, Protocol: "TLSv1.2", Cipher: "AES128-SHA", Status: "Success"}
				if i%2 == 0 {
					e.Status = "Failed:UnmappedConnectionError"
				}
				test.entry(i, &e)
				s.Add(&e)
			}
			used := heap() - before
			if s.Lines != uint64(test.lines) || s.Totals.Connections != uint64(test.lines) {
				t.Errorf("%d lines, %+v", s.Lines, s.Totals)
			}
			if used > most {
				t.Errorf("%d MB for %d lines, want %d at the most", used>>20, test.lines, most>>20)
			}
			t.Logf("%.1f MB", float64(used)/1e6)
			runtime.KeepAlive(s)
		})
	}
}

// unlike is a log in which no two lines share a name.
type unlike struct {
	line, lines int
	rest        []byte
}

func (h *unlike) Read(p []byte) (int, error) {
	if len(h.rest) == 0 {
		if h.line == h.lines {
			return 0, io.EOF
		}
		i := h.line
		h.line++
		h.rest = fmt.Appendf(h.rest[:0], "2026-11-23T10:0%d:00Z 2001:db8::%x:%x %d %d TLSv%d CIPHER-%d 0.1 \"CN=%d\" - - Failed:R%d TID_%d group%d app/lb/%d 192.0.2.%d\n",
			i%5, i>>16, i&0xffff, i&0xffff, i>>4&0xffff, i, i, i, i, i, i, i, i)
	}
	n := copy(p, h.rest)
	h.rest = h.rest[n:]
	return n, nil
}

// A Reader and a Summary together stay small.
func TestMemoryHostileLog(t *testing.T) {
	lines := 60_000
	if os.Getenv("TLSWATCH_LARGE") != "" {
		lines = 1_000_000
	}
	before := heap()
	r := connlog.NewReader(&unlike{lines: lines})
	s := New(Options{})
	var e connlog.Entry
	for {
		err := r.Read(&e)
		if err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		s.Add(&e)
	}
	used := heap() - before
	if s.Totals.Failed != uint64(lines) {
		t.Errorf("%+v of %d lines", s.Totals, lines)
	}
	if used > 40<<20 {
		t.Errorf("%d MB", used>>20)
	}
	t.Logf("%.1f MB", float64(used)/1e6)
	runtime.KeepAlive(r)
	runtime.KeepAlive(s)
}
