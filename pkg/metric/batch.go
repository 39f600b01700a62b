package metric

import (
	"slices"
	"strings"
)

// Bounds for the encoded size of data. The encodings of the CloudWatch API, CBOR and
// JSON, need less, which tests of package cwsink check.
const (
	requestSize   = 256 // the request without its data
	datumSize     = 160 // member names, unit, time stamp
	dimensionSize = 32  // member names
	numberSize    = 26  // a value or a count: 9 bytes in CBOR, up to 25 in JSON
)

// size bounds the encoded size of d, in bytes.
func size(d Datum) int {
	n := datumSize + len(d.Name) + (len(d.Values)+len(d.Counts))*numberSize
	for _, dim := range d.Dimensions {
		n += dimensionSize + len(dim.Name) + len(dim.Value)
	}
	return n
}

// Batches splits data into requests within MaxData and MaxBytes. It keeps the order.
func Batches(data []Datum) [][]Datum {
	var batches [][]Datum
	start, bytes := 0, requestSize
	for i, d := range data {
		n := size(d)
		if i > start && (i-start == MaxData || bytes+n > MaxBytes) {
			batches = append(batches, data[start:i:i])
			start, bytes = i, requestSize
		}
		bytes += n
	}
	if start < len(data) {
		batches = append(batches, data[start:])
	}
	return batches
}

// FitOne reports whether the data and those of the processor fit into one request.
func FitOne(data []Datum, p *Processor) bool {
	n, bytes := p.size()
	for _, d := range data {
		bytes += size(d)
	}
	return n+len(data) <= MaxData && requestSize+bytes <= MaxBytes
}

// Merge adds up the data of several summaries: a request should have each metric,
// combination of dimensions and minute once, unless there are more than MaxValues
// values. The result is in the order of [Data].
func Merge(lists ...[]Datum) []Datum {
	type key struct {
		name, dimensions string
		unit             Unit
		unix             int64
	}
	index := make(map[key]int)
	var merged []Datum
	for _, d := range slices.Concat(lists...) {
		var dimensions strings.Builder
		for _, dim := range d.Dimensions { // Value has removed control characters
			dimensions.WriteString(dim.Name + "\x00" + dim.Value + "\x00")
		}
		k := key{d.Name, dimensions.String(), d.Unit, d.Time.Unix()}
		i, ok := index[k]
		if !ok {
			index[k] = len(merged)
			d.Values, d.Counts = slices.Clone(d.Values), slices.Clone(d.Counts)
			merged = append(merged, d)
			continue
		}
		if sum := &merged[i]; !sum.add(d) { // full: continue with another one
			index[k] = len(merged)
			d.Values, d.Counts = slices.Clone(d.Values), slices.Clone(d.Counts)
			merged = append(merged, d)
		}
	}
	slices.SortStableFunc(merged, compare)
	return merged
}

// add adds the values of e, unless there would be too many.
func (d *Datum) add(e Datum) bool {
	fresh := 0
	for _, v := range e.Values {
		if !slices.Contains(d.Values, v) {
			fresh++
		}
	}
	if len(d.Values)+fresh > MaxValues {
		return false
	}
	for i, v := range e.Values {
		if j := slices.Index(d.Values, v); j >= 0 {
			d.Counts[j] += e.Counts[i]
		} else {
			d.Values, d.Counts = append(d.Values, v), append(d.Counts, e.Counts[i])
		}
	}
	return true
}
