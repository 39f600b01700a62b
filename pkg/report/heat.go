package report

import (
	"cmp"
	"slices"
	"time"
)

// A heatMap says how often the clients with most failures failed, over time.
type heatMap struct {
	from    time.Time
	width   time.Duration // of a column
	columns int
	clients []string
	counts  [][]uint64 // by client and column
	most    uint64
	missed  uint64 // at the most, in a cell
}

const (
	heatClients = 24
	heatColumns = 48
)

func (c *Collector) heatMap(r *Result) *heatMap {
	t := &c.heat.t
	if t.n == 0 {
		return nil
	}
	total := make(map[addr]uint64)
	from, to := t.at(0).key.bin, t.at(0).key.bin
	for row := range t.all {
		total[row.key.client] += row.value.n
		from, to = min(from, row.key.bin), max(to, row.key.bin)
	}
	order := make([]addr, 0, len(total))
	for a := range total {
		order = append(order, a)
	}
	slices.SortFunc(order, func(a, b addr) int { return cmp.Or(cmp.Compare(total[b], total[a]), a.compare(b)) })
	order = order[:min(len(order), heatClients)]

	bins := int64(1) // of five minutes, in a column
	for i := 0; (to-from)/bins >= heatColumns; i++ {
		bins = max(1, columnWidths[i]/heatMinutes)
	}
	from = floor(from, bins)
	h := &heatMap{
		from:    minuteTime(from * heatMinutes),
		width:   time.Duration(bins*heatMinutes) * time.Minute,
		columns: int((to-from)/bins) + 1,
		missed:  c.heat.missed,
	}
	line := make(map[addr]int)
	for i, a := range order {
		line[a] = i
		h.clients = append(h.clients, c.client(a))
		h.counts = append(h.counts, make([]uint64, h.columns))
	}
	for row := range t.all {
		if i, ok := line[row.key.client]; ok {
			n := &h.counts[i][(row.key.bin-from)/bins]
			*n += row.value.n
			h.most = max(h.most, *n)
		}
	}
	return h
}

// columnWidths are the minutes that a column of a chart may stand for.
var columnWidths = []int64{1, 2, 5, 10, 15, 30, 60, 2 * 60, 3 * 60, 6 * 60, 12 * 60, 24 * 60, 2 * 24 * 60, 7 * 24 * 60, 14 * 24 * 60, 28 * 24 * 60,
	91 * 24 * 60, 364 * 24 * 60, 3640 * 24 * 60, 36400 * 24 * 60, 364000 * 24 * 60, 3640000 * 24 * 60}
