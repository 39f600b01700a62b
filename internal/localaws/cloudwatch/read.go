package cloudwatch

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/localaws/wire"
)

const (
	maxDatapoints      = 1440 // per GetMetricStatistics request, API_GetMetricStatistics
	listMetricsPage    = 500  // metrics per page, API_ListMetrics
	maxStatisticsAsked = 10   // ExtendedStatistics per request, API_GetMetricStatistics
)

// A statisticsRequest is the input of GetMetricStatistics.
type statisticsRequest struct {
	namespace, name, unit string
	dimensions            map[string]string
	start, end            time.Time
	period                float64  // seconds
	plain, extended       []string // statistics
}

func decodeStatisticsRequest(in message) (*statisticsRequest, *wire.Refusal) {
	for _, name := range [...]string{"Namespace", "MetricName", "StartTime", "EndTime", "Period"} {
		if in[name] == nil {
			return nil, missing(name)
		}
	}
	var b members
	q := &statisticsRequest{
		namespace:  b.string(in, "Namespace"),
		name:       b.string(in, "MetricName"),
		unit:       b.string(in, "Unit"),
		dimensions: make(map[string]string),
		start:      b.time(in, "StartTime").Truncate(time.Minute),
		end:        b.time(in, "EndTime"),
		period:     b.number(in, "Period"),
		plain:      b.strings(in, "Statistics"),
		extended:   b.strings(in, "ExtendedStatistics"),
	}
	for _, d := range decodeDimensions(&b, in) {
		q.dimensions[d.name] = d.value
	}
	return q, b.refusal
}

// check returns the first documented limit that the request breaks.
func (q *statisticsRequest) check() *wire.Refusal {
	datapoints := q.end.Sub(q.start).Seconds() / q.period
	switch {
	case !slices.Contains([]float64{1, 5, 10, 20, 30}, q.period) && (q.period < 60 || math.Mod(q.period, 60) != 0 || q.period > math.MaxInt32):
		return invalid("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
	case !q.start.Before(q.end):
		return combination("The parameter StartTime must be less than the parameter EndTime.")
	case datapoints > maxDatapoints:
		return combination("You have requested up to %.0f datapoints, which exceeds the limit of %d.", datapoints, maxDatapoints)
	case len(q.plain) == 0 && len(q.extended) == 0:
		return missing("Statistics or ExtendedStatistics")
	case len(q.plain) > 0 && len(q.extended) > 0:
		return combination("The parameters Statistics and ExtendedStatistics are mutually exclusive.")
	case len(q.extended) > maxStatisticsAsked:
		return invalid("The collection ExtendedStatistics must not have a size greater than %d.", maxStatisticsAsked)
	}
	return nil
}

func (q *statisticsRequest) matches(p Point) bool {
	return p.Namespace == q.namespace && p.Name == q.name && (q.unit == "" || p.Unit == q.unit) &&
		maps.Equal(p.Dimensions, q.dimensions) && !p.Timestamp.Before(q.start) && p.Timestamp.Before(q.end)
}

// getMetricStatistics adds points up over periods. Points of different units
// stay apart, because each is returned with its unit.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html
func (s *Service) getMetricStatistics(in message) (message, *wire.Refusal) {
	q, refusal := decodeStatisticsRequest(in)
	if refusal == nil {
		refusal = q.check()
	}
	if refusal != nil {
		return nil, refusal
	}
	type bucket struct {
		at   int64
		unit string
	}
	found := make(map[bucket]Point)
	for _, p := range s.Points() {
		if !q.matches(p) {
			continue
		}
		at := p.Timestamp.Unix()
		at -= at % int64(q.period)
		key := bucket{at, p.Unit}
		if sum, ok := found[key]; ok {
			p = sum.plus(p)
		}
		p.Timestamp = time.Unix(at, 0).UTC()
		found[key] = p
	}
	var datapoints []any
	for _, p := range found {
		out, refusal := p.statistics(q.plain, q.extended)
		if refusal != nil {
			return nil, refusal
		}
		datapoints = append(datapoints, out)
	}
	return message{"Label": q.name, "Datapoints": datapoints}, nil
}

// plus adds up two points of one metric and unit.
func (p Point) plus(q Point) Point {
	p.Sum += q.Sum
	p.Samples += q.Samples
	p.Min = min(p.Min, q.Min)
	p.Max = max(p.Max, q.Max)
	p.Values = maps.Clone(p.Values)
	for v, n := range q.Values {
		p.Values[v] += n
	}
	return p
}

// statistics is the Datapoint with the statistics of a request.
func (p Point) statistics(plain, extended []string) (message, *wire.Refusal) {
	out := message{"Timestamp": p.Timestamp, "Unit": p.Unit}
	for _, name := range plain {
		switch name {
		case "Sum":
			out[name] = p.Sum
		case "SampleCount":
			out[name] = p.Samples
		case "Average":
			out[name] = p.Sum / p.Samples
		case "Minimum":
			out[name] = p.Min
		case "Maximum":
			out[name] = p.Max
		default:
			return nil, invalid("The value %s for parameter Statistics is invalid.", name)
		}
	}
	percentiles := make(message)
	for _, name := range extended {
		percent, err := strconv.ParseFloat(strings.TrimPrefix(name, "p"), 64)
		if err != nil || !strings.HasPrefix(name, "p") || !(percent >= 0 && percent <= 100) {
			return nil, invalid("The value %s for parameter ExtendedStatistics is invalid: this stand-in knows p0 to p100.", name)
		}
		if v, ok := p.Percentile(percent); ok {
			percentiles[name] = v
		}
	}
	if len(percentiles) > 0 {
		out["ExtendedStatistics"] = percentiles
	}
	return out, nil
}

// listMetrics lists metrics that match the filters, a page at a time.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListMetrics.html
func (s *Service) listMetrics(in message) (message, *wire.Refusal) {
	var b members
	namespace, name, token := b.string(in, "Namespace"), b.string(in, "MetricName"), b.string(in, "NextToken")
	filters := b.structures(in, "Dimensions")
	matches := func(metric Series) bool {
		if namespace != "" && metric.Namespace != namespace || name != "" && metric.Name != name {
			return false
		}
		for _, f := range filters {
			v, ok := metric.Dimensions[b.string(f, "Name")]
			if !ok || b.has(f, "Value") && v != b.string(f, "Value") {
				return false
			}
		}
		return true
	}
	var metrics []any
	var last Series
	for _, metric := range s.Metrics() {
		sameMetric := metric.Namespace == last.Namespace && metric.Name == last.Name && maps.Equal(metric.Dimensions, last.Dimensions)
		last = metric
		if sameMetric || !matches(metric) { // the same metric in another unit counts once
			continue
		}
		dimensions := []any{}
		for _, name := range slices.Sorted(maps.Keys(metric.Dimensions)) {
			dimensions = append(dimensions, message{"Name": name, "Value": metric.Dimensions[name]})
		}
		metrics = append(metrics, message{"Namespace": metric.Namespace, "MetricName": metric.Name, "Dimensions": dimensions})
	}
	if b.refusal != nil {
		return nil, b.refusal
	}
	skip := 0
	if token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 || n > len(metrics) {
			return nil, wire.BadRequest("InvalidParameterValue", "The value for parameter NextToken is invalid.")
		}
		skip = n
	}
	out := message{"Metrics": metrics[skip:min(skip+listMetricsPage, len(metrics))]}
	if skip+listMetricsPage < len(metrics) {
		out["NextToken"] = strconv.Itoa(skip + listMetricsPage)
	}
	return out, nil
}
