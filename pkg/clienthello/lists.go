package clienthello

// A waiting handshake is in a heap ordered by time.
type waiting struct {
	handshake  *Handshake
	connection *connection // while it is open
	done, told bool
	cost       int
	index      int // in the heap
}

type waitingHeap []*waiting

func (h waitingHeap) Len() int           { return len(h) }
func (h waitingHeap) Less(i, j int) bool { return h[i].handshake.Time.Before(h[j].handshake.Time) }
func (h waitingHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}
func (h *waitingHeap) Push(x any) {
	w := x.(*waiting)
	w.index = len(*h)
	*h = append(*h, w)
}
func (h *waitingHeap) Pop() any {
	last := len(*h) - 1
	w := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return w
}

// A connectionList has its connections in the order of their addition.
type connectionList struct {
	oldest, newest *connection
	n              int
}

func (l *connectionList) add(c *connection) {
	l.n++
	c.older, c.newer = l.newest, nil
	if l.newest != nil {
		l.newest.newer = c
	} else {
		l.oldest = c
	}
	l.newest = c
}

func (l *connectionList) remove(c *connection) {
	l.n--
	if c.older != nil {
		c.older.newer = c.newer
	} else {
		l.oldest = c.newer
	}
	if c.newer != nil {
		c.newer.older = c.older
	} else {
		l.newest = c.older
	}
	c.older, c.newer = nil, nil
}
