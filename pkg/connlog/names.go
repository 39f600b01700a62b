package connlog

import (
	"encoding/binary"
	"math/bits"
)

// Bounds of a names table. A log has a few dozen names. A hostile log may have as
// many as it has lines: each then costs an allocation, but memory is bounded.
const (
	maxNames   = 2048
	maxNameLen = 128
	nameSlots  = 4096 // a power of two, at least twice maxNames
)

// names interns the values that recur on every line (protocols, cipher suites,
// statuses and similar), so that an Entry can hold them as strings without an
// allocation, and equal names mostly compare by pointer.
type names struct {
	slots [nameSlots]string
	n     int
}

// intern returns text as a string. Equal texts give the same string as long as the
// table has room.
func (t *names) intern(text []byte) string {
	if len(text) == 0 {
		return ""
	}
	if len(text) > maxNameLen {
		return string(text)
	}
	hash := hashName(text)
	for i := range uint64(maxProbes) {
		slot := &t.slots[(hash+i)%nameSlots]
		if *slot == string(text) { // compared without an allocation
			return *slot
		}
		if *slot != "" {
			continue
		}
		if t.n >= maxNames {
			break
		}
		*slot = string(text)
		t.n++
		return *slot
	}
	return string(text)
}

// hashName mixes the length, the first eight and the last eight bytes: enough for
// names, and cheap for every length.
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
