package inflate

import (
	"bytes"
	stdgzip "compress/gzip"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"

	"tlswatch/internal/dev/connlogtest"
)

// BenchmarkGunzip decompresses a connection log of the format that gzip(1)
// writes by default. Each round runs all three decompressors, so that the
// ratios are valid on a busy machine too.
func BenchmarkGunzip(b *testing.B) {
	plain, packed := benchLog(b)
	z := NewReader(nil)
	var fast gzip.Reader
	var standard stdgzip.Reader
	round := []func(){
		func() {
			z.Reset(bytes.NewReader(packed))
			for {
				if _, err := z.Next(0); err == io.EOF {
					return
				} else if err != nil {
					b.Fatal(err)
				}
			}
		},
		func() {
			fast.Reset(bytes.NewReader(packed))
			io.Copy(io.Discard, &fast)
		},
		func() {
			standard.Reset(bytes.NewReader(packed))
			io.Copy(io.Discard, &standard)
		},
	}
	var took [3]time.Duration
	b.SetBytes(int64(len(plain)))
	for b.Loop() {
		for i, f := range round {
			start := time.Now()
			f()
			took[i] += time.Since(start)
		}
	}
	b.ReportMetric(float64(b.N)*float64(len(plain))/took[0].Seconds()/1e6, "own-MB/s")
	b.ReportMetric(took[0].Seconds()/took[1].Seconds(), "x-klauspost")
	b.ReportMetric(took[0].Seconds()/took[2].Seconds(), "x-standard")
}

func benchLog(tb testing.TB) (plain, packed []byte) {
	var log, gz bytes.Buffer
	if err := connlogtest.Write(&log, connlogtest.Options{Lines: 100_000, Clients: 50_000}); err != nil {
		tb.Fatal(err)
	}
	w := stdgzip.NewWriter(&gz)
	w.Write(log.Bytes())
	if err := w.Close(); err != nil {
		tb.Fatal(err)
	}
	return log.Bytes(), gz.Bytes()
}
