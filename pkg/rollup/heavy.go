package rollup

import (
	"cmp"
	"slices"
)

// maxHeavy is the number of failing clients that are counted when the tables of
// clients are full. Of n failures that the tables do not count, a client with more
// than n/maxHeavy is certainly among them.
const maxHeavy = 4096

// heavy finds the clients with most failures in bounded memory, by the Space-Saving
// algorithm (Metwally, Agrawal and El Abbadi, 2005): a new client replaces the one
// with fewest failures, and starts with its count as the error.
type heavy struct {
	heap  []heavyClient // lowest count first
	index map[addr]int  // of heap
}

// A heavyClient has from count-err to count failures.
type heavyClient struct {
	client     addr
	count, err uint64
}

func (h *heavy) add(client addr) {
	i, ok := h.index[client]
	switch {
	case ok:
		h.heap[i].count++
	case len(h.heap) < maxHeavy:
		if h.index == nil {
			h.index = make(map[addr]int)
		}
		i = len(h.heap)
		h.heap = append(h.heap, heavyClient{client, 1, 0})
		h.index[client] = i
		for i > 0 && h.heap[i].count < h.heap[(i-1)/2].count {
			h.swap(i, (i-1)/2)
			i = (i - 1) / 2
		}
		return
	default:
		least := h.heap[0]
		delete(h.index, least.client)
		h.heap[0] = heavyClient{client, least.count + 1, least.count}
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

func (h *heavy) swap(i, j int) {
	h.heap[i], h.heap[j] = h.heap[j], h.heap[i]
	h.index[h.heap[i].client], h.index[h.heap[j].client] = i, j
}

// TopFailing returns the clients of FailingClients and, of the clients beyond
// MaxClients, those with most failures, in the same order. For the latter, the counts
// are lower bounds and include only failed connections.
func (s *Summary) TopFailing() []ClientCounts {
	list := slices.Clone(s.FailingClients())
	if len(s.heavy.heap) == 0 {
		return list
	}
	beyond := make(map[Client]uint64, len(s.heavy.heap))
	for _, h := range s.heavy.heap {
		beyond[s.client(h.client)] = h.count - h.err
	}
	for i := range list {
		c := &list[i]
		c.Counts.add(Counts{beyond[c.Client], beyond[c.Client]})
		delete(beyond, c.Client)
	}
	for client, n := range beyond {
		list = append(list, ClientCounts{client, Counts{n, n}})
	}
	slices.SortFunc(list, func(a, b ClientCounts) int {
		return cmp.Or(cmp.Compare(b.Failed, a.Failed), a.Client.compare(b.Client))
	})
	return list
}
