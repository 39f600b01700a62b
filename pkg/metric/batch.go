package metric

// Bounds for the encoded size of data. They are above what the encodings of
// the CloudWatch API (CBOR and JSON) need; package cwsink tests that.
const (
	requestSize   = 256 // what surrounds the data of a request
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

// Batches splits data into requests within MaxData and MaxBytes. The order is
// kept.
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
