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
	for row := range t.all {
		total[row.key.client] += row.value.n
	}
	order := make([]addr, 0, len(total))
	for a := range total {
		order = append(order, a)
	}
	slices.SortFunc(order, func(a, b addr) int { return cmp.Or(cmp.Compare(total[b], total[a]), a.compare(b)) })
	order = order[:min(len(order), heatClients)]

	width := columnWidth(c.heat.from, c.heat.to, c.heat.width, heatColumns)
	from := floor(c.heat.from, width)
	h := &heatMap{
		from:    minuteTime(from),
		width:   time.Duration(width) * time.Minute,
		columns: int((floor(c.heat.to, width)-from)/width) + 1,
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
			n := &h.counts[i][min((floor(row.key.minute, width)-from)/width, int64(h.columns-1))]
			*n += row.value.n
			h.most = max(h.most, *n)
		}
	}
	return h
}

// columnWidth returns how many minutes a column stands for, so that there are at
// most so many columns from one minute to another. It is a multiple of unit.
func columnWidth(from, to, unit int64, most int) int64 {
	for _, w := range columnWidths {
		if w%unit == 0 && (floor(to, w)-floor(from, w))/w < int64(most) {
			return w
		}
	}
	return columnWidths[len(columnWidths)-1]
}

// columnWidths are the minutes that a column of a chart may stand for.
var columnWidths = []int64{1, 2, 5, 10, 15, 30, 60, 2 * 60, 3 * 60, 6 * 60, 12 * 60, 24 * 60, 2 * 24 * 60, 7 * 24 * 60, 14 * 24 * 60, 28 * 24 * 60,
	91 * 24 * 60, 364 * 24 * 60, 3640 * 24 * 60, 36400 * 24 * 60, 364000 * 24 * 60, 3640000 * 24 * 60}
