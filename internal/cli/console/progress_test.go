package console

import (
	"bytes"
	"os"
	"testing"
	"time"
)

func TestProgress(t *testing.T) {
	var out bytes.Buffer
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	p := &Progress{w: &out, now: func() time.Time { return now }, noun: "object"}
	step := func(d time.Duration, n int, bytes int64, want string) {
		t.Helper()
		now = now.Add(d)
		out.Reset()
		p.Add(n, bytes)
		if want != "" {
			want = "\r" + want + "\x1b[K"
		}
		if got := out.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	p.Start(0, 0)
	step(0, 1000, 0, "  1,000 objects")
	step(progressStep-1, 1000, 0, "")
	step(1, 1, 0, "  2,001 objects")
	p.Start(12000, 4_400_000_000)
	step(100*time.Millisecond, 600, 9_990_000, "  [                    ] 600 of 12,000 objects, 10 MB of 4.4 GB")
	step(4900*time.Millisecond, 2400, 1_000_000_000, "  [####                ] 3,000 of 12,000 objects, 1.0 GB of 4.4 GB, 17s left")
	step(595*time.Second, 1000, 0, "  [####                ] 4,000 of 12,000 objects, 1.0 GB of 4.4 GB, 33m34s left")
	step(time.Second, 8000, 3_390_010_000, "  [####################] 12,000 of 12,000 objects, 4.4 GB of 4.4 GB")
	p.Start(0, 0)
	p.Expect(1000, 50_000_000)
	step(100*time.Millisecond, 1, 0, "  1 object, 1,000 found so far")
	step(100*time.Millisecond, 0, 25_000_000, "  1 object, 25 MB, 1,000 found so far")
	p.Complete()
	step(time.Second, 0, 0, "  [##########          ] 1 of 1,000 objects, 25 MB of 50 MB, 1s left")
	out.Reset()
	p.End()
	p.End()
	if out.String() != "\r\x1b[K" {
		t.Errorf("the end writes %q", &out)
	}

	var none *Progress
	none.Start(1, 1)
	none.Add(1, 1)
	none.End()
	if NewProgress(&out, "object") != nil {
		t.Error("a buffer is a terminal")
	}
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if NewProgress(file, "object") != nil {
		t.Error("a file is a terminal")
	}
}
