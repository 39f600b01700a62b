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
// A row is about a client, a kind and a day. If there are more rows than room, rows of
// several days become one. If there are still too many, a random sample of the clients
// keeps its rows, and those of the others count as [Others].
type Log struct {
	room   int
	size   atomic.Int64 // rows
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
	rows map[rowKey]*tally
}

type rowKey struct {
	client netip.Addr
	kind   uint32
	period int32 // a day or several, or others
}

// others is the period of the rows of clients that are not told apart.
const others = -1

type tally struct {
	connections, evidence uint64
	at                    span
}

// NewLog returns an empty log with room for a number of rows.
func NewLog(room int) *Log {
	l := &Log{room: room, index: make(map[Kind]uint32)}
	for i := range l.shards {
		l.shards[i].rows = make(map[rowKey]*tally)
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

// Add adds an entry. If it does not count, it is only evidence. The certificate is the
// ClientCertificate of [Kind].
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
	key := l.key(rowKey{client: e.Client, kind: id}, e.Time)
	s := &l.shards[hashClient(key.client)%uint64(len(l.shards))]
	s.mu.Lock()
	row := s.rows[key]
	fresh := row == nil
	if fresh {
		row = &tally{at: never}
		s.rows[key] = row
	}
	row.evidence++
	if counts {
		row.connections++
	}
	at := e.Time.UnixMicro()
	row.at.add(span{at, at})
	s.mu.Unlock()
	l.mu.RUnlock()
	if fresh && l.size.Add(1) > int64(l.room) {
		l.shrink()
	}
}

// key returns the key of a row with the current detail: days, then 2, 4, ... 32 days,
// then all time; then half of the clients, a quarter and so on. The caller holds the
// lock.
func (l *Log) key(k rowKey, at time.Time) rowKey {
	const allTime = 6
	if n := l.detail - allTime; n > 0 && bits.TrailingZeros64(hashClient(k.client)) < n {
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
	for l.size.Load() > int64(l.room) {
		l.detail++
		l.rebuild()
	}
}

// rebuild moves all rows to their keys with the current detail.
func (l *Log) rebuild() {
	var old []map[rowKey]*tally
	for i := range l.shards {
		old = append(old, l.shards[i].rows)
		l.shards[i].rows = make(map[rowKey]*tally)
	}
	n := 0
	for _, rows := range old {
		for key, row := range rows {
			if key.period != others {
				key = l.key(key, time.UnixMicro(row.at.first))
			}
			key.kind = l.fold(key.kind)
			s := &l.shards[hashClient(key.client)%uint64(len(l.shards))]
			if sum := s.rows[key]; sum != nil {
				sum.connections += row.connections
				sum.evidence += row.evidence
				sum.at.add(row.at)
				continue
			}
			s.rows[key] = row
			n++
		}
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
	h.Write(binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, k.Listener.Port), k.ClientCertificate))
	return mix(h.Sum64())
}

// hashClient is the same in every run.
func hashClient(a netip.Addr) uint64 {
	b := a.As16()
	return mix(binary.BigEndian.Uint64(b[:]) ^ mix(binary.BigEndian.Uint64(b[8:])))
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
	number := make(map[netip.Addr]uint32)
	for i := range l.shards {
		for key := range l.shards[i].rows {
			if _, ok := number[key.client]; !ok && key.period != others {
				number[key.client] = 0
				clients = append(clients, key.client)
			}
		}
	}
	slices.SortFunc(clients, netip.Addr.Compare)
	for i, c := range clients {
		number[c] = uint32(i)
	}
	for i := range l.shards {
		for key, t := range l.shards[i].rows {
			r := Row{Client: number[key.client], Kind: key.kind, Connections: t.connections, Evidence: t.evidence, First: t.at.first, Last: t.at.last}
			if key.period == others {
				r.Client = Others
			}
			rows = append(rows, r)
		}
	}
	return l.kinds, rows, clients
}
