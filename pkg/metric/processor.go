package metric

import (
	"slices"
	"time"
)

// A Processor counts objects by their outcome. Its counters are published with every
// request, including zeros, so that alarms always have data. ClientsOverBudget is
// published only when it is not zero: it is rare, and a metric costs money.
type Processor struct {
	objectsProcessed int
	ObjectsSkipped   int
	malformedLines   uint64
	DuplicateObjects int
	delayedObjects   int

	UncertainRepublishes int
	ClientsOverBudget    int

	Lags []time.Duration // of the objects processed; see ProcessingLag
}

// Plus returns the sums of both.
func (p Processor) Plus(q Processor) Processor {
	return Processor{
		objectsProcessed:     p.objectsProcessed + q.objectsProcessed,
		ObjectsSkipped:       p.ObjectsSkipped + q.ObjectsSkipped,
		malformedLines:       p.malformedLines + q.malformedLines,
		DuplicateObjects:     p.DuplicateObjects + q.DuplicateObjects,
		delayedObjects:       p.delayedObjects + q.delayedObjects,
		UncertainRepublishes: p.UncertainRepublishes + q.UncertainRepublishes,
		ClientsOverBudget:    p.ClientsOverBudget + q.ClientsOverBudget,
		Lags:                 slices.Concat(p.Lags, q.Lags),
	}
}

// Processed counts an object whose period ended at end.
func (p *Processor) Processed(end, now time.Time, malformed uint64) {
	p.objectsProcessed++
	p.malformedLines += malformed
	lag := max(0, now.Sub(end))
	if lag > delayAfter {
		p.delayedObjects++
	}
	p.Lags = append(p.Lags, lag)
}

// Data returns the metric data, stamped with the time of the work itself: they
// are about the processor, not the log.
func (p *Processor) Data(now time.Time) []Datum {
	now = now.UTC().Truncate(time.Minute)
	var data []Datum
	for _, c := range p.counters() {
		data = append(data, Datum{Name: c.name, Unit: Count, Time: now, Values: []float64{c.n}, Counts: []float64{1}})
	}
	var values, counts []float64
	for _, lag := range slices.Sorted(slices.Values(p.Lags)) {
		if n := len(values); n > 0 && values[n-1] == lag.Seconds() {
			counts[n-1]++
			continue
		}
		values, counts = append(values, lag.Seconds()), append(counts, 1)
	}
	for i := 0; i < len(values); i += MaxValues {
		end := min(i+MaxValues, len(values))
		data = append(data, Datum{Name: ProcessingLag, Unit: Seconds, Time: now, Values: values[i:end:end], Counts: counts[i:end:end]})
	}
	return data
}

type counter struct {
	name string
	n    float64
}

func (p *Processor) counters() []counter {
	list := []counter{
		{ObjectsProcessed, float64(p.objectsProcessed)},
		{ObjectsSkipped, float64(p.ObjectsSkipped)},
		{MalformedLines, float64(p.malformedLines)},
		{DuplicateObjects, float64(p.DuplicateObjects)},
		{DelayedObjects, float64(p.delayedObjects)},
		{UncertainRepublishes, float64(p.UncertainRepublishes)},
	}
	if p.ClientsOverBudget > 0 {
		list = append(list, counter{ClientsOverBudget, float64(p.ClientsOverBudget)})
	}
	return list
}

// size bounds the number of data and their encoded size, in bytes.
func (p *Processor) size() (data, bytes int) {
	for _, c := range p.counters() {
		data++
		bytes += datumSize + len(c.name) + 2*numberSize
	}
	lags := (len(p.Lags) + MaxValues - 1) / MaxValues
	return data + lags, bytes + lags*(datumSize+len(ProcessingLag)) + 2*numberSize*len(p.Lags)
}
