package whatif

import (
	"encoding/binary"
	"hash/fnv"
	"io"
	"math/bits"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"tlswatch/internal/table"
	"tlswatch/pkg/connlog"
)

// Limits of a log's memory, besides its room.
const (
	maxKinds    = 1 << 15
	maxKindName = 128 // bytes
)

// A Log collects connections of a log in bounded memory. Its rows do not depend on
// the order in which entries come.
//
// A row is about a client, a kind and a day. If rows take more than a quarter of the
// room, those of several days become one. If there are still more rows than room, a
// random sample of the clients keeps its rows, and those of the others count as
// [Others].
type Log struct {
	room   int
	size   atomic.Int64 // rows
	limit  atomic.Int64 // of size, with the current detail
	mu     sync.RWMutex // for writing while rows become fewer
	detail int          // how often rows became fewer
	kept   int          // kinds have their own rows if their hash ends in that many zeros
	shards [64]shard

	kindsMu sync.Mutex // guards what follows; taken before mu
	kinds   []Kind
	index   map[Kind]uint32
}

// A shard has the rows of some clients.
type shard struct {
	mu   sync.Mutex
	rows table.Table[rowKey, tally]
}

// A rowKey has no pointers, so that rows cost the garbage collector nothing.
type rowKey struct {
	client address
	kind   uint32
	period int32 // a day or several, or others
}

// An address is that of a client.
type address struct{ high, low uint64 }

// noAddress stands for a client without an address. No client has it: it is the last
// IPv6 address, which is multicast.
var noAddress = address{^uint64(0), ^uint64(0)}

func newAddress(a netip.Addr) address {
	if !a.IsValid() {
		return noAddress
	}
	b := a.As16()
	return address{binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:])}
}

func (a address) addr() netip.Addr {
	if a == noAddress {
		return netip.Addr{}
	}
	var b [16]byte
	binary.BigEndian.PutUint64(b[:], a.high)
	binary.BigEndian.PutUint64(b[8:], a.low)
	return netip.AddrFrom16(b).Unmap()
}

// hash is the same in every run.
func (a address) hash() uint64 { return mix(a.high ^ mix(a.low)) }

func (k rowKey) hash() uint64 {
	return mix(k.client.hash() ^ uint64(k.kind)<<32 ^ uint64(uint32(k.period)))
}

// others is the period of the rows of clients that are not told apart.
const others = -1

type tally struct {
	connections, evidence uint64
	at                    span
}

func newRows() table.Table[rowKey, tally] { return table.New[rowKey, tally](rowKey.hash) }

// NewLog returns an empty log with room for a number of rows.
func NewLog(room int) *Log {
	l := &Log{room: room, index: make(map[Kind]uint32)}
	l.limit.Store(int64(room) / 4)
	for i := range l.shards {
		l.shards[i].rows = newRows()
	}
	return l
}

// A Worker adds entries to a log, for one goroutine.
type Worker struct {
	log   *Log
	kinds map[Kind]uint32
	kept  int
}

// Worker returns a new worker.
func (l *Log) Worker() *Worker { return &Worker{log: l, kinds: make(map[Kind]uint32)} }

// Add adds an entry. If it does not count, it is only evidence. The certificate is 0 if the
// client presented none; otherwise it is 1 and the index of its signatures in
// [Question.ClientCertificates].
func (w *Worker) Add(e *connlog.Entry, counts bool, certificate uint16) {
	l := w.log
	k := Kind{Listener{e.LoadBalancer, e.ListenerPort}, e.Protocol, e.Cipher, e.KeyExchange, e.Status, certificate}
	id, ok := w.kinds[k]
	l.mu.RLock()
	for !ok || w.kept != l.kept {
		l.mu.RUnlock()
		id, ok = w.learn(k), true
		l.mu.RLock()
	}
	key := l.key(rowKey{client: newAddress(e.Client), kind: id}, e.Time)
	s := l.shard(key)
	s.mu.Lock()
	row, fresh := s.rows.Get(key)
	if fresh {
		row.at = never
	}
	row.evidence++
	if counts {
		row.connections++
	}
	at := e.Time.UnixMicro()
	row.at.add(span{at, at})
	s.mu.Unlock()
	l.mu.RUnlock()
	if fresh && l.size.Add(1) > l.limit.Load() {
		l.shrink()
	}
}

// shard returns the shard of a row.
func (l *Log) shard(k rowKey) *shard { return &l.shards[k.client.hash()%uint64(len(l.shards))] }

// allTime is the detail without days.
const allTime = 6

// key returns the key of a row with the current detail: days, then 2, 4, ... 32 days,
// then all time; then half of the clients, a quarter and so on. The caller holds the
// lock.
func (l *Log) key(k rowKey, at time.Time) rowKey {
	if n := l.detail - allTime; n > 0 && bits.TrailingZeros64(k.client.hash()) < n {
		return rowKey{kind: k.kind, period: others}
	}
	k.period = 0
	if l.detail < allTime {
		k.period = int32(at.Unix()/(24*60*60)) >> l.detail
	}
	return k
}

// shrink takes detail from the rows until they have room.
func (l *Log) shrink() {
	l.kindsMu.Lock()
	defer l.kindsMu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.size.Load() > l.limit.Load() {
		if l.detail++; l.detail == allTime {
			l.limit.Store(int64(l.room))
		}
		l.rebuild()
	}
}

// rebuild moves all rows to their keys with the current detail.
func (l *Log) rebuild() {
	var old []table.Table[rowKey, tally]
	for i := range l.shards {
		old = append(old, l.shards[i].rows)
		l.shards[i].rows = newRows()
	}
	n := 0
	for i := range old {
		for r := range old[i].All {
			key := r.Key
			if key.period != others {
				key = l.key(key, time.UnixMicro(r.Value.at.first))
			}
			key.kind = l.fold(key.kind)
			sum, fresh := l.shard(key).rows.Get(key)
			if fresh {
				*sum = r.Value
				n++
				continue
			}
			sum.connections += r.Value.connections
			sum.evidence += r.Value.evidence
			sum.at.add(r.Value.at)
		}
		old[i] = newRows() // so that its memory is free
	}
	l.size.Store(int64(n))
}

// learn returns the number of a kind, within the limits.
func (w *Worker) learn(k Kind) uint32 {
	l := w.log
	l.kindsMu.Lock()
	defer l.kindsMu.Unlock()
	if w.kept != l.kept {
		clear(w.kinds)
		w.kept = l.kept
	}
	id := l.number(l.limited(k))
	if len(l.index) > maxKinds {
		l.forget()
		clear(w.kinds)
		w.kept = l.kept
		id = l.fold(id)
	}
	w.kinds[k] = id
	return id
}

// number returns the number of a kind.
func (l *Log) number(k Kind) uint32 {
	id, ok := l.index[k]
	if !ok {
		id = uint32(len(l.kinds))
		l.index[k] = id
		l.kinds = append(l.kinds, k)
	}
	return id
}

// limited returns the kind, or the one that stands for all that have no rows of their
// own.
func (l *Log) limited(k Kind) Kind {
	longest := max(len(k.Listener.LoadBalancer), len(k.Protocol), len(k.Cipher), len(k.KeyExchange), len(k.Status))
	if longest > maxKindName || bits.TrailingZeros64(hashKind(k)) < l.kept {
		return k.rest()
	}
	return k
}

// forget keeps fewer kinds, until they have room.
func (l *Log) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.index) > maxKinds {
		l.kept++
		for _, k := range l.kinds {
			if l.limited(k) != k {
				delete(l.index, k)
			}
		}
	}
	l.rebuild()
}

// fold returns the number of the kind that a kind counts as.
func (l *Log) fold(id uint32) uint32 {
	if l.kept == 0 {
		return id
	}
	return l.number(l.limited(l.kinds[id]))
}

// rest returns the kind that replaces k beyond the limit: one each for connections
// without TLS, successes, failures and anything else.
func (k Kind) rest() Kind {
	const other = "other"
	e := connlog.Entry{Protocol: k.Protocol, Status: k.Status}
	switch {
	case !e.TLS():
		return Kind{Cipher: other}
	case e.Failed():
		return Kind{Protocol: other, Cipher: other, Status: connlog.FailedPrefix + other}
	case k.Status == connlog.StatusSuccess:
		return Kind{Protocol: other, Cipher: other, Status: connlog.StatusSuccess}
	}
	return Kind{Protocol: other, Cipher: other}
}

// hashKind is the same in every run, and ends in many zeros for what replaces others.
func hashKind(k Kind) uint64 {
	if k == k.rest() {
		return 0
	}
	h := fnv.New64a()
	for _, s := range []string{k.Listener.LoadBalancer, k.Protocol, k.Cipher, k.KeyExchange, k.Status} {
		io.WriteString(h, s)
		h.Write([]byte{0})
	}
	h.Write(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, k.Listener.Port), k.clientCertificate))
	return mix(h.Sum64())
}

// mix is the finalizer of splitmix64: all bits of the result depend on all bits of x.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Rows returns the kinds, the rows, and the clients that the rows number, sorted.
func (l *Log) Rows() (kinds []Kind, rows []Row, clients []netip.Addr) {
	l.shrink()
	number := make(map[address]uint32)
	for i := range l.shards {
		for r := range l.shards[i].rows.All {
			if _, ok := number[r.Key.client]; !ok && r.Key.period != others {
				number[r.Key.client] = 0
				clients = append(clients, r.Key.client.addr())
			}
		}
	}
	slices.SortFunc(clients, netip.Addr.Compare)
	for i, c := range clients {
		number[newAddress(c)] = uint32(i)
	}
	rows = make([]Row, 0, l.size.Load())
	for i := range l.shards {
		for r := range l.shards[i].rows.All {
			t := &r.Value
			row := Row{Client: number[r.Key.client], Kind: r.Key.kind, Connections: t.connections, Evidence: t.evidence, first: t.at.first, last: t.at.last}
			if r.Key.period == others {
				row.Client = Others
			}
			rows = append(rows, row)
		}
	}
	return l.kinds, rows, clients
}
