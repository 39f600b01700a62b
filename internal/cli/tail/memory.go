package tail

import (
	"hash/maphash"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/pipeline"
)

// A tailed is an object and how far it was read.
type tailed struct {
	pipeline.Object
	key      connlog.ObjectKey
	lines    int // of which everything was printed
	attempts int
	listing  int // the last one that had it
}

// A memory keeps apart the objects of which something is to be read and the
// others, of which there are many: a trace of 16 bytes each.
type memory struct {
	seed    maphash.Seed
	open    map[string]*tailed // by URI
	done    map[uint64]trace   // by the hash of the URI
	listing int                // the one under way; 0 without listings
}

// A trace is of an object that is done.
type trace struct {
	etag    uint32 // a hash; 0 if there is none
	listing int32
}

func newMemory() *memory {
	return &memory{maphash.MakeSeed(), make(map[string]*tailed), make(map[uint64]trace), 0}
}

func (m *memory) trace(o pipeline.Object) trace {
	t := trace{listing: int32(m.listing)}
	if o.ETag != "" {
		t.etag = uint32(maphash.String(m.seed, o.ETag)) | 1
	}
	return t
}

// find returns an object if it is known and open, and otherwise whether it is
// done and then whether it was replaced since.
func (m *memory) find(o pipeline.Object) (known *tailed, done, replaced bool) {
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

func (m *memory) add(o *tailed) {
	o.listing = m.listing
	m.open[o.URI()] = o
}

// forget takes an object for unknown.
func (m *memory) forget(o *tailed) { delete(m.open, o.URI()) }

func (m *memory) finish(o *tailed) {
	m.forget(o)
	m.done[maphash.String(m.seed, o.URI())] = m.trace(o.Object)
}

// listed forgets what the listing did not have: it will not come again.
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

// limit forgets some of the objects that are done, as good as any, when there
// are more than that, and likewise of the others: what is read of those again is
// printed again.
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
