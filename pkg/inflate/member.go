package inflate

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
)

// Flags of a member's header (RFC 1952, section 2.3.1).
const (
	flagHeaderCRC = 1 << 1
	flagExtra     = 1 << 2
	flagName      = 1 << 3
	flagComment   = 1 << 4
)

// maxText bounds a name or comment, including its zero, as in compress/gzip.
const maxText = 512

// member reads the header of a member, or returns io.EOF if there is none.
// Like compress/gzip it ignores flags without a meaning.
func (z *Reader) member() error {
	z.work++
	if z.pos == z.end {
		if err := z.fill(); err != nil {
			return err
		}
	}
	if z.state == afterMember && z.in[z.pos] == 0 {
		return z.padding()
	}
	var sum uint32
	h, err := z.header(10, &sum)
	if err != nil {
		return err
	}
	if h[0] != 0x1f || h[1] != 0x8b || h[2] != 8 {
		return errHeader
	}
	flags := h[3]
	if flags&flagExtra != 0 {
		h, err := z.header(2, &sum)
		if err != nil {
			return err
		}
		for left := int(binary.LittleEndian.Uint16(h)); left > 0; {
			if z.pos == z.end {
				if err := z.fill(); err != nil {
					return cut(err)
				}
			}
			h, _ := z.header(min(left, z.end-z.pos), &sum)
			left -= len(h)
		}
	}
	for _, flag := range []byte{flagName, flagComment} {
		if flags&flag == 0 {
			continue
		}
		if err := z.text(&sum); err != nil {
			return err
		}
	}
	if flags&flagHeaderCRC != 0 {
		want := uint16(sum)
		h, err := z.header(2, &sum)
		if err != nil {
			return err
		}
		if binary.LittleEndian.Uint16(h) != want {
			return errHeader
		}
	}
	z.base, z.crc, z.size = z.n, 0, 0
	z.state = atBlock
	return nil
}

// header returns the next n bytes of the input and updates sum with them.
func (z *Reader) header(n int, sum *uint32) ([]byte, error) {
	for z.end-z.pos < n {
		if err := z.fill(); err != nil {
			return nil, cut(err)
		}
	}
	h := z.in[z.pos : z.pos+n]
	z.pos += n
	*sum = crc32.Update(*sum, crc32.IEEETable, h)
	return h, nil
}

// text skips a name or comment, which ends with a zero.
func (z *Reader) text(sum *uint32) error {
	for {
		b := z.in[z.pos:z.end]
		if i := bytes.IndexByte(b[:min(len(b), maxText)], 0); i >= 0 {
			_, err := z.header(i+1, sum)
			return err
		}
		if len(b) >= maxText {
			return errHeader
		}
		if err := z.fill(); err != nil {
			return cut(err)
		}
	}
}

// trailer checks the end of a member (RFC 1952, section 2.3.1).
func (z *Reader) trailer() error {
	z.bits, z.nb = 0, 0 // padding up to the next byte
	if z.end-z.pos < 8 {
		return errShort
	}
	z.sum()
	crc, size := binary.LittleEndian.Uint32(z.in[z.pos:]), binary.LittleEndian.Uint32(z.in[z.pos+4:])
	z.pos += 8
	if crc != z.crc || size != z.size {
		return errChecksum
	}
	z.state = afterMember
	return nil
}

// padding skips the zeros that programs which write whole blocks put behind the last
// member, or returns io.EOF at their end. As for gzip(1), nothing may follow.
func (z *Reader) padding() error {
	for {
		for z.pos < z.end && z.in[z.pos] == 0 {
			z.pos++
		}
		if z.pos < z.end {
			return errHeader
		}
		if err := z.fill(); err != nil {
			return err
		}
	}
}

// cut turns an unexpected end of the input into an error.
func cut(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
