package history

import (
	"cmp"
	"math"
	"net/netip"
	"time"

	"tlswatch/internal/table"
	"tlswatch/pkg/connlog"
)

// A Worker adds the entries of one goroutine.
type Worker struct {
	h        *History
	from, to int64 // the minute of counts
	counts   []Cell
	counted  []uint32 // kinds in counts
	cells    []cellUpdate
	batch    []update
}

// An update is one connection of a client.
type update struct {
	client clientKey
	kind   Kind
	slot   uint64 // of client
	at     int64
	cert   uint64
}

type cellUpdate struct {
	kind   uint32
	minute int32
	Cell
}

// Worker returns a new Worker. It must be closed.
func (h *History) Worker() *Worker {
	return &Worker{h: h, batch: make([]update, 0, batchSize), from: math.MaxInt64}
}

// Add counts an entry of a kind.
func (w *Worker) Add(kind Kind, a netip.Addr, at time.Time) { w.add(kind, a, at.UnixMicro(), 0) }

func (w *Worker) add(kind Kind, a netip.Addr, at int64, cert uint64) {
	if kind.number == 0 {
		return
	}
	if at < w.from || at >= w.to {
		w.endMinute()
		w.from = floor(at, minute)
		w.to = w.from + minute
	}
	if int(kind.number) >= len(w.counts) {
		w.counts = append(w.counts, make([]Cell, int(kind.number)+16-len(w.counts))...)
	}
	c := &w.counts[kind.number]
	if c.N == 0 {
		w.counted = append(w.counted, kind.number)
		c.First, c.Last = at, at
	}
	c.N++
	c.First, c.Last = min(c.First, at), max(c.Last, at)
	k := keyOf(a, kind.listener)
	w.batch = append(w.batch, update{k, kind, k.slot(), at, cert})
	if len(w.batch) == cap(w.batch) {
		w.flush()
	}
}

// AddCert counts an entry of a kind whose client presented a certificate.
func (w *Worker) AddCert(kind Kind, a netip.Addr, at time.Time, c *connlog.ClientCert) {
	if kind.number == 0 {
		return
	}
	w.add(kind, a, at.UnixMicro(), w.h.addCert(kind, at.UnixMicro(), c))
}

func (w *Worker) endMinute() {
	for _, k := range w.counted {
		w.cells = append(w.cells, cellUpdate{k, int32(w.from / minute), w.counts[k]})
		w.counts[k] = Cell{}
	}
	w.counted = w.counted[:0]
}

// Close adds what is left. The Worker must not be used afterwards.
func (w *Worker) Close() {
	w.endMinute()
	w.flush()
}

func (w *Worker) flush() {
	w.h.mu.Lock()
	defer w.h.mu.Unlock()
	if !w.h.overflow {
		w.h.addCells(w.cells)
		w.h.addBatch(w.batch)
	}
	w.cells, w.batch = w.cells[:0], w.batch[:0]
}

// floor returns the largest multiple of unit that is at most n.
func floor(n, unit int64) int64 {
	f := n - n%unit
	if f > n {
		f -= unit
	}
	return f
}

// cover makes room for the times of a batch.
func (h *History) cover(batch []update) {
	first, last := h.first, h.last
	for i := range batch {
		first, last = min(first, batch[i].at), max(last, batch[i].at)
	}
	shift := h.shift
	for stepOf(last, shift)-stepOf(first, shift) >= maxSteps {
		shift++
	}
	if shift > h.shift {
		base := stepOf(h.first, h.shift)
		for r := range h.clients.All {
			r.Value.worked = widen(r.Value.worked, base, shift-h.shift)
		}
		for i := range h.ways {
			h.ways[i].steps = widen(h.ways[i].steps, base, shift-h.shift)
		}
		h.shift = shift
	}
	h.first, h.last = first, last
}

// stepOf returns the number of the step of a time. Its bit in a set is the number
// modulo maxSteps, which is unique since a set covers fewer steps.
func stepOf(at int64, shift uint) int64 { return floor(at, step) / step >> shift }

// widen returns a set of steps that are 1 << shift times as wide. Those of the set
// begin at base.
func widen(set uint64, base int64, shift uint) uint64 {
	var wide uint64
	for i := range int64(maxSteps) {
		if n := base + i; set>>(n&(maxSteps-1))&1 != 0 {
			wide |= 1 << (n >> shift & (maxSteps - 1))
		}
	}
	return wide
}

// addBatch counts the connections of a batch. Rows are far apart in memory, so it looks
// up those of the whole batch before it uses them: the processor waits for many at once.
func (h *History) addBatch(batch []update) {
	if len(batch) == 0 {
		return
	}
	h.cover(batch)
	h.entries += uint64(len(batch))
	var slots [batchSize]uint32
	for i := range batch {
		slots[i] = h.clients.Slot(batch[i].slot)
	}
	var rows [batchSize]*client
	for i := range batch {
		rows[i] = h.clients.Find(slots[i], batch[i].client, batch[i].slot)
	}
	from, to, bit := int64(0), int64(0), uint64(0) // the last step
	for i := range batch {
		u := &batch[i]
		c := rows[i]
		if c == nil {
			if c = h.client(u); c == nil {
				continue
			}
		}
		if u.at < from || u.at >= to {
			n := stepOf(u.at, h.shift)
			from, to = (n<<h.shift)*step, ((n+1)<<h.shift)*step
			bit = 1 << (n & (maxSteps - 1))
		}
		switch u.kind.outcome {
		case Success:
			h.succeed(c, u, bit)
		case Failure:
			h.fail(c, u, bit)
		}
	}
	h.bound()
}

// client returns the row of a client, nil if it is not in the sample.
func (h *History) client(u *update) *client {
	if h.sample > 0 && !isIn(u.client.hash(), h.sample) {
		return nil
	}
	c, _ := h.clients.GetHashed(u.client, u.slot)
	return c
}

// hash is the same in every run, and for all listeners.
func (k clientKey) hash() uint64 { return mix(k.hi, k.lo) }

func (h *History) succeed(c *client, u *update, bit uint64) {
	if c.successes == 0 {
		c.firstSuccess, c.lastSuccess, c.lastKind = u.at, u.at, u.kind.number
	}
	if c.successes < math.MaxUint32 {
		c.successes++
	}
	c.worked |= bit
	c.firstSuccess = min(c.firstSuccess, u.at)
	if u.at > c.lastSuccess || u.at == c.lastSuccess && h.hashes[u.kind.number] < h.hashes[c.lastKind] {
		c.lastSuccess, c.lastKind = u.at, u.kind.number
	}
}

func (h *History) fail(c *client, u *update, bit uint64) {
	if c.failures < math.MaxUint32 {
		c.failures++
	}
	n := 0
	var last *way // in the order of compare
	for i := c.ways; i != 0; n++ {
		w := &h.ways[i-1]
		if w.kind == u.kind.number && w.cert == u.cert {
			w.add(u.at, bit)
			return
		}
		if last == nil || h.compare(w, last) > 0 {
			last = w
		}
		i = w.next
	}
	fresh := way{kind: u.kind.number, cert: u.cert, first: u.at, last: u.at}
	fresh.add(u.at, bit)
	if n == clientWays { // the lowest hashes stay
		if h.compare(&fresh, last) < 0 {
			fresh.next = last.next
			*last = fresh
		}
		return
	}
	fresh.next = c.ways
	h.ways = append(h.ways, fresh)
	c.ways = uint32(len(h.ways))
}

func (w *way) add(at int64, bit uint64) {
	if w.n < math.MaxUint32 {
		w.n++
	}
	w.first, w.last = min(w.first, at), max(w.last, at)
	w.steps |= bit
}

func (h *History) compare(a, b *way) int {
	return cmp.Or(cmp.Compare(h.hashes[a.kind], h.hashes[b.kind]), cmp.Compare(a.cert, b.cert))
}

// bound makes the sample of clients smaller while there are too many.
func (h *History) bound() {
	for h.clients.Len() > maxClients || len(h.ways) > maxWays {
		h.sample++
		ways := make([]way, 0, len(h.ways)/2+batchSize)
		h.clients.Retain(func(r *table.Row[clientKey, client]) bool {
			if !isIn(r.Key.hash(), h.sample) {
				return false
			}
			list := r.Value.ways
			r.Value.ways = 0
			for list != 0 {
				w := h.ways[list-1]
				list, w.next = w.next, r.Value.ways
				ways = append(ways, w)
				r.Value.ways = uint32(len(ways))
			}
			return true
		})
		h.ways = ways
	}
}

// addCells adds to the series of kinds.
func (h *History) addCells(cells []cellUpdate) {
	for i := range cells {
		u := &cells[i]
		c, _ := h.series.Get(cellKey{u.kind, u.minute >> h.seriesShift})
		c.add(u.Cell)
		h.boundSeries()
	}
}

func (h *History) boundSeries() {
	for h.series.Len() > maxCells {
		h.seriesShift++
		wider := newSeries()
		for r := range h.series.All {
			c, _ := wider.Get(cellKey{r.Key.kind, r.Key.minute >> 1})
			c.add(r.Value)
		}
		h.series = wider
	}
}

// addCert counts a client certificate, and returns its hash.
func (h *History) addCert(kind Kind, at int64, c *connlog.ClientCert) uint64 {
	k := certKey{max(1, mix(hash(c.Serial), mix(hash(c.Subject), uint64(c.NotAfter.Unix())))), kind.listener}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.overflow || !isIn(k.hash, h.certSample) {
		return k.hash
	}
	v, fresh := h.certs.Get(k)
	if fresh {
		v.serial, v.subject = string(c.Serial[:min(len(c.Serial), maxName)]), string(c.Subject[:min(len(c.Subject), maxSubject)])
		if !c.NotAfter.IsZero() {
			v.notAfter = c.NotAfter.UnixMicro()
		}
	}
	if kind.outcome == Success {
		v.worked.add(Cell{1, at, at})
	}
	for h.certs.Len() > maxCerts {
		h.certSample++
		h.certs.Retain(func(r *table.Row[certKey, cert]) bool { return isIn(r.Key.hash, h.certSample) })
	}
	return k.hash
}
