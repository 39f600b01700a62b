package connlog

import (
	"bytes"
	stdgzip "compress/gzip"
	"io"
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

// BenchmarkReader reads an object as the function does. MB/s are of
// decompressed text; the sub-benchmarks with "gunzip" are the yardsticks.
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

// A line costs no allocation once its names are known. The few of a whole
// object (setting up its stream) do not grow with the number of lines.
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
