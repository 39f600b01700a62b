package rollup

import (
	"cmp"
	"slices"
)

// MaxHeavy is the number of clients that are followed, of those that fail when
// the tables of clients are full. Of n failures beyond them, a client with more
// than n/MaxHeavy is certain to be among these.
const MaxHeavy = 4096

// heavy finds the clients with most failures in bounded memory, by the
// Space-Saving algorithm (Metwally, Agrawal and El Abbadi, 2005): a new client
// takes the place of the one with least, and with it, as an error, its count.
type heavy struct {
	heap  []heavyClient // the least count first
	index map[addr]int  // of heap
}

// A heavyClient has from count-err to count failures.
type heavyClient struct {
	client     addr
	count, err uint64
}

func (h *heavy) add(client addr, n uint64) {
	i, ok := h.index[client]
	switch {
	case ok:
		h.heap[i].count += n
	case len(h.heap) < MaxHeavy:
		if h.index == nil {
			h.index = make(map[addr]int)
		}
		i = len(h.heap)
		h.heap = append(h.heap, heavyClient{client, n, 0})
		h.index[client] = i
		for i > 0 && h.heap[i].count < h.heap[(i-1)/2].count {
			h.swap(i, (i-1)/2)
			i = (i - 1) / 2
		}
		return
	default:
		least := h.heap[0]
		delete(h.index, least.client)
		h.heap[0] = heavyClient{client, least.count + n, least.count}
		h.index[client] = 0
	}
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(h.heap); child++ {
			if h.heap[child].count < h.heap[least].count {
				least = child
			}
		}
		if least == i {
			return
		}
		h.swap(i, least)
		i = least
	}
}

// floor is how many failures a client that has no place may have.
func (h *heavy) floor() uint64 {
	if len(h.heap) < MaxHeavy {
		return 0
	}
	return h.heap[0].count
}

// merge adds what o counts. A client that has no place in one of both may have
// failures there, up to its floor, which are an error as well (Agarwal et al.,
// Mergeable Summaries, 2012).
func (h *heavy) merge(o *heavy) {
	if len(o.heap) == 0 {
		return
	}
	all := make([]heavyClient, 0, len(h.heap)+len(o.heap))
	for _, c := range h.heap {
		also := heavyClient{count: o.floor(), err: o.floor()}
		if i, ok := o.index[c.client]; ok {
			also = o.heap[i]
		}
		all = append(all, heavyClient{c.client, c.count + also.count, c.err + also.err})
	}
	for _, c := range o.heap {
		if _, ok := h.index[c.client]; !ok {
			all = append(all, heavyClient{c.client, c.count + h.floor(), c.err + h.floor()})
		}
	}
	slices.SortFunc(all, func(a, b heavyClient) int {
		return cmp.Or(cmp.Compare(a.count, b.count), cmp.Compare(a.client.hi, b.client.hi), cmp.Compare(a.client.lo, b.client.lo))
	})
	h.heap = all[max(0, len(all)-MaxHeavy):] // what is sorted is a heap
	h.index = make(map[addr]int, len(h.heap))
	for i, c := range h.heap {
		h.index[c.client] = i
	}
}

func (h *heavy) swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.index[h.heap[i].client], h.index[h.heap[j].client] = i, j
}

// A Suspect is a client with at least so many failures as its Counts say, and
// at most Uncertain more.
type Suspect struct {
	ClientCounts
	Uncertain uint64
}

// Suspects returns the clients of FailingClients, and those with most failures
// of the ones beyond MaxClients, in the same order. As long as that bound is
// not reached, nothing is uncertain. Connections beyond it are known only as
// far as they failed.
func (s *Summary) Suspects() []Suspect {
	exact := s.FailingClients()
	list := make([]Suspect, 0, len(exact)+len(s.heavy.heap))
	beyond := make(map[Client]heavyClient, len(s.heavy.heap))
	for _, h := range s.heavy.heap {
		beyond[s.client(h.client)] = h
	}
	add := func(c ClientCounts, h heavyClient) {
		c.Connections += h.count - h.err
		c.Failed += h.count - h.err
		list = append(list, Suspect{c, h.err})
	}
	for _, c := range exact {
		h, ok := beyond[c.Client]
		if !ok { // its place may have been taken
			h = heavyClient{count: s.heavy.floor(), err: s.heavy.floor()}
		}
		add(c, h)
		delete(beyond, c.Client)
	}
	for client, h := range beyond {
		add(ClientCounts{Client: client}, h)
	}
	if len(s.heavy.heap) > 0 {
		slices.SortFunc(list, func(a, b Suspect) int {
			return cmp.Or(cmp.Compare(b.Failed, a.Failed), a.Client.compare(b.Client))
		})
	}
	return list
}
