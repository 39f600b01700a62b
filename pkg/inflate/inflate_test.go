package inflate

import (
	"bytes"
	"compress/flate"
	stdgzip "compress/gzip"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
)

// gunzip decompresses everything. It keeps some of what Next returned before, and
// checks that it is unchanged.
func gunzip(z *Reader, keep int) ([]byte, error) {
	var all []byte
	other := z.next
	for {
		if other != nil { // z has two buffers in turn
			used := z.out
			z.Use(other)
			if other = used; other == nil {
				other = new(Buffer)
			}
		}
		b, err := z.Next(min(keep, len(all), MaxKeep))
		kept := min(keep, len(all), MaxKeep)
		if !bytes.HasSuffix(all, b[:kept]) {
			return all, errors.New("what was to be kept is not")
		}
		if (err == nil) != (len(b) > kept) {
			return all, errors.New("Next has no new data and no error, or both")
		}
		if err != nil {
			if again, err2 := z.Next(0); len(again) > 0 || err2 != err {
				return all, errors.New("the error does not stay")
			}
			if err == io.EOF {
				err = nil
			}
			return all, err
		}
		all = append(all, b[kept:]...)
	}
}

func TestEncoders(t *testing.T) {
	const dir = "testdata/encoders/"
	text, err := os.ReadFile(dir + "plain.log")
	if err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(dir + "*.gz")
	if len(files) < 40 {
		t.Fatalf("only %d files", len(files))
	}
	for _, name := range files {
		t.Run(filepath.Base(name), func(t *testing.T) {
			packed, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			want := text
			if filepath.Base(name) == "members.gz" {
				want = bytes.Repeat(text, 3)
			}
			for what, r := range map[string]io.Reader{
				"whole":        bytes.NewReader(packed),
				"byte by byte": iotest.OneByteReader(bytes.NewReader(packed)),
				"error at end": iotest.DataErrReader(bytes.NewReader(packed)),
			} {
				got, err := gunzip(NewReader(r), 100)
				if err != nil || !bytes.Equal(got, want) {
					t.Errorf("%s: %d bytes, want %d; error %v", what, len(got), len(want), err)
				}
			}
			// Cut anywhere, it is not whole, unless a member ends there.
			z, ends := NewReader(nil), 0
			for n := 1; n < len(packed); n += 1 + 2*min(1, n/100)*min(1, (len(packed)-n)/100) { // every third in the middle
				z.Reset(bytes.NewReader(packed[:n]))
				got, err := gunzip(z, 0)
				if err == nil && len(got)%len(text) == 0 {
					ends++
				} else if err != io.ErrUnexpectedEOF || !bytes.HasPrefix(want, got) {
					t.Fatalf("cut to %d bytes: %d bytes, error %v", n, len(got), err)
				}
			}
			if ends > 2 {
				t.Errorf("whole when cut at %d places", ends)
			}
		})
	}
}

// Data of all sizes and kinds, in several members, with as much kept as possible.
func TestRoundTrip(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		var want, packed bytes.Buffer
		for range 1 + r.IntN(3) {
			data := randomData(r, r.IntN(1<<r.IntN(20)))
			want.Write(data)
			w, _ := stdgzip.NewWriterLevel(&packed, -2+r.IntN(12))
			for len(data) > 0 {
				n := 1 + r.IntN(len(data))
				w.Write(data[:n])
				if data = data[n:]; r.IntN(4) == 0 {
					w.Flush()
				}
			}
			w.Close()
		}
		keep := []int{0, 1, 1000, window, MaxKeep}[i%5]
		got, err := gunzip(NewReader(bytes.NewReader(packed.Bytes())), keep)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%d: %d bytes, want %d; error %v", i, len(got), want.Len(), err)
		}
		got, err = gunzip(NewReader(iotest.HalfReader(bytes.NewReader(packed.Bytes()))), keep)
		if err != nil || !bytes.Equal(got, want.Bytes()) {
			t.Fatalf("%d: in halves: %d bytes, want %d; error %v", i, len(got), want.Len(), err)
		}
	}
}

// randomData consists of noise, runs of every period, and copies from anywhere.
func randomData(r *rand.Rand, n int) []byte {
	b := make([]byte, 0, n)
	for len(b) < n {
		length := 1 + r.IntN(1000)
		switch r.IntN(4) {
		case 0:
			for range length {
				b = append(b, byte(r.Uint32()))
			}
		case 1:
			for range length {
				b = append(b, "0123456789ABCDEF"[r.IntN(16)])
			}
		default:
			if len(b) == 0 {
				continue
			}
			dist := 1 + r.IntN(min(len(b), 1<<r.IntN(17)))
			for range length {
				b = append(b, b[len(b)-dist])
			}
		}
	}
	return b[:n]
}

// A bitWriter makes DEFLATE data by hand.
type bitWriter struct {
	b  []byte
	nb int
}

// bits writes the low n bits of v, lowest first, as most fields are.
func (w *bitWriter) bits(v, n int) *bitWriter {
	for i := range n {
		if w.nb%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[len(w.b)-1] |= byte(v>>i&1) << (w.nb % 8)
		w.nb++
	}
	return w
}

// code writes a Huffman code, given as "0" and "1" in the order of sending.
func (w *bitWriter) code(codes ...string) *bitWriter {
	for _, c := range strings.Join(codes, "") {
		if c != ' ' {
			w.bits(int(c-'0'), 1)
		}
	}
	return w
}

func (w *bitWriter) bytes(b ...byte) *bitWriter {
	w.nb = len(w.b) * 8
	w.b = append(w.b, b...)
	w.nb = len(w.b) * 8
	return w
}

// member frames DEFLATE data that decompress to text.
func member(deflate []byte, text string) []byte {
	b := append([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255}, deflate...)
	return append(b, trailer(text)...)
}

func trailer(text string) []byte {
	sum, n := crc32.ChecksumIEEE([]byte(text)), len(text)
	return []byte{byte(sum), byte(sum >> 8), byte(sum >> 16), byte(sum >> 24), byte(n), byte(n >> 8), byte(n >> 16), byte(n >> 24)}
}

// Codes of the fixed block: literals 0 to 143 have the codes 00110000 on, the
// end of the block is 0000000, length 3 is 0000001, and distances are numbers
// of five bits.
const a, end, length3 = "10010001", "0000000", "0000001"

func writer() *bitWriter { return new(bitWriter) }

// all returns everything that z returns.
func all(z *Reader) ([]byte, error) {
	var all []byte
	for {
		b, err := z.Next(0)
		all = append(all, b...)
		if err == io.EOF {
			return all, nil
		} else if err != nil {
			return all, err
		}
	}
}

// kindOf reduces errors to the kinds that this package and compress/gzip share.
func kindOf(err error) string {
	var corrupt *corruptError
	var standard flate.CorruptInputError
	switch {
	case err == nil:
		return "none"
	case errors.As(err, &corrupt) || errors.As(err, &standard):
		return "corrupt"
	case err == errHeader || err == stdgzip.ErrHeader:
		return "header"
	case err == errChecksum || err == stdgzip.ErrChecksum:
		return "checksum"
	case err == io.ErrUnexpectedEOF:
		return "cut"
	}
	return err.Error()
}

// pieces reads b in pieces of n bytes.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(b []byte) (int, error) {
	n := copy(b, p.b[:min(len(p.b), p.n)])
	p.b = p.b[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// Kept data of the previous member is not part of the next one: no match may reach
// into it, even after both have moved to another buffer.
func TestKeptIsNoWindow(t *testing.T) {
	const before = "before"
	stored := writer().bits(1, 3).bytes(byte(len(before)), 0, 0xff^byte(len(before)), 0xff).bytes([]byte(before)...)
	// "a", and a match at the distance of 3.
	far := writer().bits(1, 1).bits(1, 2).code(a, length3, "00010", end)
	first := member(stored.b, before)
	second := member(far.b, "")
	cut := len(second) - len(trailer("")) - len(far.b) + 2 // with the code of "a"
	r := io.MultiReader(bytes.NewReader(first), bytes.NewReader(second[:cut]), bytes.NewReader(second[cut:]))
	z := NewReader(r)
	for _, want := range []string{before, before + "a"} {
		if got, err := z.Next(len(want) / 7 * len(before)); string(got) != want || err != nil {
			t.Fatalf("%q, %v; want %q", got, err, want)
		}
	}
	z.Use(new(Buffer))
	if got, err := z.Next(len(before) + 1); string(got) != before+"a" || kindOf(err) != "corrupt" {
		t.Errorf("%q, %v", got, err)
	}
}
