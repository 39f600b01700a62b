package inflate

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// seeds adds real and hand-made streams; empty is an error.
func seeds(f *testing.F, add func(packed []byte)) {
	files, _ := filepath.Glob("testdata/encoders/*.gz")
	if len(files) == 0 {
		f.Fatal("no files")
	}
	for _, name := range files {
		packed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		add(packed)
	}
}

// FuzzGzip compares the outcome for any input with compress/gzip.
func FuzzGzip(f *testing.F) {
	seeds(f, func(packed []byte) { f.Add(packed) })
	f.Fuzz(compare)
}

// FuzzDeflate frames its input as a member after some data to refer to, so that
// every mutation reaches the decoder.
func FuzzDeflate(f *testing.F) {
	seeds(f, func(packed []byte) { f.Add(packed[10 : len(packed)-8]) })
	for _, test := range deflateTests() {
		if len(test.deflate.b) < 1000 {
			f.Add(test.deflate.b)
		}
	}
	stored := writer().bits(0, 1).bits(0, 2).bytes(7, 0, 0xf8, 0xff).bytes([]byte("tlsv1.2")...).b
	f.Fuzz(func(t *testing.T, deflate []byte) {
		compare(t, member(append(stored[:len(stored):len(stored)], deflate...), ""))
	})
}

// FuzzBits flips a bit of a valid stream, or truncates it.
func FuzzBits(f *testing.F) {
	seeds(f, func(packed []byte) { f.Add(packed, uint32(len(packed)*4), uint32(len(packed))) })
	f.Fuzz(func(t *testing.T, packed []byte, bit, size uint32) {
		packed = bytes.Clone(packed[:min(uint64(size), uint64(len(packed)))])
		if int(bit/8) < len(packed) {
			packed[bit/8] ^= 1 << (bit % 8)
		}
		compare(t, packed)
	})
}

// FuzzPieces reads pieces of any size, keeps any part of the data, uses one buffer
// or alternates between two, and compares the outcome with one piece.
func FuzzPieces(f *testing.F) {
	seeds(f, func(packed []byte) { f.Add(packed, uint16(7), uint32(100), true) })
	f.Fuzz(func(t *testing.T, packed []byte, piece uint16, keep uint32, swap bool) {
		want, wantErr := all(NewReader(bytes.NewReader(packed)))
		z := NewReader(&pieces{packed, int(piece) + 1})
		if swap {
			z.Use(new(Buffer))
		}
		got, err := gunzip(z, int(keep%(MaxKeep+1)))
		if !bytes.Equal(got, want) || kindOf(err) != kindOf(wantErr) {
			t.Errorf("in pieces %d bytes (%v), in one %d (%v)", len(got), err, len(want), wantErr)
		}
	})
}
