// Package inflate decompresses gzip (RFC 1952) for readers that work in place:
// what [Reader.Next] returns is the decompressor's own window, so that nothing
// is copied on the way to a parser, and a line cut at the end of one call is
// complete after the next.
//
// It exists because decompression would otherwise take most of the CPU time of a
// log object. On connection logs it takes about a third of the time of
// github.com/klauspost/compress/gzip, the best-known Go decompressor, and even
// less compared with compress/gzip; BenchmarkGunzip measures all three in one run.
// docs/performance.md explains where the time goes.
//
// For any input the outcome is that of compress/gzip, the same bytes and errors
// for the same inputs, which fuzz tests check. A stream may have several members;
// the CRC-32 and the size of each are checked.
//
// The package uses neither cgo nor unsafe. Memory is constant: a [Buffer], 64
// KiB of input and 63 KiB of tables.
package inflate

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
)

const (
	window  = 32 << 10            // how far back a match may reach (RFC 1951, section 2)
	bufSize = 128 << 10           // a power of two
	slack   = 1 + maxMatch + step // the most that a round of decodeFast writes: a literal, the longest match, a step of its copy
	full    = bufSize - slack     // where decoding pauses
	chunk   = full - window       // room for new data after the window
	step    = 48                  // bytes of a match that are copied at once; longer matches are rare in logs
	inSize  = 64 << 10            // compressed bytes
)

// A Buffer holds the window and the new data after it, and slack, so that the fast
// loop may read and write past the end.
type Buffer [bufSize + step]byte

// MaxKeep is how many bytes [Reader.Next] can keep of what it returned.
const MaxKeep = full - chunk/2

// Errors of gzip data. The others are [corruptError] and, for truncated data,
// io.ErrUnexpectedEOF.
var (
	errHeader   = errors.New("inflate: not a gzip header")
	errChecksum = errors.New("inflate: data does not match its checksum")
)

// A corruptError says what is wrong with DEFLATE data (RFC 1951).
type corruptError struct {
	Offset int64 // in the input, of what had been read when the fault was found
	Reason string
}

func (e *corruptError) Error() string {
	return fmt.Sprintf("inflate: corrupt input before byte %d: %s", e.Offset, e.Reason)
}

// A fault is the reason of a corruptError.
type fault string

func (f fault) Error() string { return string(f) }

// A Reader decompresses a sequence of gzip members.
type Reader struct {
	src    io.Reader
	srcErr error // from src, sticky; reported when the input before it is used up
	total  int64 // bytes read from src

	// in[pos:end] is the input after the nb low bits of bits. Between two steps
	// there are fewer than eight of these.
	pos, end int
	bits     uint64
	nb       uint

	// out[:n] is output. The current member begins at base, and crc and size
	// include out[:summed].
	out    *Buffer
	next   *Buffer // the buffer to continue in, if not nil
	n      int
	base   int
	summed int
	crc    uint32
	size   uint32 // modulo 2^32

	state  state
	last   bool // the block is the last of its member
	stored int  // bytes left of a stored block
	err    error

	fixed bool  // whether tables are those of fixed codes
	work  int64 // blocks and members read, which tests bound

	// Large fields come last, because instructions have short offsets.
	tables  tables // of the block
	lengths [maxLit + maxDist]uint8
	in      [inSize + 8]byte
}

// A state is what comes next in the input.
type state uint8

const (
	atMember    state = iota
	afterMember       // at the next one, or the end
	atBlock
	inStored
	inCodes
	atTrailer
)

// errShort means that the next step needs more input.
var errShort = errors.New("inflate: more input needed")

// NewReader returns a Reader of the gzip data in r. Nothing is read before the
// first call of Next. It may read further than it decompresses.
func NewReader(r io.Reader) *Reader {
	z := new(Reader)
	z.Reset(r)
	return z
}

// Reset makes z read from r as if it were new, keeping its memory.
func (z *Reader) Reset(r io.Reader) {
	z.src, z.srcErr, z.total = r, nil, 0
	z.pos, z.end, z.bits, z.nb = 0, 0, 0, 0
	z.n, z.base, z.summed = 0, 0, 0
	z.state, z.last, z.err, z.work = atMember, false, nil, 0
}

// Use makes the next call of Next continue in b. What the call before returned
// stays valid in the buffer used until then. Without Use, a Reader makes a Buffer
// of its own.
func (z *Reader) Use(b *Buffer) { z.next = b }

// Next decompresses the next part of the data: as much as the buffer has room
// for, but once it has some it does not wait for more input. It returns the last
// keep bytes of the slice that the previous call returned, at most [MaxKeep],
// followed by the new data. The slice is valid until the next call and must not
// be written to.
//
// There is new data if and only if the error is nil. The error is io.EOF at the
// clean end of the last member, which zeros may follow, io.ErrUnexpectedEOF for
// truncated data, an error for anything else at the start of a member, for data that is
// corrupt or does not match its checksum, or the error of the underlying reader.
func (z *Reader) Next(keep int) ([]byte, error) {
	if keep > MaxKeep {
		panic("inflate: more to keep than MaxKeep")
	}
	if z.out == nil && z.next == nil {
		z.next = new(Buffer)
	}
	if z.next != nil || z.n > full-chunk/2 {
		z.move(keep)
	}
	from := z.n
	for z.err == nil && z.n < full {
		if z.state == afterMember && z.n > from {
			break // its header may arrive much later
		}
		err := z.step()
		if err == errShort {
			if z.n > from {
				break
			}
			if err = z.fill(); err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
		}
		if f, ok := err.(fault); ok {
			err = &corruptError{z.total - int64(z.end-z.pos), string(f)}
		}
		z.err = err
	}
	z.sum()
	if z.n > from {
		return z.out[from-keep : z.n], nil
	}
	return z.out[from-keep : from], z.err
}

func (z *Reader) step() error {
	switch z.state {
	case atMember, afterMember:
		return z.member()
	case atBlock:
		return z.block()
	case inStored:
		return z.copyStored()
	case inCodes:
		return z.decode()
	default:
		return z.trailer()
	}
}

// move makes room: it moves the window, or the bytes to keep if they are more, to
// the front of the buffer, or of the next one.
func (z *Reader) move(keep int) {
	drop := z.n - max(keep, min(z.n-z.base, window))
	if z.next != nil {
		copy(z.next[:], z.out.upTo(z.n)[drop:])
		z.out, z.next = z.next, nil
	} else {
		copy(z.out[:], z.out[drop:z.n])
	}
	z.n -= drop
	z.base = max(0, z.base-drop)
	z.summed = z.n
}

// upTo returns b[:n], and nil for no Buffer.
func (b *Buffer) upTo(n int) []byte {
	if b == nil {
		return nil
	}
	return b[:n]
}

// fill reads more input and keeps what is unused. It returns io.EOF at the end.
func (z *Reader) fill() error {
	z.end = copy(z.in[:], z.in[z.pos:z.end])
	z.pos = 0
	for range 100 {
		if z.srcErr != nil {
			return z.srcErr
		}
		n, err := z.src.Read(z.in[z.end:inSize])
		z.end += n
		z.total += int64(n)
		z.srcErr = err
		if n > 0 {
			return nil
		}
	}
	return io.ErrNoProgress
}

// sum updates crc and size.
func (z *Reader) sum() {
	z.crc = crc32.Update(z.crc, crc32.IEEETable, z.out[z.summed:z.n])
	z.size += uint32(z.n - z.summed)
	z.summed = z.n
}
