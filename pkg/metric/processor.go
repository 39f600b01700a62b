package metric

import "time"

// A Processor counts what became of objects. It is published with every
// request, zeros included, so that alarms and heartbeats have data.
type Processor struct {
	ObjectsProcessed int
	ObjectsSkipped   int
	MalformedLines   uint64
	DuplicateObjects int
	DelayedObjects   int
	Lags             []time.Duration // of the objects processed; see ProcessingLag
}

// Processed counts an object whose period ended at end.
func (p *Processor) Processed(end, now time.Time, malformed uint64) {
	p.ObjectsProcessed++
	p.MalformedLines += malformed
	lag := max(0, now.Sub(end))
	if lag > DelayAfter {
		p.DelayedObjects++
	}
	p.Lags = append(p.Lags, lag)
}

// Data returns the metric data, stamped with the time of the work itself: they
// tell of the processor, not of the log.
func (p *Processor) Data(now time.Time) []Datum {
	now = now.UTC().Truncate(time.Minute)
	var data []Datum
	for _, c := range []struct {
		name string
		n    float64
	}{
		{ObjectsProcessed, float64(p.ObjectsProcessed)},
		{ObjectsSkipped, float64(p.ObjectsSkipped)},
		{MalformedLines, float64(p.MalformedLines)},
		{DuplicateObjects, float64(p.DuplicateObjects)},
		{DelayedObjects, float64(p.DelayedObjects)},
	} {
		data = append(data, Datum{Name: c.name, Unit: Count, Time: now, Values: []float64{c.n}, Counts: []float64{1}})
	}
	for lags := p.Lags; len(lags) > 0; lags = lags[min(len(lags), MaxValues):] {
		d := Datum{Name: ProcessingLag, Unit: Seconds, Time: now}
		for _, lag := range lags[:min(len(lags), MaxValues)] {
			d.Values, d.Counts = append(d.Values, lag.Seconds()), append(d.Counts, 1)
		}
		data = append(data, d)
	}
	return data
}
