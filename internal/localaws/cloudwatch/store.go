package cloudwatch

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"
)

// A Point is what CloudWatch holds for one metric, unit and minute.
type Point struct {
	Namespace  string
	Name       string
	Dimensions map[string]string
	Unit       string // "None" if none was given
	Timestamp  time.Time

	Sum, Samples, Min, Max float64

	Values map[float64]float64 // how often each value occurred
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
}

// add stores a checked datum. The caller holds s.mu.
func (s *Service) add(namespace string, d datum, now time.Time) {
	at := d.at
	if at.IsZero() {
		at = now
	}
	key := pointKey{namespace: namespace, name: d.name, unit: cmp.Or(d.unit, "None"), at: at.Truncate(time.Minute).Unix()}
	dimensions := sortDimensions(d.dimensions)
	key.dimensions = joinDimensions(dimensions)

	point := s.points[key]
	if point == nil {
		point = &aggregate{dimensions: dimensions, values: make(map[float64]float64)}
	}
	if d.value != nil {
		point.values[*d.value]++
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
	if len(point.values) > 0 {
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
		p := Point{
			Namespace: key.namespace, Name: key.name, Dimensions: dimensions, Unit: key.unit,
			Timestamp: time.Unix(key.at, 0).UTC(),
			Values:    maps.Clone(a.values),
		}
		values := slices.Sorted(maps.Keys(a.values))
		p.Min, p.Max = values[0], values[len(values)-1]
		for _, v := range values {
			p.Samples += a.values[v]
			p.Sum += v * a.values[v]
		}
		points[i] = p
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
// reports false where CloudWatch has no percentiles: among negative values.
func (p Point) Percentile(percent float64) (float64, bool) {
	values := slices.Sorted(maps.Keys(p.Values))
	if len(values) == 0 || values[0] < 0 || !(percent >= 0 && percent <= 100) {
		return 0, false
	}
	rank := p.Samples * percent / 100
	var below float64
	for _, v := range values {
		below += p.Values[v]
		if below >= rank {
			return v, true
		}
	}
	return values[len(values)-1], true // rounding
}

// Total adds up the points of a series, as CloudWatch does for longer periods.
func (s Series) Total() Point {
	total := s.Points[0]
	for _, p := range s.Points[1:] {
		total = total.plus(p)
	}
	return total
}
