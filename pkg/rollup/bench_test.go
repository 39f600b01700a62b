package rollup

import (
	"bytes"
	stdgzip "compress/gzip"
	"io"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/pkg/connlog"
)

const benchLines = 100_000

func benchLog(tb testing.TB) (plain, packed []byte) {
	var log, gz bytes.Buffer
	if err := connlogtest.Write(&log, connlogtest.Options{Lines: benchLines, Clients: 50_000}); err != nil {
		tb.Fatal(err)
	}
	w := stdgzip.NewWriter(&gz)
	w.Write(log.Bytes())
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return log.Bytes(), gz.Bytes()
}

// BenchmarkAdd measures counting alone, with parsed entries.
func BenchmarkAdd(b *testing.B) {
	plain, _ := benchLog(b)
	entries := readEntries(b, bytes.NewReader(plain))
	b.Run("known", func(b *testing.B) { // clients and names seen before
		s := New(Options{})
		b.ReportAllocs()
		for b.Loop() {
			for i := range entries {
				s.Add(&entries[i])
			}
		}
		b.ReportMetric(perLine(b), "ns/line")
	})
	b.Run("object", func(b *testing.B) { // a new Summary for each object
		b.ReportAllocs()
		for b.Loop() {
			s := New(Options{})
			for i := range entries {
				s.Add(&entries[i])
			}
		}
		b.ReportMetric(perLine(b), "ns/line")
	})
}

func perLine(b *testing.B) float64 {
	return float64(b.Elapsed().Nanoseconds()) / float64(b.N) / benchLines
}

// BenchmarkFold measures the whole job: decompress, parse, count. Each round also
// measures decompression alone, so that the ratio is valid on a busy machine too.
func BenchmarkFold(b *testing.B) {
	plain, packed := benchLog(b)
	var z gzip.Reader
	gunzip := func() {
		if err := z.Reset(bytes.NewReader(packed)); err != nil {
			b.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, &z); err != nil {
			b.Fatal(err)
		}
	}
	r := connlog.NewReader(nil)
	s := New(Options{})
	fold := func() {
		r.Reset(bytes.NewReader(packed))
		var e connlog.Entry
		for r.Read(&e) == nil {
			s.Add(&e)
		}
		if r.Lines() != benchLines {
			b.Fatalf("read %d lines", r.Lines())
		}
	}
	fold()
	var floor, whole time.Duration
	var before, after runtime.MemStats
	var mallocs uint64
	for b.Loop() {
		start := time.Now()
		gunzip()
		floor += time.Since(start)
		runtime.ReadMemStats(&before)
		start = time.Now()
		fold()
		whole += time.Since(start)
		runtime.ReadMemStats(&after)
		mallocs += after.Mallocs - before.Mallocs
	}
	lines := float64(b.N) * benchLines
	b.ReportMetric(float64(b.N)*float64(len(plain))/whole.Seconds()/1e6, "MB/s")
	b.ReportMetric(float64(whole.Nanoseconds())/lines, "ns/line")
	b.ReportMetric(float64((whole-floor).Nanoseconds())/lines, "ns/line-above-gunzip")
	b.ReportMetric(float64(mallocs)/lines, "allocs/line")
	b.ReportMetric(float64(whole)/float64(floor), "x-gunzip")
}

// A line costs no allocation once its names, minute and client are known.
func TestAddAllocations(t *testing.T) {
	plain, _ := benchLog(t)
	entries := readEntries(t, bytes.NewReader(plain[:len(plain)/10]))
	entries = append(entries, connlog.Entry{Time: entries[0].Time, Client: netip.MustParseAddr("2001:db8::1"), Status: "Failed:X"})
	s := New(Options{IPv6Prefix: 64})
	n := testing.AllocsPerRun(5, func() {
		for i := range entries {
			s.Add(&entries[i])
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for %d entries", n, len(entries))
	}
}
