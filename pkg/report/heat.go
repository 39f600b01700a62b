package report

import (
	"cmp"
	"slices"
	"time"
)

// A HeatMap counts the failures of the clients with most failures over time.
type HeatMap struct {
	From    time.Time
	Width   time.Duration // of a column
	Columns int
	Clients []string
	Counts  [][]uint64 // by client and column
	Most    uint64     // in a cell
	Missed  uint64     // by which any cell may be too low
}

const (
	heatClients = 24
	heatColumns = 48
)

func (c *Collector) heatMap(r *Result) *HeatMap {
	t := &c.heat.t
	if t.Len() == 0 {
		return nil
	}
	total := make(map[addr]uint64)
	for row := range t.All {
		total[row.Key.client] += row.Value.n
	}
	order := make([]addr, 0, len(total))
	for a := range total {
		order = append(order, a)
	}
	slices.SortFunc(order, func(a, b addr) int { return cmp.Or(cmp.Compare(total[b], total[a]), a.compare(b)) })
	order = order[:min(len(order), heatClients)]

	width := columnWidth(c.heat.from, c.heat.to, c.heat.width, heatColumns)
	from := floor(c.heat.from, width)
	h := &HeatMap{
		From:    minuteTime(from),
		Width:   time.Duration(width) * time.Minute,
		Columns: int((floor(c.heat.to, width)-from)/width) + 1,
		Missed:  c.heat.missed,
	}
	line := make(map[addr]int)
	for i, a := range order {
		line[a] = i
		h.Clients = append(h.Clients, c.client(a))
		h.Counts = append(h.Counts, make([]uint64, h.Columns))
	}
	for row := range t.All {
		if i, ok := line[row.Key.client]; ok {
			n := &h.Counts[i][min((floor(row.Key.minute, width)-from)/width, int64(h.Columns-1))]
			*n += row.Value.n
			h.Most = max(h.Most, *n)
		}
	}
	return h
}

// columnWidth returns the width of a column in minutes, a multiple of unit, so
// that at most so many columns lie between two minutes.
func columnWidth(from, to, unit int64, most int) int64 {
	for _, w := range columnWidths {
		if w%unit == 0 && (floor(to, w)-floor(from, w))/w < int64(most) {
			return w
		}
	}
	return columnWidths[len(columnWidths)-1]
}

// columnWidths are the widths that a column of a chart may have, in minutes.
var columnWidths = []int64{1, 2, 5, 10, 15, 30, 60, 2 * 60, 3 * 60, 6 * 60, 12 * 60, 24 * 60, 2 * 24 * 60, 7 * 24 * 60, 14 * 24 * 60, 28 * 24 * 60,
	91 * 24 * 60, 364 * 24 * 60, 3640 * 24 * 60, 36400 * 24 * 60, 364000 * 24 * 60, 3640000 * 24 * 60}

// Bars sums up connections over time in at most so many equal parts. It returns
// when the first part begins, in the Zone, and the width of a part.
func (r *Result) Bars(most int) (bars []Counts, from time.Time, width time.Duration) {
	if len(r.ByMinute) == 0 {
		return nil, time.Time{}, 0
	}
	first, last := r.ByMinute[0].Minute.Unix()/60, r.ByMinute[len(r.ByMinute)-1].Minute.Unix()/60
	w := columnWidth(first, last, max(1, r.MinutesPerRow, r.Timelines.unit()), most)
	start := floor(first, w)
	bars = make([]Counts, min((floor(last, w)-start)/w+1, int64(most)))
	for _, m := range r.ByMinute {
		bars[min((floor(m.Minute.Unix()/60, w)-start)/w, int64(len(bars)-1))].add(m.Counts)
	}
	return bars, r.In(minuteTime(start)), time.Duration(w) * time.Minute
}

func minuteTime(m int64) time.Time { return time.Unix(m*60, 0).UTC() }
