package inflate

import (
	"bytes"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// dynamic begins a last block with dynamic codes. The list has the lengths of the
// codes of code lengths; those not in it have no code.
func (w *bitWriter) dynamic(nlit, ndist int, lengths ...int) *bitWriter {
	w.bits(1, 1).bits(2, 2).bits(nlit-257, 5).bits(ndist-1, 5).bits(19-4, 4)
	for _, i := range lengthOrder {
		n := 0
		if int(i) < len(lengths) {
			n = lengths[i]
		}
		w.bits(n, 3)
	}
	return w
}

// Code lengths for dynamic: each of 0 to 15 has its four-bit number as code.
var fourBits = []int{4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4}

// Code lengths for dynamic: 0 is 00, 1 is 01, 16 is 10 and 18 is 11.
var repeats = []int{0: 2, 1: 2, 16: 2, 18: 2}

const len0, len1, again, zeros = "00", "01", "10", "11"

// codes begins a last block in which symbols have codes of the given lengths.
func codes(lit, dist map[int]int) *bitWriter {
	w := writer().dynamic(maxLit, maxDist, fourBits...)
	for _, list := range []struct {
		n       int
		lengths map[int]int
	}{{maxLit, lit}, {maxDist, dist}} {
		for symbol := range list.n {
			w.code(fmt.Sprintf("%04b", list.lengths[symbol]))
		}
	}
	return w
}

// staircase is a code whose codes of 1 to 15 bits are 0, 10, 110 and so on, in
// the order of the symbols; the last two have 15 bits.
func staircase(symbols ...int) map[int]int {
	lengths := make(map[int]int)
	for i, s := range symbols {
		lengths[s] = min(i+1, 15)
	}
	return lengths
}

// stair is the code of the i-th symbol of a staircase.
func stair(i int) string {
	if i == 15 {
		return strings.Repeat("1", 15)
	}
	return strings.Repeat("1", i) + "0"
}

// A deflateTest is a corner case of RFC 1951.
type deflateTest struct {
	name    string
	deflate *bitWriter
	want    string
	fault   string // of a corruptError, or "cut"
}

func deflateTests() []deflateTest {
	fixed := func() *bitWriter { return writer().bits(1, 1).bits(1, 2) }
	stored := func(text string) *bitWriter {
		return writer().bits(0, 1).bits(0, 2).bytes(byte(len(text)), 0, ^byte(len(text)), 0xff).bytes([]byte(text)...)
	}
	sixteen := []int{'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 'i', 'j', 'k', 'l', 'm', 256, 257, 285}
	return []deflateTest{
		{"fixed: empty block", fixed().code(end), "", ""},
		{"fixed: literals of 8 and 9 bits", fixed().code(a, "111111111", end), "a\xff", ""},
		{"fixed: empty blocks before another", func() *bitWriter {
			w := writer()
			for range 100_000 {
				w.bits(0, 1).bits(1, 2).code(end)
			}
			return w.bits(1, 1).bits(1, 2).code(a, end)
		}(), "a", ""},
		{"fixed: match that overlaps itself", fixed().code(a, length3, "00000", end), "aaaa", ""},
		{"fixed: longest match", fixed().code(a, "11000101", "00000", end), strings.Repeat("a", 259), ""},
		{"fixed: length 258 the long way", fixed().code(a, "11000100", "11111", "00000", end), strings.Repeat("a", 259), ""},
		{"fixed: distance beyond the beginning", fixed().code(a, length3, "00001", end), "a", "beyond the beginning"},
		{"fixed: distance with nothing before", fixed().code(length3, "00000", end), "", "beyond the beginning"},
		{"fixed: length code 286", fixed().code(a, "11000110", "00000", end), "a", "no length"},
		{"fixed: length code 287", fixed().code(a, "11000111", "00000", end), "a", "no length"},
		{"fixed: distance code 30", fixed().code(a, length3, "11110", end), "a", "no distance"},
		{"fixed: distance code 31", fixed().code(a, length3, "11111", end), "a", "no distance"},
		{"block type 3", writer().bits(1, 1).bits(3, 2), "", "type 3"},

		{"stored: text", stored("hi").bits(1, 1).bits(1, 2).code(end), "hi", ""},
		{"stored: length 0 as the last", writer().bits(1, 1).bits(0, 2).bytes(0, 0, 0xff, 0xff), "", ""},
		{"stored: length 0 before another", stored("").bits(1, 1).bits(1, 2).code(a, end), "a", ""},
		{"stored: behind a block that ends amid a byte", writer().bits(0, 1).bits(1, 2).code(a, end).
			bits(1, 1).bits(0, 2).bytes(1, 0, 0xfe, 0xff, 'b'), "ab", ""},
		{"stored: match into it", stored("xyz").bits(1, 1).bits(1, 2).code(length3, "00010", end), "xyzxyz", ""},
		{"stored: wrong complement", writer().bits(1, 1).bits(0, 2).bytes(2, 0, 0xfd, 0xfe, 'h', 'i'), "", "complement"},

		{"dynamic: the end as the only code", codes(map[int]int{256: 1}, nil).code("0"), "", ""},
		{"dynamic: the other half of a code of one bit", codes(map[int]int{256: 1}, nil).code("1"), "", "no length"},
		{"dynamic: no code for the end", codes(map[int]int{'a': 1, 'b': 1}, nil).code("0101"), "abab", "cut"},
		{"dynamic: no code", codes(nil, nil), "", "no length"},
		{"dynamic: no distance code, none used", codes(map[int]int{'a': 1, 256: 1}, nil).code("0", "1"), "a", ""},
		{"dynamic: no distance code, one used", codes(map[int]int{'a': 1, 256: 2, 257: 2}, nil).code("0", "11", "0000"), "a", "no distance"},
		{"dynamic: one distance code", codes(map[int]int{'a': 1, 256: 2, 257: 2}, map[int]int{0: 1}).code("0", "11", "0", "10"), "aaaa", ""},
		{"dynamic: the other half of one distance code", codes(map[int]int{'a': 1, 256: 2, 257: 2}, map[int]int{0: 1}).code("0", "11", "1", "10"), "a", "no distance"},
		{"dynamic: one distance code of two bits", codes(map[int]int{'a': 1, 256: 1}, map[int]int{0: 2}), "", "incomplete"},
		{"dynamic: one literal code of two bits", codes(map[int]int{256: 2}, nil), "", "incomplete"},
		{"dynamic: incomplete literal code", codes(map[int]int{'a': 1, 256: 2}, nil), "", "incomplete"},
		{"dynamic: over-subscribed literal code", codes(map[int]int{'a': 1, 'b': 1, 256: 1}, nil), "", "over-subscribed"},
		{"dynamic: over-subscribed by the longest", codes(map[int]int{'a': 1, 'b': 1, 256: 15}, nil), "", "over-subscribed"},
		{"dynamic: incomplete distance code", codes(map[int]int{'a': 1, 256: 1}, map[int]int{0: 1, 1: 2}), "", "incomplete"},
		{"dynamic: over-subscribed distance code", codes(map[int]int{'a': 1, 256: 1}, map[int]int{0: 1, 1: 1, 2: 1}), "", "over-subscribed"},
		{"dynamic: codes of all lengths", codes(staircase(sixteen...), staircase(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)).
			code(stair(0), stair(1), stair(11), stair(12), stair(14), stair(3), stair(15), stair(0), stair(13)),
			"ablmabl" + strings.Repeat("l", 258), ""},

		{"lengths: zeros from literals into distances", writer().dynamic(257, 2, repeats...).
			code(zeros).bits(97-11, 7).code(len1, zeros).bits(138-11, 7).code(zeros).bits(20-11, 7).code(len1, len0, len1).code("0", "1"), "a", ""},
		{"lengths: repeat across the boundary", writer().dynamic(257, 2, repeats...).
			code(zeros).bits(138-11, 7).code(zeros).bits(117-11, 7).code(len1, again).bits(0, 2).code("0", "1"), "\xff", ""},
		{"lengths: repeat with nothing before", writer().dynamic(257, 1, repeats...).code(again).bits(0, 2), "", "to repeat"},
		{"lengths: repeat beyond the last", writer().dynamic(257, 1, repeats...).
			code(zeros).bits(138-11, 7).code(zeros).bits(117-11, 7).code(len1, again).bits(0, 2), "", "beyond their number"},
		{"lengths: zeros beyond the last", writer().dynamic(257, 1, repeats...).
			code(zeros).bits(138-11, 7).code(zeros).bits(121-11, 7), "", "beyond their number"},
		{"lengths: incomplete code", writer().dynamic(257, 1, 2, 2, 2), "", "code of code lengths"},
		{"lengths: over-subscribed code", writer().dynamic(257, 1, 1, 1, 1), "", "code of code lengths"},
		{"lengths: no code", writer().dynamic(257, 1).bits(0, 16), "", "no code length"},
		{"lengths: the other half of one code", writer().dynamic(257, 1, 1).code("1"), "", "no code length"},
		{"lengths: 287 literals", writer().dynamic(287, 1, fourBits...), "", "more codes"},
		{"lengths: 288 literals", writer().dynamic(288, 1, fourBits...), "", "more codes"},
		{"lengths: 31 distances", writer().dynamic(257, 31, fourBits...), "", "more codes"},
		{"lengths: 32 distances", writer().dynamic(257, 32, fourBits...), "", "more codes"},
	}
}

// Each corner case has the same outcome in compress/gzip.
func TestDeflate(t *testing.T) {
	for _, test := range deflateTests() {
		t.Run(test.name, func(t *testing.T) {
			packed := member(test.deflate.b, test.want)
			got, err := gunzip(NewReader(bytes.NewReader(packed)), 0)
			if string(got) != test.want && !(test.fault == "cut" && strings.HasPrefix(string(got), test.want)) {
				t.Errorf("got %q, want %q", got, test.want)
			}
			var corrupt *corruptError
			switch {
			case test.fault == "cut":
				if err != io.ErrUnexpectedEOF {
					t.Errorf("error %v", err)
				}
			case test.fault == "" && err != nil:
				t.Errorf("error %v", err)
			case test.fault != "" && !(errors.As(err, &corrupt) && strings.Contains(corrupt.Reason, test.fault)):
				t.Errorf("error %v, want one about %q", err, test.fault)
			}
			compare(t, packed)
			compare(t, append(packed, packed...))
		})
	}
}

// compare compares the outcome for an input, in one piece and in several, with
// compress/gzip, and checks the bound on the work.
func compare(t *testing.T, packed []byte) {
	t.Helper()
	var want []byte
	in := bytes.NewReader(packed)
	r, wantErr := stdgzip.NewReader(in)
	if wantErr == io.EOF {
		wantErr = nil
	}
	for members := 0; wantErr == nil && in.Len() > 0 || members == 0 && wantErr == nil && len(packed) > 0; members++ {
		if members > 0 {
			if rest := packed[len(packed)-in.Len():]; len(bytes.Trim(rest, "\x00")) == 0 {
				break // gzip(1) takes zeros at the end, and compress/gzip does not
			}
			if wantErr = r.Reset(in); wantErr != nil {
				break
			}
		}
		r.Multistream(false)
		var part []byte
		part, wantErr = io.ReadAll(r)
		want = append(want, part...)
	}
	z := NewReader(bytes.NewReader(packed))
	got, err := all(z)
	switch {
	case wantErr == io.ErrUnexpectedEOF && (err == io.ErrUnexpectedEOF || kindOf(err) == "corrupt"):
		// compress/flate looks at no symbol of a block if there is less input
		// than the end of the block has bits. What is in so few bits, we decode,
		// or find faulty.
		if !bytes.HasPrefix(got, want) || len(got) > len(want)+maxBits*maxMatch {
			t.Errorf("%d bytes before the input ended, compress/gzip %d", len(got), len(want))
		}
	case !bytes.Equal(got, want):
		t.Errorf("got %d bytes (error %v), compress/gzip %d (%v)", len(got), err, len(want), wantErr)
	case kindOf(err) != kindOf(wantErr):
		t.Errorf("error %v, compress/gzip %v", err, wantErr)
	}
	// Each block has three bits or more, each member 18 bytes, and one of them
	// may have been begun once more for each time that input was read.
	if most := int64(len(packed))*8/3 + int64(len(packed)/inSize) + 2; z.work > most {
		t.Errorf("%d steps for %d bytes", z.work, len(packed))
	}
	if len(got) > len(packed)*1032 {
		t.Errorf("%d bytes from %d", len(got), len(packed))
	}
}
