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

// An entry of a decoding table says what the next bits of the input mean. From
// its lowest bit on:
//
//	literals  taken 6 | count 2 | 0 1 | code bits 6 | value 8 | value 8 | 0 ...
//	length    taken 6 | count 2 | 0 0 | code bits 6 | value 8 | 0 8     | base 16 | mask 16
//	distance  taken 6 | 0 2     | 0 0 | code bits 6 | 0 16              | base 16 | mask 16
//	link      0 6     | isLink  | 1 0 | code bits 6 | 0 16              | base 16 | mask 16
//	other     taken 6 | 0 2     | 1 0 | 0 ...
//
// taken is the number of bits of the elements, extra bits included. The extra bits
// are those after the code bits that mask selects; they are added to base. An
// entry is for one or two literals, or for a length and perhaps a literal before
// it. A link leads to a table for long codes, in which base plus extra bits is the
// index. Other is the end of a block, or no code.
type entry uint64

const (
	oneLiteral entry = 1 << 6
	isLink     entry = 1 << 7 // with isOther; otherwise a part of count
	isOther    entry = 1 << 8
	isLiteral  entry = 1 << distBits // added to an index of dist, leads to an empty copy
	firstValue entry = 0xff << 16
)

// codeBits returns n as code bits.
func codeBits(n int) entry { return entry(n) << 10 }

// based returns an entry of a base with extra bits.
func based(base, extra int) entry { return entry(1<<extra-1)<<48 | entry(base)<<32 }

// value returns base plus the extra bits.
func (e entry) value(bits uint64) int {
	return int(uint16(e>>32)) + int(bits>>(e>>10&63)&uint64(e>>48))
}

// Numbers of bits that index the tables. Most codes are that short. A longer code
// takes a second step, in a table of all codes with the same first bits. There are
// at most half as many of these tables as codes, because each has at least two.
const (
	litBits  = 10
	distBits = 9
)

// tables are the codes of a block.
type tables struct {
	lit               [1 << litBits]entry
	dist              [2 << distBits]entry // the second half is for empty copies
	litLinks          [maxLit / 2 << (maxBits - litBits)]entry
	distLinks         [maxDist / 2 << (maxBits - distBits)]entry
	litCode, distCode code
}

// Lengths and distances by their codes (RFC 1951, section 3.2.5), and the order
// in which the lengths of the codes of code lengths are sent (section 3.2.7).
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
		return isLiteral | oneLiteral | entry(symbol)<<24 | entry(symbol)<<16
	case symbol > endOfBlock && symbol < maxLit:
		i := symbol - endOfBlock - 1
		return based(int(lengthBase[i]), int(lengthExtra[i])) | entry(lengthExtra[i])
	}
	return isOther
}

func distEntry(symbol int) entry {
	if symbol < maxDist {
		extra := max(symbol/2-1, 0)
		return based(int(distBase[symbol]), extra) | entry(extra)
	}
	return isOther
}

func plainEntry(symbol int) entry { return based(symbol, 0) }

// A code is a canonical prefix code (RFC 1951, section 3.2.2).
// order[start[n]:start[n+1]] are the symbols with codes of n bits, and bits are
// their codes in the order of the input.
type code struct {
	start   [maxBits + 2]uint16
	order   [maxLit + 2]uint16
	bits    [maxLit + 2]uint16
	longest int
}

// noSymbol stands for the lack of a symbol.
const noSymbol = maxLit

// set builds the code from the lengths of the codes of all symbols, and reports
// whether the code is complete. As in zlib and compress/flate, two incomplete ones
// are accepted: no code at all, and a single code of one bit.
func (c *code) set(lengths []uint8) bool {
	c.start, c.longest = [maxBits + 2]uint16{}, 0
	codes := 0
	for _, n := range lengths {
		if n > 0 {
			c.start[n+1]++
			codes++
		}
	}
	space := 1
	for n := 1; n <= maxBits; n++ {
		count := int(c.start[n+1])
		space = space<<1 - count
		if space < 0 {
			return false
		}
		if count > 0 {
			c.longest = n
		}
		c.start[n+1] += c.start[n]
	}
	if space > 0 && !(codes == 0 || codes == 1 && c.longest == 1) {
		return false
	}
	next := c.start
	for symbol, n := range lengths {
		if n > 0 {
			c.order[next[n]] = uint16(symbol)
			next[n]++
		}
	}
	// Codes of the same length are consecutive numbers, sent highest bit first.
	number := uint16(0)
	for n := 1; n <= c.longest; n++ {
		number <<= 1
		for i := c.start[n]; i < c.start[n+1]; i++ {
			c.bits[i] = bits.Reverse16(number) >> (16 - n)
			number++
		}
	}
	return true
}

// symbol returns the symbol whose code comes next, or noSymbol, and the number of
// bits of the code.
func (c *code) symbol(bits uint64) (symbol, n int) {
	// Codes of n bits begin at the number first.
	number, first := 0, 0
	for n := 1; n <= c.longest; n++ {
		number = number<<1 | int(bits&1)
		bits >>= 1
		first <<= 1
		codes := c.order[c.start[n]:c.start[n+1]]
		if number-first < len(codes) {
			return int(codes[number-first]), n
		}
		first += len(codes)
	}
	return noSymbol, c.longest
}

// fill fills a table, and the tables for codes that are longer than its index.
func (c *code) fill(table, links []entry, meaning func(symbol int) entry) {
	// The table for n bits is the table for n-1 bits twice, plus the codes of n bits.
	first := bits.Len(uint(len(table) - 1))
	table[0] = isOther | entry(c.longest) // where no code fits
	for n := 1; n <= first; n++ {
		half := 1 << (n - 1)
		copy(table[half:2*half], table[:half])
		for i := c.start[n]; i < c.start[n+1]; i++ {
			table[c.bits[i]] = meaning(int(c.order[i])).withCode(n)
		}
	}
	// Longer codes go to tables of equal size.
	rest := c.longest - first
	end, prefix := 0, -1
	for n := first + 1; n <= c.longest; n++ {
		for i := c.start[n]; i < c.start[n+1]; i++ {
			if p := int(c.bits[i]) & (1<<first - 1); p != prefix {
				prefix = p
				table[p] = isOther | isLink | codeBits(first) | based(end, rest)
				end += 1 << rest
			}
			e := meaning(int(c.order[i])).withCode(n)
			for i := end - 1<<rest + int(c.bits[i])>>first; i < end; i += 1 << (n - first) {
				links[i] = e
			}
		}
	}
}

// pair changes a filled table: where the codes of a literal and of what follows it
// fit into the index together, the entry is for both.
func (c *code) pair(table *[1 << litBits]entry) {
	var buf [len(c.order)]entry
	singles := buf[:c.start[litBits+1]]
	for i := range singles {
		singles[i] = table[c.bits[i]]
	}
	for i, e := range singles {
		if e&isLiteral == 0 {
			continue
		}
		n := int(e & 63)
		for j, next := range singles {
			m := n + int(next>>10&63)
			if m > litBits {
				break // and so do all that follow
			}
			if next&isOther != 0 {
				continue
			}
			both := (next&^firstValue | e&firstValue).withCode(n) + oneLiteral
			for k := int(c.bits[i] | c.bits[j]<<n); k < len(table); k += 1 << m {
				table[k] = both
			}
		}
	}
}

// withCode adds the bits of the code to those of the element.
func (e entry) withCode(n int) entry {
	if e&isOther != 0 {
		return e + entry(n)
	}
	return e + entry(n) + codeBits(n)
}

// build makes the tables of a block from the lengths of its codes.
func (t *tables) build(lit, dist []uint8) bool {
	if !t.litCode.set(lit) || !t.distCode.set(dist) {
		return false
	}
	t.litCode.fill(t.lit[:], t.litLinks[:], litEntry)
	t.litCode.pair(&t.lit)
	direct, none := t.dist[:1<<distBits], t.dist[1<<distBits:]
	t.distCode.fill(direct, t.distLinks[:], distEntry)
	for i := range none {
		none[i] = based(farEnough, 0)
	}
	return true
}

// fixedTables returns the tables of blocks with fixed codes (RFC 1951, section
// 3.2.6), built when they are first needed.
var fixedTables = sync.OnceValue(func() *tables {
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
