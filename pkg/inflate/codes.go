package inflate

import "encoding/binary"

// fastInput is the input that a round of decodeFast may take: a load of eight
// bytes.
const fastInput = 8

const (
	errLength fault = "no length has this code"
	errDist   fault = "no distance has this code"
	errFar    fault = "a distance beyond the beginning"
)

// decode decodes the block until the input, the room or the block ends.
func (z *Reader) decode() error {
	for z.n < full {
		z.decodeFast()
		if err := z.decodeSlow(); err != nil || z.state != inCodes {
			return err
		}
	}
	return nil
}

// load returns the eight bytes of input from pos on. The mask avoids bounds
// checks: pos is less than inSize.
func load(in *[inSize + 8]byte, pos int) uint64 {
	b := in[pos&(inSize-1):]
	return binary.LittleEndian.Uint64(b)
}

// at returns the bytes from n on. The mask avoids bounds checks: wherever the
// bytes matter, n is less than bufSize.
func (b *Buffer) at(n int) *[step]byte { return (*[step]byte)(b[n&(bufSize-1):]) }

// copyStep copies pieces of 16 bytes. A piece may overlap the one copied before.
func copyStep(to, from *[step]byte) {
	*(*[16]byte)(to[:16]) = *(*[16]byte)(from[:16])
	*(*[16]byte)(to[16:32]) = *(*[16]byte)(from[16:32])
	*(*[16]byte)(to[32:]) = *(*[16]byte)(from[32:])
}

// farEnough is the distance of the empty copies that follow literals in
// decodeFast: the data there is in the cache.
const farEnough = 512

// decodeFast decodes the block as long as there is room and fastInput bytes of
// input, without checking either within a round. It stops before the end of the
// block and before anything invalid.
//
// Each round decodes literals, or a length and its distance, by the same steps.
// Which of them comes next is as random as the text, and a mispredicted branch
// takes as long as the rest of a round. So literals are followed by an empty copy:
// their length is 0, and they find a distance, which takes no bits, in the second
// half of its table.
func (z *Reader) decodeFast() {
	in, out, t := &z.in, z.out, &z.tables
	pos := z.pos
	n := z.n
	bits, nb := z.bits, uint64(z.nb)
	for pos <= z.end-fastInput && n < full {
		// Bytes that do not fit completely are loaded again in the next round: their
		// bits are present already, so a second "or" changes nothing. There are at
		// least 56 bits, of which a round takes at most 48.
		bits |= load(in, pos) << (nb & 63)
		pos += 7 - int(nb>>3&7)
		nb |= 56

		e := t.lit[bits&(1<<litBits-1)]
		if e&isOther != 0 {
			if e&isLink != 0 {
				e = t.litLinks[e.value(bits)]
			}
			if e&isOther != 0 {
				break
			}
		}
		bits2 := bits >> (e & 63)
		d := t.dist[bits2&(1<<distBits-1)|uint64(e&isLiteral)]
		if d&isOther != 0 {
			if d&isLink != 0 {
				d = t.distLinks[d.value(bits2)]
			}
			if d&isOther != 0 {
				break
			}
		}

		dist := d.value(bits2)
		length := e.value(bits)
		to := n + int(e>>6&3)
		from := to - dist
		if from < z.base && length > 0 {
			break
		}
		bits = bits2 >> (d & 63)
		nb -= uint64(e + d)
		binary.LittleEndian.PutUint16(out.at(n)[:], uint16(e>>16))
		n = to + length
		if dist >= 16 {
			copyStep(out.at(to), out.at(from))
			for to += step; to < n; to += step {
				from += step
				copyStep(out.at(to), out.at(from))
			}
		} else {
			repeat(out[from:n:n], dist)
		}
	}
	z.n = n
	z.pos = pos - int(nb>>3&7)
	z.nb = uint(nb & 7)
	z.bits = bits & (1<<z.nb - 1)
}

// repeat fills b with its first n bytes.
func repeat(b []byte, n int) {
	if len(b) < 32 {
		for i := n; i < len(b); i++ {
			b[i] = b[i-n]
		}
		return
	}
	for ; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// decodeSlow decodes at least one element. It continues until decodeFast can, the
// input is short, or the block or the room ends.
func (z *Reader) decodeSlow() error {
	b := z.reader()
	defer func() { z.advance(b) }()
	for z.n < full && z.state == inCodes {
		if err := z.element(&b); err != nil {
			return err
		}
		if len(b.in) >= fastInput {
			break
		}
	}
	return nil
}

// element decodes a literal, a length with its distance, or the end of the
// block.
func (z *Reader) element(b *bitReader) error {
	b.refill()
	symbol, n := z.tables.litCode.symbol(b.bits)
	e := litEntry(symbol).withCode(n)
	used := uint(e & 63)
	switch {
	case used > b.nb:
		return errShort
	case symbol == endOfBlock:
		z.state = atBlock
		b.drop(used)
		return nil
	case e&isOther != 0:
		return errLength
	case e&isLiteral != 0:
		z.out[z.n] = byte(symbol)
		z.n++
		b.drop(used)
		return nil
	}
	symbol, n = z.tables.distCode.symbol(b.bits >> used)
	d := distEntry(symbol).withCode(n)
	length, dist := e.value(b.bits), d.value(b.bits>>used)
	used += uint(d & 63)
	switch {
	case used > b.nb:
		return errShort
	case d&isOther != 0:
		return errDist
	case dist > z.n-z.base:
		return errFar
	}
	b.drop(used)
	repeat(z.out[z.n-dist:z.n+length], dist)
	z.n += length
	return nil
}
