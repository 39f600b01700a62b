package cloudwatch

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Point is what CloudWatch holds for one metric, unit and minute (or second,
// where it was published with StorageResolution 1).
type Point struct {
	Namespace  string
	Name       string
	Dimensions map[string]string
	Unit       string // "None" if none was given
	Timestamp  time.Time

	Sum, Samples, Min, Max float64

	// Values counts how often each value occurred. Statistic sets are not in
	// it unless all their values are known to be equal.
	Values map[float64]float64
}

// A Series is the points of one metric and unit, in order of time.
type Series struct {
	Namespace  string
	Name       string
	Dimensions map[string]string
	Unit       string
	Points     []Point
}

// Data with the same pointKey are added up. Dimensions have no control
// characters, so control characters can separate them.
type pointKey struct {
	namespace, name string
	dimensions      string // sorted, "name\x01value\x02" each
	unit            string
	at              int64 // Unix seconds
}

// An aggregate keeps values and counts, and sums them when it is read, so that
// the order of publication does not even affect rounding.
type aggregate struct {
	dimensions []dimension // sorted
	values     map[float64]float64
	sets       []statisticSet // sets of unknown values
}

// add stores a checked datum. The caller holds s.mu.
func (s *Service) add(namespace string, d datum, now time.Time) {
	at := d.at
	if at.IsZero() {
		at = now
	}
	resolution := time.Minute
	if d.resolution != nil && *d.resolution == 1 {
		resolution = time.Second
	}
	key := pointKey{namespace: namespace, name: d.name, unit: cmp.Or(d.unit, "None"), at: at.Truncate(resolution).Unix()}
	dimensions := sortDimensions(d.dimensions)
	key.dimensions = joinDimensions(dimensions)

	point := s.points[key]
	if point == nil {
		point = &aggregate{dimensions: dimensions, values: make(map[float64]float64)}
	}
	switch {
	case d.value != nil:
		point.values[*d.value]++
	case d.stats != nil:
		set := *d.stats
		switch {
		case set.samples == 0:
		case set.min == set.max && set.sum == set.min*set.samples:
			point.values[set.min] += set.samples
		default:
			point.sets = append(point.sets, set)
		}
	}
	for i, v := range d.values {
		n := 1.0
		if d.counts != nil {
			n = d.counts[i]
		}
		if n > 0 {
			point.values[v] += n
		}
	}
	if len(point.values)+len(point.sets) > 0 {
		s.points[key] = point
	}
}

func joinDimensions(sorted []dimension) string {
	var b strings.Builder
	for _, d := range sorted {
		b.WriteString(d.name + "\x01" + d.value + "\x02")
	}
	return b.String()
}

// summary adds up sum, samples, minimum and maximum.
func (a *aggregate) summary() statisticSet {
	var total statisticSet
	first := true
	add := func(s statisticSet) {
		if first {
			total, first = s, false
			return
		}
		total = statisticSet{total.samples + s.samples, total.sum + s.sum, min(total.min, s.min), max(total.max, s.max)}
	}
	for _, v := range slices.Sorted(maps.Keys(a.values)) {
		n := a.values[v]
		add(statisticSet{n, v * n, v, v})
	}
	sets := slices.Clone(a.sets)
	slices.SortFunc(sets, func(a, b statisticSet) int {
		return cmp.Or(cmp.Compare(a.min, b.min), cmp.Compare(a.max, b.max), cmp.Compare(a.sum, b.sum), cmp.Compare(a.samples, b.samples))
	})
	for _, s := range sets {
		add(s)
	}
	return total
}

// Points returns all data in order of namespace, name, dimensions, unit, time.
func (s *Service) Points() []Point {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(s.points), func(a, b pointKey) int {
		return cmp.Or(
			cmp.Compare(a.namespace, b.namespace),
			cmp.Compare(a.name, b.name),
			cmp.Compare(a.dimensions, b.dimensions),
			cmp.Compare(a.unit, b.unit),
			cmp.Compare(a.at, b.at))
	})
	points := make([]Point, len(keys))
	for i, key := range keys {
		a := s.points[key]
		dimensions := make(map[string]string, len(a.dimensions))
		for _, d := range a.dimensions {
			dimensions[d.name] = d.value
		}
		total := a.summary()
		points[i] = Point{
			Namespace: key.namespace, Name: key.name, Dimensions: dimensions, Unit: key.unit,
			Timestamp: time.Unix(key.at, 0).UTC(),
			Sum:       total.sum, Samples: total.samples, Min: total.min, Max: total.max,
			Values: maps.Clone(a.values),
		}
	}
	return points
}

// Metrics returns all data, grouped by metric and unit, in the order of
// [Service.Points].
func (s *Service) Metrics() []Series {
	var all []Series
	for _, p := range s.Points() {
		last := len(all) - 1
		if last < 0 || all[last].Namespace != p.Namespace || all[last].Name != p.Name ||
			all[last].Unit != p.Unit || !maps.Equal(all[last].Dimensions, p.Dimensions) {
			all = append(all, Series{p.Namespace, p.Name, p.Dimensions, p.Unit, nil})
			last++
		}
		all[last].Points = append(all[last].Points, p)
	}
	return all
}

// Percentile returns the smallest value that at least percent of the samples
// do not exceed (nearest rank; CloudWatch's own method is not documented). It
// reports false where CloudWatch has no percentiles: among statistic sets of
// unknown values and among negative values.
func (p Point) Percentile(percent float64) (float64, bool) {
	values := slices.Sorted(maps.Keys(p.Values))
	var known float64
	for _, v := range values {
		known += p.Values[v]
	}
	if known == 0 || known != p.Samples || values[0] < 0 || !(percent >= 0 && percent <= 100) {
		return 0, false
	}
	rank := known * percent / 100
	var below float64
	for _, v := range values {
		below += p.Values[v]
		if below >= rank {
			return v, true
		}
	}
	return values[len(values)-1], true // rounding
}
