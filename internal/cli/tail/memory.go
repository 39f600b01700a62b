package tail

import (
	"hash/maphash"

	"tlswatch/pkg/logkey"
	"tlswatch/pkg/pipeline"
)

// A reading is an object and how far it was read.
type reading struct {
	pipeline.Object
	key      logkey.Key
	lines    int // printed completely
	attempts int
	listing  int // the last one that contained it
}

// A memory holds the objects that are not read to their end, and a trace of 16 bytes of
// each of the many others.
type memory struct {
	seed    maphash.Seed
	open    map[string]*reading // by URI
	done    map[uint64]trace    // by the hash of the URI
	listing int                 // the current one; 0 without listings
}

// A trace is of an object that is done.
type trace struct {
	etag    uint32 // a hash; 0 if there is none
	listing int32
}

func newMemory() *memory {
	return &memory{maphash.MakeSeed(), make(map[string]*reading), make(map[uint64]trace), 0}
}

func (m *memory) trace(o pipeline.Object) trace {
	t := trace{listing: int32(m.listing)}
	if o.ETag != "" {
		t.etag = uint32(maphash.String(m.seed, o.ETag)) | 1
	}
	return t
}

// find returns an object that is open; else whether it is done, and whether it was
// replaced since.
func (m *memory) find(o pipeline.Object) (known *reading, done, replaced bool) {
	if known = m.open[o.URI()]; known != nil {
		known.listing = m.listing
		return known, false, false
	}
	id := maphash.String(m.seed, o.URI())
	before, done := m.done[id]
	if done {
		now := m.trace(o)
		replaced = before.etag != 0 && now.etag != 0 && before.etag != now.etag
		if now.etag == 0 {
			now.etag = before.etag
		}
		m.done[id] = now
	}
	return nil, done, replaced
}

func (m *memory) add(o *reading) {
	o.listing = m.listing
	m.open[o.URI()] = o
}

// forget removes an open object.
func (m *memory) forget(o *reading) { delete(m.open, o.URI()) }

func (m *memory) finish(o *reading) {
	m.forget(o)
	m.done[maphash.String(m.seed, o.URI())] = m.trace(o.Object)
}

// listed forgets objects that the current listing does not contain.
func (m *memory) listed() {
	for uri, o := range m.open {
		if o.listing != m.listing {
			delete(m.open, uri)
		}
	}
	for id, t := range m.done {
		if int(t.listing) != m.listing {
			delete(m.done, id)
		}
	}
}

// limit forgets objects if there are more than most, any of them. If forgotten open ones
// are read again, they are printed again.
func (m *memory) limit(most int) {
	halve(m.done, most)
	halve(m.open, most)
}

func halve[K comparable, V any](m map[K]V, most int) {
	if len(m) <= most {
		return
	}
	for k := range m {
		if delete(m, k); len(m) <= most/2 {
			return
		}
	}
}
