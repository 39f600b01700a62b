package connlog

import (
	"bytes"
	stdgzip "compress/gzip"
	"io"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"tlswatch/internal/dev/connlogtest"
)

func benchLog(b testing.TB, lines int) (plain, packed []byte) {
	var buf bytes.Buffer
	if err := connlogtest.Write(&buf, connlogtest.Options{Lines: lines, Clients: 50_000}); err != nil {
		b.Fatal(err)
	}
	return buf.Bytes(), gzipped(buf.String())
}

// BenchmarkReader reads an object as the function does. MB/s count decompressed text.
// The sub-benchmarks with "gunzip" are for comparison.
func BenchmarkReader(b *testing.B) {
	const lines = 100_000
	plain, packed := benchLog(b, lines)
	read := func(data []byte) func(*testing.B) {
		return func(b *testing.B) {
			b.SetBytes(int64(len(plain)))
			b.ReportAllocs()
			r := NewReader(nil)
			var e Entry
			for b.Loop() {
				r.Reset(bytes.NewReader(data))
				for r.Read(&e) == nil {
				}
				if r.Lines() != lines {
					b.Fatalf("read %d lines", r.Lines())
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/lines, "ns/line")
		}
	}
	b.Run("plain", read(plain))
	b.Run("gzip", read(packed))
	b.Run("gunzip/klauspost", func(b *testing.B) {
		b.SetBytes(int64(len(plain)))
		var z gzip.Reader
		for b.Loop() {
			if err := z.Reset(bytes.NewReader(packed)); err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, &z); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("gunzip/standard", func(b *testing.B) {
		b.SetBytes(int64(len(plain)))
		var z stdgzip.Reader
		for b.Loop() {
			if err := z.Reset(bytes.NewReader(packed)); err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, &z); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// hostile are texts with as many lines as possible, so that each byte might be costly.
var hostile = map[string]struct{ first, line string }{
	"line feeds":             {"", "\n"},
	"carriage returns":       {"", "\r\n"},
	"line feeds in a log":    {docSuccess + "\n", "\n"},
	"bytes":                  {"", "x\n"},
	"bytes in a log":         {docSuccess + "\n", "x\n"},
	"words":                  {"", "a b c\n"},
	"bytes among JSON":       {`{"time":"2026-09-23T07:11:27Z","tls_protocol":"x"}` + "\n", "{}\n"},
	"bytes behind a header":  {"#Fields: time tls_protocol\n", "x\n"},
	"directives":             {"#Fields: time tls_protocol\n", "#\n"},
	"fields that are broken": {docSuccess + "\n", docSuccess[:40] + "\n"},
}

func hostileText(name string, size int) []byte {
	h := hostile[name]
	return []byte(h.first + strings.Repeat(h.line, size/len(h.line)))
}

func BenchmarkHostile(b *testing.B) {
	for name := range hostile {
		text := hostileText(name, 1<<20)
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			r := NewReader(nil)
			for b.Loop() {
				r.Reset(bytes.NewReader(text))
				readAllLines(b, r)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(text)), "ns/byte")
		})
	}
}

func readAllLines(tb testing.TB, r *Reader) (malformed int) {
	var e Entry
	for {
		switch err := r.Read(&e); {
		case err == io.EOF:
			return malformed
		case err == nil:
		default:
			if _, ok := err.(*ParseError); !ok {
				tb.Fatal(err)
			}
			malformed++
		}
	}
}

// Each byte costs little whatever the lines are, and all lines are counted.
func TestHostile(t *testing.T) {
	const size = 1 << 20
	for name, h := range hostile {
		text := hostileText(name, size)
		r := NewReader(nil)
		malformed := 0
		n := testing.AllocsPerRun(1, func() {
			r.Reset(bytes.NewReader(text))
			malformed = readAllLines(t, r)
		})
		lines := size / len(h.line)
		if blank := strings.TrimSpace(h.line) == "" || h.line == "#\n"; !blank && malformed != lines || blank && malformed != 0 {
			t.Errorf("%s: %d of %d lines are malformed", name, malformed, lines)
		}
		if want := lines + strings.Count(h.first, "\n"); r.Lines() != want {
			t.Errorf("%s: %d lines, want %d", name, r.Lines(), want)
		}
		if n > size/15 {
			t.Errorf("%s: %v allocations for %d bytes", name, n, size)
		}
	}
}

// A line costs no allocation once its names are known. The few allocations for the
// stream do not grow with the number of lines.
func TestReaderAllocations(t *testing.T) {
	for _, lines := range []int{1000, 20_000} {
		plain, packed := benchLog(t, lines)
		r := NewReader(nil)
		for name, data := range map[string][]byte{"plain": plain, "gzip": packed} {
			n := testing.AllocsPerRun(5, func() {
				r.Reset(bytes.NewReader(data))
				var e Entry
				for r.Read(&e) == nil {
				}
			})
			if n > 20 {
				t.Errorf("%s: %v allocations for %d lines", name, n, lines)
			}
		}
	}
}
