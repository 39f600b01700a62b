package accesslog

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync"
)

const (
	// MaxConnections is how many connections a Join can look for.
	MaxConnections = 2_000_000

	// maxNames is how many different names of a kind a client can have: of more, those
	// that come first in the alphabet are kept.
	maxNames = 32

	// maxName is the number of bytes of a name that are kept.
	maxName = 256
)

// A Join finds the requests of connections. First Want is called for the connections,
// then Read for the access logs, and then Clients. Read may be called from several
// goroutines.
type Join struct {
	seed    maphash.Seed
	numbers map[string]uint32 // of clients
	clients []*client
	table   []entry // open addressing; a power of two, at most half full
	wanted  int
	left    int // connections beyond MaxConnections

	mu    sync.Mutex // guards tally, and the counts of the clients
	tally Tally
}

// An entry is a wanted connection. Zero is none.
type entry struct {
	hash   uint64 // of the trace id; its low bits are the place
	client uint32 // plus 1
}

type client struct {
	name        string
	connections uint64 // wanted
	requests    uint64
	names       [kinds]counts // by kind
}

// Kinds of names.
const (
	hosts = iota
	userAgents
	targetGroups
	kinds
)

// counts are requests by name.
type counts struct {
	n    map[string]uint64
	more bool // there were other names
}

// NewJoin returns a Join that looks for nothing.
func NewJoin() *Join {
	return &Join{seed: maphash.MakeSeed(), numbers: make(map[string]uint32), table: make([]entry, 1<<10)}
}

// Want makes the Join look for a connection of a client, by its trace id. It must not be
// called any more once Read has been.
func (j *Join) Want(traceID []byte, name string) {
	if len(traceID) == 0 {
		return
	}
	if j.wanted >= MaxConnections {
		j.left++
		return
	}
	n, ok := j.numbers[name]
	if !ok {
		n = uint32(len(j.clients))
		j.numbers[name] = n
		j.clients = append(j.clients, &client{name: name})
	}
	e := j.place(maphash.Bytes(j.seed, traceID))
	if e.client > 0 {
		return // the same connection again, in a log that is given twice
	}
	e.hash, e.client = maphash.Bytes(j.seed, traceID), n+1
	j.clients[n].connections++
	if j.wanted++; 2*j.wanted > len(j.table) {
		j.grow()
	}
}

// place returns the entry for a hash, or the one to put it in.
func (j *Join) place(hash uint64) *entry {
	mask := uint64(len(j.table) - 1)
	for i := hash & mask; ; i = (i + 1) & mask {
		if e := &j.table[i]; e.client == 0 || e.hash == hash {
			return e
		}
	}
}

func (j *Join) grow() {
	old := j.table
	j.table = make([]entry, 2*len(old))
	for _, e := range old {
		if e.client > 0 {
			*j.place(e.hash) = e
		}
	}
}

// find returns the client of a connection.
func (j *Join) find(traceID []byte) (uint32, bool) {
	e := j.place(maphash.Bytes(j.seed, traceID))
	return e.client - 1, e.client > 0
}

// count counts a request of a client.
func (j *Join) count(n uint32, r *request) {
	j.mu.Lock()
	defer j.mu.Unlock()
	c := j.clients[n]
	c.requests++
	c.names[hosts].add(r.host)
	c.names[userAgents].add(r.userAgent)
	c.names[targetGroups].add(r.targetGroup)
}

func (c *counts) add(name []byte) {
	if name == nil {
		return
	}
	name = name[:min(len(name), maxName)]
	if n, ok := c.n[string(name)]; ok {
		c.n[string(name)] = n + 1
		return
	}
	if c.n == nil {
		c.n = make(map[string]uint64)
	}
	c.n[string(name)] = 1
	if len(c.n) > maxNames {
		c.more = true
		last := ""
		for name := range c.n {
			last = max(last, name)
		}
		delete(c.n, last)
	}
}

// A Client is what access logs say about the connections of a client. Lists have the
// most frequent first.
type Client struct {
	Client       string `json:"client"`
	Connections  uint64 `json:"connections"` // that were looked for
	Requests     uint64 `json:"requests"`    // of these connections
	Hosts        []Name `json:"hosts"`       // SNI; without it, the host in the URL
	UserAgents   []Name `json:"userAgents"`
	TargetGroups []Name `json:"targetGroups"`
	More         bool   `json:"more,omitempty"` // a list had more names than are kept
}

// A Name is a host, user agent or target group.
type Name struct {
	Name     string `json:"name"`
	Requests uint64 `json:"requests"`
}

// Clients returns the clients, those with the most requests first, what was read, and
// how many connections were not looked for because there were more than MaxConnections.
func (j *Join) Clients() (list []Client, read Tally, left int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, c := range j.clients {
		n := Client{Client: c.name, Connections: c.connections, Requests: c.requests}
		for i, to := range []*[]Name{&n.Hosts, &n.UserAgents, &n.TargetGroups} {
			*to = c.names[i].list()
			n.More = n.More || c.names[i].more
		}
		list = append(list, n)
	}
	slices.SortFunc(list, func(a, b Client) int {
		return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(b.Connections, a.Connections), cmp.Compare(a.Client, b.Client))
	})
	return list, j.tally, j.left
}

func (c *counts) list() []Name {
	list := []Name{}
	for name, n := range c.n {
		list = append(list, Name{strings.ToValidUTF8(name, "\ufffd"), n})
	}
	slices.SortFunc(list, func(a, b Name) int { return cmp.Or(cmp.Compare(b.Requests, a.Requests), cmp.Compare(a.Name, b.Name)) })
	return list
}
