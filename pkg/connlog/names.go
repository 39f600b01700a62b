package connlog

import (
	"encoding/binary"
	"math/bits"
)

// Bounds of a names table. A log has a few dozen names; a hostile one may have
// as many as it has lines, and these then cost an allocation each instead of
// memory without end.
const (
	maxNames    = 2048
	maxNameLen  = 128
	nameSlots   = 4096 // a power of two, at least twice maxNames
	nameSlotMod = nameSlots - 1
)

// names interns the values that recur on every line (protocols, cipher suites,
// statuses and the like), so that an Entry can hold them as strings without an
// allocation, and equal names compare by pointer in the usual case.
type names struct {
	slots [nameSlots]string
	n     int
}

// intern returns text as a string, the same one for the same text as long as
// the table has room.
func (t *names) intern(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if len(text) > maxNameLen {
		return string(text)
	}
	for i := hashName(text); ; i++ {
		s := t.slots[i&nameSlotMod]
		if s == string(text) { // compared without an allocation
			return s
		}
		if s != "" {
			continue
		}
		s = string(text)
		if t.n < maxNames {
			t.slots[i&nameSlotMod] = s
			t.n++
		}
		return s
	}
}

// hashName mixes the length, the first eight and the last eight bytes: enough
// to tell names apart, cheap whatever their length. Crafted names can only
// make the table as slow as its bound on entries allows.
func hashName(b []byte) uint64 {
	var head, tail uint64
	if len(b) >= 8 {
		head = binary.LittleEndian.Uint64(b)
		tail = binary.LittleEndian.Uint64(b[len(b)-8:])
	} else {
		for _, c := range b {
			head = head<<8 | uint64(c)
		}
	}
	hi, lo := bits.Mul64(head^0x9e3779b97f4a7c15, tail^uint64(len(b))^0xd6e8feb86659fd93)
	return hi ^ lo
}
