package inflate

// A bitReader reads bits from input that may end anywhere.
type bitReader struct {
	in   []byte // after the bits
	bits uint64
	nb   uint // number of bits
}

// refill provides at least 57 bits, unless the input ends.
func (b *bitReader) refill() {
	for b.nb <= 56 && len(b.in) > 0 {
		b.bits |= uint64(b.in[0]) << b.nb
		b.in = b.in[1:]
		b.nb += 8
	}
}

// take returns the next n bits, at most 57, if there are as many.
func (b *bitReader) take(n uint) (int, bool) {
	if b.nb < n {
		if b.refill(); b.nb < n {
			return 0, false
		}
	}
	v := int(b.bits & (1<<n - 1))
	b.drop(n)
	return v, true
}

func (b *bitReader) drop(n uint) {
	b.bits >>= n
	b.nb -= n
}

// reader returns a bitReader of the available input. advance removes from the
// input what the bitReader has consumed.
func (z *Reader) reader() bitReader {
	return bitReader{in: z.in[z.pos:z.end], bits: z.bits, nb: z.nb}
}

func (z *Reader) advance(b bitReader) {
	z.pos = z.end - len(b.in) - int(b.nb/8)
	z.nb = b.nb % 8
	z.bits = b.bits & (1<<z.nb - 1)
}

// block reads the header of a block (RFC 1951, section 3.2.3), or ends the member
// after its last block. If the input is short, the next call starts again.
func (z *Reader) block() error {
	if z.last {
		z.last = false
		z.state = atTrailer
		return nil
	}
	z.work++
	b := z.reader()
	last, _ := b.take(1)
	kind, ok := b.take(2)
	if !ok {
		return errShort
	}
	switch kind {
	case 0:
		b.drop(b.nb % 8)
		size, _ := b.take(16)
		check, ok := b.take(16)
		if !ok {
			return errShort
		}
		if size != ^check&0xffff {
			return fault("a stored block's length does not match its complement")
		}
		z.stored = size
		z.state = inStored
	case 1:
		if !z.fixed {
			z.tables, z.fixed = *fixedTables(), true
		}
		z.state = inCodes
	case 2:
		if err := z.dynamicCodes(&b); err != nil {
			return err
		}
		z.state = inCodes
	default:
		return fault("a block of type 3")
	}
	z.last = last == 1
	z.advance(b)
	return nil
}

// dynamicCodes reads the codes of a block (RFC 1951, section 3.2.7) and builds
// their tables.
func (z *Reader) dynamicCodes(b *bitReader) error {
	nlit, _ := b.take(5)
	ndist, _ := b.take(5)
	norder, ok := b.take(4)
	if !ok {
		return errShort
	}
	nlit, ndist, norder = nlit+257, ndist+1, norder+4
	if nlit > maxLit || ndist > maxDist {
		return fault("more codes than there are symbols")
	}
	var lengths [len(lengthOrder)]uint8
	for _, i := range lengthOrder[:norder] {
		n, ok := b.take(3)
		if !ok {
			return errShort
		}
		lengths[i] = uint8(n)
	}
	var table [1 << lengthBits]entry
	var code code
	if !code.set(lengths[:]) {
		return fault("incomplete or over-subscribed code of code lengths")
	}
	code.fill(table[:], nil, plainEntry)

	all := z.lengths[:nlit+ndist]
	if err := readLengths(b, &table, all); err != nil {
		return err
	}
	z.fixed = false
	if !z.tables.build(all[:nlit], all[nlit:]) {
		return fault("incomplete or over-subscribed code")
	}
	return nil
}

const lengthBits = 7 // of the longest code of a code length

// readLengths reads the code lengths of a block by the table of their codes.
func readLengths(b *bitReader, table *[1 << lengthBits]entry, all []uint8) error {
	for i := 0; i < len(all); {
		if b.nb < lengthBits+7 {
			b.refill()
		}
		e := table[b.bits&(1<<lengthBits-1)]
		n := uint(e & 63)
		if n > b.nb {
			return errShort
		}
		if e&isOther != 0 {
			return fault("no code length has this code")
		}
		b.drop(n)
		symbol := uint8(e.value(0))
		if symbol < 16 {
			all[i] = symbol
			i++
			continue
		}
		var again int
		var value uint8
		var ok bool
		switch symbol {
		case 16:
			if i == 0 {
				return fault("no code length to repeat")
			}
			value = all[i-1]
			again, ok = b.take(2)
			again += 3
		case 17:
			again, ok = b.take(3)
			again += 3
		default:
			again, ok = b.take(7)
			again += 11
		}
		if !ok {
			return errShort
		}
		if again > len(all)-i {
			return fault("code lengths are repeated beyond their number")
		}
		for range again {
			all[i] = value
			i++
		}
	}
	return nil
}

// copyStored copies what is available of a stored block.
func (z *Reader) copyStored() error {
	if z.stored == 0 {
		z.state = atBlock
		return nil
	}
	if z.pos == z.end {
		return errShort
	}
	n := copy(z.out[z.n:full], z.in[z.pos:min(z.end, z.pos+z.stored)])
	z.n += n
	z.pos += n
	z.stored -= n
	return nil
}
