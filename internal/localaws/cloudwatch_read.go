package localaws

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	maxDatapoints      = 1440 // per GetMetricStatistics request, API_GetMetricStatistics
	listMetricsPage    = 500  // metrics per page, API_ListMetrics
	maxStatisticsAsked = 10   // ExtendedStatistics per request, API_GetMetricStatistics
)

// getMetricStatistics adds points up over periods. Points of different units
// stay apart, as their units are returned with them.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html
func (c *CloudWatch) getMetricStatistics(in message) (message, *apiError) {
	for _, name := range [...]string{"Namespace", "MetricName", "StartTime", "EndTime", "Period"} {
		if in[name] == nil {
			return nil, missing(name)
		}
	}
	var b members
	var (
		namespace = b.string(in, "Namespace")
		name      = b.string(in, "MetricName")
		unit      = b.string(in, "Unit")
		start     = b.time(in, "StartTime").Truncate(time.Minute)
		end       = b.time(in, "EndTime")
		period    = b.number(in, "Period")
		plain     = b.strings(in, "Statistics")
		extended  = b.strings(in, "ExtendedStatistics")
		wanted    = make(map[string]string)
	)
	for _, d := range decodeDimensions(&b, in) {
		wanted[d.name] = d.value
	}
	if b.refusal != nil {
		return nil, b.refusal
	}
	switch {
	case !slices.Contains([]float64{1, 5, 10, 20, 30}, period) && (period < 60 || math.Mod(period, 60) != 0 || period > math.MaxInt32):
		return nil, invalid("The parameter Period must be 1, 5, 10, 20, 30 or a multiple of 60.")
	case !start.Before(end):
		return nil, combination("The parameter StartTime must be less than the parameter EndTime.")
	case end.Sub(start).Seconds()/period > maxDatapoints:
		return nil, combination("You have requested up to %.0f datapoints, which exceeds the limit of %d.", end.Sub(start).Seconds()/period, maxDatapoints)
	case len(plain) == 0 && len(extended) == 0:
		return nil, missing("Statistics or ExtendedStatistics")
	case len(plain) > 0 && len(extended) > 0:
		return nil, combination("The parameters Statistics and ExtendedStatistics are mutually exclusive.")
	case len(extended) > maxStatisticsAsked:
		return nil, invalid("The collection ExtendedStatistics must not have a size greater than %d.", maxStatisticsAsked)
	}

	type bucket struct {
		at   int64
		unit string
	}
	found := make(map[bucket]Point)
	for _, p := range c.Points() {
		if p.Namespace != namespace || p.Name != name || unit != "" && p.Unit != unit ||
			!maps.Equal(p.Dimensions, wanted) || p.Timestamp.Before(start) || !p.Timestamp.Before(end) {
			continue
		}
		at := p.Timestamp.Unix()
		at -= at % int64(period)
		key := bucket{at, p.Unit}
		if sum, ok := found[key]; ok {
			p = sum.plus(p)
		}
		p.Timestamp = time.Unix(at, 0).UTC()
		found[key] = p
	}
	var datapoints []any
	for _, p := range found {
		out, refusal := p.statistics(plain, extended)
		if refusal != nil {
			return nil, refusal
		}
		datapoints = append(datapoints, out)
	}
	return message{"Label": name, "Datapoints": datapoints}, nil
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

// statistics is the Datapoint with what was asked for.
func (p Point) statistics(plain, extended []string) (message, *apiError) {
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
func (c *CloudWatch) listMetrics(in message) (message, *apiError) {
	var b members
	namespace, name, token := b.string(in, "Namespace"), b.string(in, "MetricName"), b.string(in, "NextToken")
	filters := b.structures(in, "Dimensions")
	matches := func(s Series) bool {
		if namespace != "" && s.Namespace != namespace || name != "" && s.Name != name {
			return false
		}
		for _, f := range filters {
			v, ok := s.Dimensions[b.string(f, "Name")]
			if !ok || b.has(f, "Value") && v != b.string(f, "Value") {
				return false
			}
		}
		return true
	}
	var metrics []any
	var last Series
	for _, s := range c.Metrics() {
		sameMetric := s.Namespace == last.Namespace && s.Name == last.Name && maps.Equal(s.Dimensions, last.Dimensions)
		last = s
		if sameMetric || !matches(s) { // sameMetric: in another unit
			continue
		}
		dimensions := []any{}
		for _, name := range slices.Sorted(maps.Keys(s.Dimensions)) {
			dimensions = append(dimensions, message{"Name": name, "Value": s.Dimensions[name]})
		}
		metrics = append(metrics, message{"Namespace": s.Namespace, "MetricName": s.Name, "Dimensions": dimensions})
	}
	if b.refusal != nil {
		return nil, b.refusal
	}
	skip := 0
	if token != "" {
		n, err := strconv.Atoi(token)
		if err != nil || n < 0 || n > len(metrics) {
			return nil, &apiError{http.StatusBadRequest, "InvalidParameterValue", "The value for parameter NextToken is invalid."}
		}
		skip = n
	}
	out := message{"Metrics": metrics[skip:min(skip+listMetricsPage, len(metrics))]}
	if skip+listMetricsPage < len(metrics) {
		out["NextToken"] = strconv.Itoa(skip + listMetricsPage)
	}
	return out, nil
}
