// Package estimate finds in log objects what a month of them would make
// tlswatch do: how many custom metrics it publishes, by breakdown, and how many
// calls and bytes it takes. Package price makes a bill of it.
//
// It asks the code that the function runs ([metric.Data], [alert.Observe]), so
// that settings count as they do there.
package estimate

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/config"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/posture"
	"tlswatch/pkg/price"
	"tlswatch/pkg/rollup"
)

// An Object is a log object that was read to its end.
type Object struct {
	Key         logkey.Key
	StoredBytes int64 // as it is in S3
	Bytes       int64 // after decompression
	Summary     *rollup.Summary
}

// An Estimator adds up objects. It is not for concurrent use. Its memory grows
// with the number of metrics, and for each of them with the hours.
type Estimator struct {
	config  config.Config
	series  map[string]*series
	periods map[int64]*period            // by Unix time of the end
	lbs     map[string]bool              // load balancers
	clients map[hourOf]map[string]bool   // values of the dimension Client that are granted
	failed  map[periodOf]*periodFailures // of a load balancer

	objects, bytes, stored, records int64
	direct                          int // PutMetricData calls, an object at a time
	naming, firstNaming             int
	failingClients                  int
}

type series struct {
	breakdown string  // that switches it off; "" if none does
	hours     []int64 // since 1970, ascending
	global    bool    // is the same for all load balancers
}

type hourOf struct {
	lb   string
	hour int64
}

type periodOf struct {
	lb  string
	end int64
}

type periodFailures struct {
	failed  uint64
	objects int
}

type period struct {
	objects, data int
}

// New returns an Estimator for a function of the given settings.
func New(c config.Config) *Estimator {
	return &Estimator{
		config:  c,
		series:  make(map[string]*series),
		periods: make(map[int64]*period),
		lbs:     make(map[string]bool),
		clients: make(map[hourOf]map[string]bool),
		failed:  make(map[periodOf]*periodFailures),
	}
}

// RollupOptions are those that summaries must be made with.
func (e *Estimator) RollupOptions() rollup.Options {
	return rollup.Options{IPv6Prefix: e.config.IPv6Prefix, Watch: posture.IsWeak, CertificateHorizon: posture.Horizon}
}

// Add counts an object.
func (e *Estimator) Add(o Object) error {
	e.objects++
	e.bytes += o.Bytes
	e.stored += o.StoredBytes
	e.lbs[o.Key.LoadBalancer] = true

	end := o.Key.PeriodEnd
	options := e.config.Metrics
	options.Only = e.grant(o)
	data, _ := metric.Data(o.Summary, o.Key.LoadBalancer, end, options)
	var processor metric.Processor
	processor.Processed(end, end, 0)
	data = append(data, processor.Data(end.Add(-logkey.Period))...) // at a time of the sample
	for _, d := range data {
		e.addSeries(d)
	}
	e.direct += len(metric.Batches(data))
	p := e.periods[end.Unix()]
	if p == nil {
		p = new(period)
		e.periods[end.Unix()] = p
	}
	p.objects++
	p.data += len(data)

	window := alert.Observe(o.Summary, o.Key, "", e.config.PublishClients)
	text, err := json.Marshal(window)
	if err != nil {
		return fmt.Errorf("record of a window: %w", err)
	}
	tls, err := json.Marshal(posture.Observe(o.Summary, e.config.PublishClients))
	if err != nil {
		return fmt.Errorf("record of a posture: %w", err)
	}
	e.records += int64(len(text)+len(tls)) + recordOverhead
	if e.config.LogClients {
		e.failingClients += min(window.FailingClients, pipeline.MaxFailing)
	}
	at := periodOf{o.Key.LoadBalancer, end.Unix()}
	if e.failed[at] == nil {
		e.failed[at] = new(periodFailures)
	}
	e.failed[at].failed += window.Failed
	e.failed[at].objects++
	return nil
}

// recordOverhead is what a record of the ledger has beside the window: owner,
// token, lease, key, and on average half a kilobyte of white space.
const recordOverhead = 900

// grant is what the ledger does with the client budget.
func (e *Estimator) grant(o Object) *metric.ClientSet {
	wanted := metric.TopClients(o.Summary, e.config.Metrics)
	if len(wanted) == 0 {
		return nil
	}
	hour := o.Key.PeriodEnd.Add(-logkey.Period).Truncate(time.Hour)
	at := hourOf{o.Key.LoadBalancer, hour.Unix() / 3600}
	granted := e.clients[at]
	if granted == nil {
		granted = make(map[string]bool)
		e.clients[at] = granted
	}
	e.naming++
	before := len(granted)
	set := &metric.ClientSet{Hour: hour}
	for _, name := range wanted {
		if granted[name] || len(granted) < e.config.ClientBudget {
			granted[name] = true
			set.Names = append(set.Names, name)
		}
	}
	if len(granted) > before {
		e.firstNaming++
	}
	return set
}

// addSeries notes that a metric has data in an hour.
func (e *Estimator) addSeries(d metric.Datum) {
	var key strings.Builder
	key.WriteString(d.Name)
	for _, dim := range d.Dimensions {
		key.WriteString("\x00" + dim.Name + "\x00" + dim.Value)
	}
	s := e.series[key.String()]
	if s == nil {
		s = &series{breakdown: breakdown(d), global: len(d.Dimensions) == 0}
		e.series[key.String()] = s
	}
	hour := d.Time.Unix() / 3600
	if i, ok := slices.BinarySearch(s.hours, hour); !ok {
		s.hours = slices.Insert(s.hours, i, hour)
	}
}

// always is the breakdown of the metrics that cannot be switched off.
const always = "always"

// breakdown returns the word of METRIC_BREAKDOWNS that a datum belongs to.
func breakdown(d metric.Datum) string {
	if len(d.Dimensions) < 2 {
		return always
	}
	switch last := d.Dimensions[len(d.Dimensions)-1].Name; {
	case d.Name == metric.HandshakeLatency:
		return "latency"
	case last == metric.ListenerPort:
		return "port"
	default:
		return strings.ToLower(last)
	}
}

// A Sample is what the objects were.
type Sample struct {
	Objects       int64
	LoadBalancers int
	Bytes         int64 // after decompression
	StoredBytes   int64
	First, Last   time.Time // start of the first period and end of the last
	Covered       time.Duration
}

// gap is how long a pause between two periods may be to count as a time in
// which nothing was logged. Beyond, the sample leaves that time out.
const gap = 6 * time.Hour

// Sample tells what was added.
func (e *Estimator) Sample() Sample {
	s := Sample{Objects: e.objects, LoadBalancers: len(e.lbs), Bytes: e.bytes, StoredBytes: e.stored}
	for _, span := range e.spans() {
		if s.First.IsZero() {
			s.First = span.from
		}
		s.Last = span.until
		s.Covered += span.until.Sub(span.from)
	}
	return s
}

type span struct{ from, until time.Time }

// spans are the times that the sample covers, in their order.
func (e *Estimator) spans() []span {
	ends := make([]int64, 0, len(e.periods))
	for end := range e.periods {
		ends = append(ends, end)
	}
	slices.Sort(ends)
	var list []span
	for _, end := range ends {
		until := time.Unix(end, 0).UTC()
		from := until.Add(-logkey.Period)
		if n := len(list) - 1; n >= 0 && from.Sub(list[n].until) <= gap {
			list[n].until = until
			continue
		}
		list = append(list, span{from, until})
	}
	return list
}

// hours are the clock hours that the sample touches.
func (e *Estimator) hours() float64 {
	touched := make(map[int64]bool)
	for _, s := range e.spans() {
		for t := s.from.Truncate(time.Hour); t.Before(s.until); t = t.Add(time.Hour) {
			touched[t.Unix()] = true
		}
	}
	return float64(len(touched))
}

// Options of a forecast.
type Options struct {
	Times float64 // as if there were so many times the load balancers of the sample
	Queue bool    // SQS between S3 and the function
	Batch float64 // messages that the function gets at once, at the most
}

// pollers is how many batches Lambda fetches from a queue at a time, at first:
// the messages of a delivery are spread over them.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html
const pollers = 5

// Month returns what a month like the sample takes.
func (e *Estimator) Month(o Options) price.Month {
	sample := e.Sample()
	if sample.Objects == 0 {
		return price.Month{}
	}
	scale := o.Times * price.HoursPerMonth * float64(time.Hour) / float64(sample.Covered)
	m := price.Month{
		Objects:        scale * float64(e.objects),
		Batches:        scale * float64(e.objects),
		Requests:       scale * float64(e.direct),
		Bytes:          scale * float64(e.bytes),
		StoredBytes:    scale * float64(e.stored),
		NamingObjects:  scale * float64(e.naming),
		FirstNamings:   o.Times * price.HoursPerMonth * float64(e.firstNaming) / e.hours(),
		FailingClients: scale * float64(e.failingClients),
		RecordBytes:    scale * float64(e.records),
	}
	for _, f := range e.failed {
		if f.failed >= e.config.Rule.MinFailed {
			m.AlarmingReads += scale * float64(f.objects)
		}
	}
	if o.Queue {
		var batches, requests float64
		for _, end := range slices.Sorted(maps.Keys(e.periods)) { // so that sums are rounded alike
			p := e.periods[end]
			objects := o.Times * float64(p.objects)
			n := max(min(objects, pollers), objects/o.Batch)
			batches += n
			requests += max(n, o.Times*float64(p.data)/metric.MaxData)
		}
		m.Batches, m.Requests = scale/o.Times*batches, scale/o.Times*requests
	}
	metrics := e.Metrics(o.Times)
	for _, breakdown := range slices.Sorted(maps.Keys(metrics)) {
		m.Metrics += metrics[breakdown]
	}
	return m
}

// Metrics returns how many metrics have data in the average hour, by
// breakdown.
func (e *Estimator) Metrics(times float64) map[string]float64 {
	type kind struct {
		breakdown string
		global    bool
	}
	sums := make(map[kind]int) // of hours with data
	for _, s := range e.series {
		sums[kind{s.breakdown, s.global}] += len(s.hours)
	}
	counts := make(map[string]float64)
	hours := e.hours()
	for k, n := range sums {
		factor := times
		if k.global {
			factor = 1
		}
		counts[k.breakdown] += factor * float64(n) / hours
	}
	return counts
}
