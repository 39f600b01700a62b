package inflate

import (
	"math/bits"
	"sync"
)

const (
	maxLit   = 286 // codes for literals, the end of a block, and lengths
	maxDist  = 30  // codes for distances
	maxMatch = 258
	maxBits  = 15 // of a code

	endOfBlock = 256
)

// An entry of a decoding table says what the next bits of the input mean:
//
//	literal  1 | ...      | value  8 | 0 ...         | taken 8
//	length   0 | base 15                | 0000 | code bits 4 | taken 8
//	other    0 | start 15 | 1 | isEnd, isLink | 0 ...       | taken 8
//
// taken is the number of bits that the element has, extra bits included, or,
// of a link to a table for long codes, those that lead to it. Code bits come
// before the extra bits, whose value is added to base. Distances are as
// lengths.
type entry uint32

const (
	isLiteral entry = 1 << 31
	isOther   entry = 1 << 15
	isEnd     entry = 1 << 14 // with isOther: of the block
	isLink    entry = 1 << 13 // with isOther: to the table at start; with neither, no code has these bits
)

// Tables for the first bits of a code, where most codes end. Each longer code
// is found in one more step, in a table of its own for all codes that begin
// alike. There are at most half as many of these as codes, since each has two
// codes or more.
const (
	litBits  = 11
	distBits = 9

	litSize  = 8192 // powers of two, at least 1<<litBits + maxLit/2 << (maxBits-litBits)
	distSize = 2048
)

// tables are the codes of a block.
type tables struct {
	lit  [litSize]entry
	dist [distSize]entry
	// masks for the bits after the first ones, of which long codes have some
	litRest, distRest uint64
}

// Lengths and distances by their codes (RFC 1951, section 3.2.5), and the order
// in which the lengths of code-length codes come (section 3.2.7).
var (
	lengthBase  = [...]uint16{3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258}
	lengthExtra = [...]uint8{0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0}
	distBase    = [...]uint16{1, 2, 3, 4, 5, 7, 9, 13, 17, 25, 33, 49, 65, 97, 129, 193, 257, 385, 513, 769, 1025, 1537, 2049, 3073, 4097, 6145, 8193, 12289, 16385, 24577}
	lengthOrder = [...]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}
)

// litEntry and distEntry are the entries of symbols, without their code bits.
func litEntry(symbol int) entry {
	switch {
	case symbol < endOfBlock:
		return isLiteral | entry(symbol)<<16
	case symbol == endOfBlock:
		return isOther | isEnd
	case symbol < maxLit:
		i := symbol - endOfBlock - 1
		return entry(lengthBase[i])<<16 | entry(lengthExtra[i])
	}
	return isOther
}

func distEntry(symbol int) entry {
	if symbol < maxDist {
		return entry(distBase[symbol])<<16 | entry(max(symbol/2-1, 0))
	}
	return isOther
}

func plainEntry(symbol int) entry { return entry(symbol) << 16 }

// build fills a table from the lengths of the codes of all symbols, of which
// first bits index it directly. It returns the mask for the bits behind them,
// and whether the lengths are those of a complete prefix code. As in zlib and
// compress/flate, two incomplete ones pass: no code at all, and a single code
// of one bit.
func build(table []entry, first int, lengths []uint8, meaning func(symbol int) entry) (rest uint64, ok bool) {
	// Sort the symbols by length: order[start[n]:start[n+1]] have codes of n bits.
	var start [maxBits + 2]int
	for _, n := range lengths {
		start[n+1]++
	}
	unused := start[1]
	longest, space := 0, 1
	for n := 1; n <= maxBits; n++ {
		count := start[n+1]
		space = space<<1 - count
		if space < 0 {
			return 0, false
		}
		if count > 0 {
			longest = n
		}
		start[n+1] += start[n]
	}
	codes := len(lengths) - unused
	if space > 0 && !(codes == 0 || codes == 1 && longest == 1) {
		return 0, false
	}
	var order [maxLit + 2]uint16
	next := start
	for symbol, n := range lengths {
		order[next[n]] = uint16(symbol)
		next[n]++
	}

	// Codes of the same length are consecutive numbers, sent from their highest
	// bit on. The table for n bits is that for n-1 bits twice, and the codes of
	// n bits.
	table[0] = isOther | entry(longest) // as far as no code fits
	code := 0
	for n := 1; n <= first; n++ {
		half := 1 << (n - 1)
		copy(table[half:2*half], table[:half])
		code <<= 1
		for _, symbol := range order[start[n]:start[n+1]] {
			table[reverse(code, n)] = meaning(int(symbol)).withCode(n)
			code++
		}
	}
	if longest <= first {
		return 0, true
	}
	// What is longer goes to tables of the same size behind it.
	size := 1 << (longest - first)
	end, prefix := 1<<first, -1
	for n := first + 1; n <= longest; n++ {
		code <<= 1
		for _, symbol := range order[start[n]:start[n+1]] {
			r := reverse(code, n)
			if p := r & (1<<first - 1); p != prefix {
				prefix = p
				table[p] = isOther | isLink | entry(end)<<16 | entry(first)
				end += size
			}
			e := meaning(int(symbol)).withCode(n - first)
			for i := r >> first; i < size; i += 1 << (n - first) {
				table[end-size+i] = e
			}
			code++
		}
	}
	return uint64(size - 1), true
}

// withCode adds the bits of the code to those of the element.
func (e entry) withCode(n int) entry {
	e += entry(n)
	if e&(isLiteral|isOther) == 0 {
		e |= entry(n) << 8
	}
	return e
}

func reverse(code, n int) int { return int(bits.Reverse16(uint16(code)) >> (16 - n)) }

// build makes the tables of a block with the given lengths of codes.
func (t *tables) build(lit, dist []uint8) bool {
	var litOK, distOK bool
	t.litRest, litOK = build(t.lit[:], litBits, lit, litEntry)
	t.distRest, distOK = build(t.dist[:], distBits, dist, distEntry)
	return litOK && distOK
}

// fixed returns the tables of blocks with fixed codes (RFC 1951, section
// 3.2.6), made when they are first needed.
var fixed = sync.OnceValue(func() *tables {
	var lit [288]uint8
	for i := range lit {
		switch {
		case i < 144:
			lit[i] = 8
		case i < 256:
			lit[i] = 9
		case i < 280:
			lit[i] = 7
		default:
			lit[i] = 8
		}
	}
	var dist [32]uint8
	for i := range dist {
		dist[i] = 5
	}
	t := new(tables)
	t.build(lit[:], dist[:])
	return t
})
