package inflate

import "encoding/binary"

// fastInput is the input that a round of decodeFast may take: two loads of
// eight bytes.
const fastInput = 16

const (
	errLength fault = "no length has this code"
	errDist   fault = "no distance has this code"
	errFar    fault = "a distance beyond the beginning"
)

// decode decodes the block as far as there is input and room.
func (z *Reader) decode() error {
	for z.n < full {
		if z.end-z.pos >= fastInput {
			if err := z.decodeFast(z.codes); err != nil || z.state != inCodes {
				return err
			}
		}
		if err := z.decodeSlow(z.codes); err != nil || z.state != inCodes {
			return err
		}
	}
	return nil
}

// value adds the extra bits to the base of a length or distance.
func (e entry) value(bits uint64) int {
	return int(e>>16) + int(bits&(1<<(e&63)-1)>>(e>>8&63))
}

// load returns the eight bytes of input from pos on. The masks spare it bounds
// checks: pos is less than inSize.
func load(in *[inSize + 8]byte, pos int) uint64 {
	b := in[pos&(inSize-1):]
	return binary.LittleEndian.Uint64(b)
}

// decodeFast decodes the block for as long as there are fastInput bytes of
// input and room, without checking either inside a round.
func (z *Reader) decodeFast(t *tables) (err error) {
	in, out := &z.in, z.out
	pos, last := z.pos, z.end-fastInput
	n, base := z.n, z.base
	bits, nb := z.bits, uint64(z.nb)
	for pos <= last && n < full {
		// Bytes that do not fit in whole are taken again the next time: their
		// bits are there already, and or-ing them again changes nothing.
		bits |= load(in, pos) << (nb & 63)
		pos += 7 - int(nb>>3&7)
		nb |= 56

		// Four literals take 44 bits at most, so that after three there are
		// enough for any length.
		e := t.lit[bits&(1<<litBits-1)]
		if e&isLiteral != 0 {
			bits >>= e & 63
			nb -= uint64(e)
			out[n] = byte(e >> 16)
			n++
			e = t.lit[bits&(1<<litBits-1)]
			if e&isLiteral != 0 {
				bits >>= e & 63
				nb -= uint64(e)
				out[n] = byte(e >> 16)
				n++
				e = t.lit[bits&(1<<litBits-1)]
				if e&isLiteral != 0 {
					bits >>= e & 63
					nb -= uint64(e)
					out[n] = byte(e >> 16)
					n++
					e = t.lit[bits&(1<<litBits-1)]
					if e&isLiteral != 0 {
						bits >>= e & 63
						nb -= uint64(e)
						out[n] = byte(e >> 16)
						n++
						continue
					}
				}
			}
		}
		if e&isOther != 0 {
			if e&isLink != 0 {
				bits >>= litBits
				nb -= litBits
				e = t.lit[(uint64(e>>16)+bits&t.litRest)&(litSize-1)]
			}
			if e&isLiteral != 0 {
				bits >>= e & 63
				nb -= uint64(e)
				out[n] = byte(e >> 16)
				n++
				continue
			}
			if e&isEnd != 0 {
				bits >>= e & 63
				nb -= uint64(e)
				z.state = atBlock
				break
			}
			if e&isOther != 0 {
				err = errLength
				break
			}
		}
		length := e.value(bits)
		bits >>= e & 63
		nb -= uint64(e)

		if nb&63 < maxBits+13 {
			bits |= load(in, pos) << (nb & 63)
			pos += 7 - int(nb>>3&7)
			nb |= 56
		}
		e = t.dist[bits&(1<<distBits-1)]
		if e&isOther != 0 {
			if e&isLink != 0 {
				bits >>= distBits
				nb -= distBits
				e = t.dist[(uint64(e>>16)+bits&t.distRest)&(distSize-1)]
			}
			if e&isOther != 0 {
				err = errDist
				break
			}
		}
		dist := e.value(bits)
		bits >>= e & 63
		nb -= uint64(e)

		from := n - dist
		if from < base {
			err = errFar
			break
		}
		end := n + length
		if dist >= 16 {
			*(*[16]byte)(out[n:]) = *(*[16]byte)(out[from:])
			*(*[16]byte)(out[n+16:]) = *(*[16]byte)(out[from+16:])
			for n += 32; n < end; n += 16 {
				from += 16
				*(*[16]byte)(out[n:]) = *(*[16]byte)(out[from+16:])
			}
		} else {
			repeat(out[from:end:end], dist)
		}
		n = end
	}
	z.n = n
	z.pos = pos - int(nb>>3&7)
	z.nb = uint(nb & 7)
	z.bits = bits & (1<<z.nb - 1)
	return err
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

// decodeSlow decodes symbol by symbol, up to where decodeFast can go on, the
// input is short, or the room ends.
func (z *Reader) decodeSlow(t *tables) (err error) {
	b := z.reader()
	defer func() { z.advance(b) }()
	for z.n < full {
		b.refill()
		if len(b.in) >= fastInput {
			return nil
		}
		e, used := t.lit[b.bits&(1<<litBits-1)], uint(0)
		if e&isLink != 0 {
			used = litBits
			e = t.lit[uint64(e>>16)+b.bits>>used&t.litRest]
		}
		length := e.value(b.bits >> used)
		if used += uint(e & 63); used > b.nb {
			return errShort
		}
		switch {
		case e&isLiteral != 0:
			b.drop(used)
			z.out[z.n] = byte(e >> 16)
			z.n++
			continue
		case e&isEnd != 0:
			b.drop(used)
			z.state = atBlock
			return nil
		case e&isOther != 0:
			return errLength
		}

		e = t.dist[b.bits>>used&(1<<distBits-1)]
		if e&isLink != 0 {
			used += distBits
			e = t.dist[uint64(e>>16)+b.bits>>used&t.distRest]
		}
		dist := e.value(b.bits >> used)
		if used += uint(e & 63); used > b.nb {
			return errShort
		}
		switch {
		case e&isOther != 0:
			return errDist
		case dist > z.n-z.base:
			return errFar
		}
		b.drop(used)
		repeat(z.out[z.n-dist:z.n+length], dist)
		z.n += length
	}
	return nil
}
