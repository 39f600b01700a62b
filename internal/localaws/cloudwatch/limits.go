package cloudwatch

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"tlswatch/internal/localaws/wire"
)

// The limits of PutMetricData, except where noted from
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
const (
	// maxPutMetricDataBytes is the largest request, 1 MB. The documentation does
	// not say whether that is before or after compression: here, before. It
	// does not name the error either: here, HTTP 413 with code
	// RequestEntityTooLarge.
	maxPutMetricDataBytes = 1 << 20

	maxDatums        = 1000 // per request
	maxValues        = 150  // elements of Values per datum
	maxDimensions    = 30   // per datum
	maxNamespace     = 255  // characters
	maxMetricName    = 255  // characters, API_MetricDatum
	maxDimensionName = 255  // characters, API_Dimension
	maxDimValue      = 1024 // characters, API_Dimension

	oldestDatum = 14 * 24 * time.Hour // before now
	newestDatum = 2 * time.Hour       // after now
)

// maxMagnitude bounds values from -2^360 to 2^360.
const maxMagnitude = 0x1p360

// units are the values of StandardUnit.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDatum.html
const units = " Seconds Microseconds Milliseconds" +
	" Bytes Kilobytes Megabytes Gigabytes Terabytes" +
	" Bits Kilobits Megabits Gigabits Terabits" +
	" Percent Count" +
	" Bytes/Second Kilobytes/Second Megabytes/Second Gigabytes/Second Terabytes/Second" +
	" Bits/Second Kilobits/Second Megabits/Second Gigabits/Second Terabits/Second" +
	" Count/Second None "

// A putRequest is the input of PutMetricData.
type putRequest struct {
	namespace string
	data      []datum
}

// A datum is one MetricDatum. Absent members are nil or zero.
type datum struct {
	member     string // its place in the request: "MetricData.member.1"
	name       string
	dimensions []dimension
	unit       string
	at         time.Time
	value      *float64
	values     []float64
	counts     []float64
}

type dimension struct{ name, value string }

func decodePutMetricData(in message) (*putRequest, *wire.Refusal) {
	var b members
	p := &putRequest{namespace: b.string(in, "Namespace")}
	if !b.has(in, "Namespace") {
		return nil, missing("Namespace")
	}
	b.lacks(in, "EntityMetricData")
	for i, m := range b.structures(in, "MetricData") {
		p.decodeDatum(&b, fmt.Sprintf("MetricData.member.%d", i+1), m)
	}
	return p, b.refusal
}

func (p *putRequest) decodeDatum(b *members, member string, m message) {
	d := datum{
		member: member,
		name:   b.string(m, "MetricName"),
		unit:   b.string(m, "Unit"),
		at:     b.time(m, "Timestamp"),
		values: b.numbers(m, "Values"),
		counts: b.numbers(m, "Counts"),
	}
	d.dimensions = decodeDimensions(b, m)
	if b.has(m, "Value") {
		v := b.number(m, "Value")
		d.value = &v
	}
	b.lacks(m, "StorageResolution")
	b.lacks(m, "StatisticValues")
	p.data = append(p.data, d)
}

func decodeDimensions(b *members, m message) []dimension {
	var dimensions []dimension
	for _, d := range b.structures(m, "Dimensions") {
		dimensions = append(dimensions, dimension{b.string(d, "Name"), b.string(d, "Value")})
	}
	return dimensions
}

// invalid, combination and missing are the three errors of PutMetricData.
func invalid(format string, args ...any) *wire.Refusal {
	return wire.BadRequest("InvalidParameterValue", fmt.Sprintf(format, args...))
}

func combination(format string, args ...any) *wire.Refusal {
	return wire.BadRequest("InvalidParameterCombination", fmt.Sprintf(format, args...))
}

func missing(parameter string) *wire.Refusal {
	return wire.BadRequest("MissingParameter", fmt.Sprintf("The parameter %s is required.", parameter))
}

// check returns the first documented limit that the request breaks.
func (p *putRequest) check(now time.Time) *wire.Refusal {
	switch {
	case len(p.data) == 0:
		return missing("MetricData")
	case len(p.data) > maxDatums:
		return invalid("The collection MetricData must not have a size greater than %d.", maxDatums)
	}
	if refusal := checkNamespace(p.namespace); refusal != nil {
		return refusal
	}
	for i := range p.data {
		if refusal := p.data[i].check(now); refusal != nil {
			return refusal
		}
	}
	return nil
}

func checkNamespace(namespace string) *wire.Refusal {
	if refusal := checkText("Namespace", namespace, maxNamespace); refusal != nil {
		return refusal
	}
	if strings.HasPrefix(namespace, ":") || strings.HasPrefix(namespace, "AWS/") {
		return invalid("The value %s for parameter Namespace is invalid.", namespace)
	}
	return nil
}

// checkText enforces the rules that namespaces, dimension names and values share:
// 1 to max characters of ASCII, no control characters, not only spaces. (For
// namespaces the last one is not documented.)
func checkText(parameter, text string, max int) *wire.Refusal {
	switch {
	case text == "":
		return missing(parameter)
	case utf8.RuneCountInString(text) > max:
		return invalid("The value for parameter %s must not be longer than %d characters.", parameter, max)
	case strings.TrimSpace(text) == "":
		return invalid("The value for parameter %s must contain at least one non-whitespace character.", parameter)
	case strings.ContainsFunc(text, func(r rune) bool { return r < 0x20 || r > 0x7e }):
		return invalid("The value for parameter %s contains non-ASCII or control characters.", parameter)
	}
	return nil
}

func (d *datum) check(now time.Time) *wire.Refusal {
	switch {
	case d.name == "":
		return missing(d.member + ".MetricName")
	case utf8.RuneCountInString(d.name) > maxMetricName:
		return invalid("The value for parameter %s.MetricName must not be longer than %d characters.", d.member, maxMetricName)
	case d.unit != "" && !knownUnit(d.unit):
		return invalid("The value %s for parameter %s.Unit is invalid.", d.unit, d.member)
	case !d.at.IsZero() && d.at.Before(now.Add(-oldestDatum)):
		return invalid("The parameter %s.Timestamp must specify a time no more than two weeks in the past.", d.member)
	case d.at.After(now.Add(newestDatum)):
		return invalid("The parameter %s.Timestamp must specify a time no more than two hours in the future.", d.member)
	}
	if refusal := checkDimensions(d.member, d.dimensions); refusal != nil {
		return refusal
	}
	return d.checkValues()
}

// knownUnit reports whether CloudWatch has a unit of that name.
func knownUnit(unit string) bool {
	return !strings.Contains(unit, " ") && strings.Contains(units, " "+unit+" ")
}

func checkDimensions(member string, dimensions []dimension) *wire.Refusal {
	if len(dimensions) > maxDimensions {
		return invalid("The collection %s.Dimensions must not have a size greater than %d.", member, maxDimensions)
	}
	seen := make(map[string]bool, len(dimensions))
	for i, dim := range dimensions {
		at := fmt.Sprintf("%s.Dimensions.member.%d", member, i+1)
		if refusal := checkText(at+".Name", dim.name, maxDimensionName); refusal != nil {
			return refusal
		}
		if refusal := checkText(at+".Value", dim.value, maxDimValue); refusal != nil {
			return refusal
		}
		if dim.name[0] == ':' {
			return invalid("The value %s for parameter %s.Name must not start with a colon.", dim.name, at)
		}
		// The documentation does not mention duplicates. Two values for one name
		// make no sense.
		if seen[dim.name] {
			return invalid("The dimension name %s is duplicated in %s.", dim.name, member)
		}
		seen[dim.name] = true
	}
	return nil
}

// checkValues enforces: either Value or Values, and all numbers finite and within
// range. Negative counts are refused, although the documentation does not mention
// them; a count of zero adds nothing.
func (d *datum) checkValues() *wire.Refusal {
	switch {
	case d.value == nil && d.values == nil && d.counts == nil:
		return wire.BadRequest("MissingParameter", "At least one of the parameters "+d.member+".Value and .Values must be specified.")
	case d.value != nil && d.values != nil:
		return combination("The parameters %s.Value and .Values are mutually exclusive and you have specified both.", d.member)
	case d.counts != nil && d.values == nil:
		return combination("The parameter %s.Counts requires the parameter %[1]s.Values.", d.member)
	case d.values != nil && len(d.values) == 0:
		return missing(d.member + ".Values")
	case len(d.values) > maxValues:
		return invalid("The collection %s.Values must not have a size greater than %d.", d.member, maxValues)
	case d.counts != nil && len(d.counts) != len(d.values):
		return invalid("The parameters %s.Values and %[1]s.Counts must be of the same size.", d.member)
	}
	if d.value != nil {
		return checkNumber(d.member+".Value", *d.value)
	}
	for i, v := range d.values {
		if refusal := checkNumber(fmt.Sprintf("%s.Values.member.%d", d.member, i+1), v); refusal != nil {
			return refusal
		}
	}
	for i, n := range d.counts {
		parameter := fmt.Sprintf("%s.Counts.member.%d", d.member, i+1)
		if n < 0 {
			return invalid("The value %v for parameter %s must not be negative.", n, parameter)
		}
		if refusal := checkNumber(parameter, n); refusal != nil {
			return refusal
		}
	}
	return nil
}

func checkNumber(parameter string, v float64) *wire.Refusal {
	if !(math.Abs(v) <= maxMagnitude) { // NaN too
		return invalid("The value %v for parameter %s is invalid.", v, parameter)
	}
	return nil
}

// sortDimensions sorts dimensions by name, because their order has no meaning.
func sortDimensions(dimensions []dimension) []dimension {
	sorted := slices.Clone(dimensions)
	slices.SortFunc(sorted, func(a, b dimension) int { return strings.Compare(a.name, b.name) })
	return sorted
}
