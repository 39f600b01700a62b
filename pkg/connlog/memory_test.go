package connlog

import (
	"errors"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
)

// repeated reads b n times.
type repeated struct {
	b    []byte
	n    int64
	rest []byte
}

func (r *repeated) Read(p []byte) (int, error) {
	if len(r.rest) == 0 {
		if r.n == 0 {
			return 0, io.EOF
		}
		r.n--
		r.rest = r.b
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// Text that gzip compresses a thousandfold takes time but no memory. "make large"
// reads 10 GB of it, a quick test less. A limit ends reading early.
func TestMemoryBomb(t *testing.T) {
	text := strings.Repeat(docFailed+"\n", 8<<20/(len(docFailed)+1))
	packed := gzipped(text)
	if ratio := len(text) / len(packed); ratio < 200 {
		t.Fatalf("only %d:1", ratio)
	}
	members := int64(8)
	if os.Getenv("TLSWATCH_LARGE") != "" {
		members = 10e9/int64(len(text)) + 1
	}
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	for _, options := range [][]Option{nil, {ReadAhead}, {Limit(40 << 20)}} {
		before := heap()
		r := NewReader(&repeated{b: packed, n: members}, options...)
		var e Entry
		var most int64
		for {
			err := r.Read(&e)
			if err == io.EOF && r.Bytes() == members*int64(len(text)) {
				break
			} else if errors.Is(err, ErrTooLarge) && r.limit > 0 && r.Bytes() < r.limit+1<<20 {
				break
			} else if err != nil {
				t.Fatalf("after %d bytes: %v", r.Bytes(), err)
			}
			if r.Lines()%100_000 == 0 {
				most = max(most, heap()-before)
			}
		}
		if most > 2<<20 {
			t.Errorf("%d bytes of memory", most)
		}
	}
}
