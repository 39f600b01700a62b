// Package metric converts a [rollup.Summary] to CloudWatch metric data, within the
// limits of PutMetricData.
//
// It only computes; package cwsink sends.
package metric

import "time"

// A Unit is a CloudWatch unit.
type Unit string

// The units in use.
const (
	Count   Unit = "Count"
	Seconds Unit = "Seconds"
)

// Names of the metrics. [Definitions] says what each means.
const (
	Connections          = "Connections"
	FailedNegotiations   = "FailedNegotiations"
	HandshakeLatency     = "HandshakeLatency"
	PlaintextConnections = "PlaintextConnections"
	ObjectsProcessed     = "ObjectsProcessed"
	ObjectsSkipped       = "ObjectsSkipped"
	MalformedLines       = "MalformedLines"
	DuplicateObjects     = "DuplicateObjects"
	DelayedObjects       = "DelayedObjects"
	UncertainRepublishes = "UncertainRepublishes"
	ClientsOverBudget    = "ClientsOverBudget"
	ProcessingLag        = "ProcessingLag"
)

// Names of the dimensions. LoadBalancer has the same values as in AWS's own namespace,
// AWS/ApplicationELB.
const (
	LoadBalancer = "LoadBalancer"
	ListenerPort = "ListenerPort"
	Protocol     = "Protocol"
	Cipher       = "Cipher"
	KeyExchange  = "KeyExchange"
	Client       = "Client"
	Reason       = "Reason"
)

// Dimension values that are not names from the log.
const (
	none  = "none"  // the log has no value
	Other = "other" // all that are not listed
)

// A Definition describes a metric for its users.
type Definition struct {
	Name       string
	Unit       Unit
	Meaning    string
	Dimensions [][]string // the combinations that it is published for
}

// Definitions lists everything that is published.
var Definitions = []Definition{
	{Connections, Count, "TLS connections, failed ones included",
		[][]string{{LoadBalancer}, {LoadBalancer, Protocol}, {LoadBalancer, Protocol, Cipher}, {LoadBalancer, KeyExchange}}},
	{FailedNegotiations, Count, "one sample per TLS connection, 1 if it failed and 0 if not: Sum is the number of failures, SampleCount the number of connections, Average the failure rate",
		[][]string{{}, {LoadBalancer}, {LoadBalancer, ListenerPort}, {LoadBalancer, Protocol}, {LoadBalancer, Protocol, Cipher}, {LoadBalancer, Client}}},
	{FailedNegotiations, Count, "failures by reason",
		[][]string{{LoadBalancer, Reason}}},
	{HandshakeLatency, Seconds, "duration of successful handshakes, as a distribution whose percentiles are accurate to 5 %",
		[][]string{{LoadBalancer}, {LoadBalancer, Protocol}}},
	{PlaintextConnections, Count, "connections to plain HTTP listeners",
		[][]string{{LoadBalancer}}},
	{ObjectsProcessed, Count, "log objects read and published", [][]string{{}}},
	{ObjectsSkipped, Count, "log objects skipped because they are not connection logs, are empty, or were deleted or replaced", [][]string{{}}},
	{MalformedLines, Count, "invalid lines", [][]string{{}}},
	{DuplicateObjects, Count, "events for log objects that were published already or are in the same batch", [][]string{{}}},
	{DelayedObjects, Count, "log objects published more than 15 minutes after the end of their period", [][]string{{}}},
	{UncertainRepublishes, Count, "log objects published again after an interrupted attempt, so their data may count twice", [][]string{{}}},
	{ClientsOverBudget, Count, "failing clients counted as `other` because the hourly `CLIENT_BUDGET` was spent", [][]string{{}}},
	{ProcessingLag, Seconds, "time from the end of a log object's period to its publication", [][]string{{}}},
}

// AboutProcessor returns the names of the metrics about the processor itself,
// which have no dimensions.
func AboutProcessor() []string {
	var names []string
	for _, d := range Definitions {
		if len(d.Dimensions) == 1 && len(d.Dimensions[0]) == 0 {
			names = append(names, d.Name)
		}
	}
	return names
}

// delayAfter is the lag beyond which an object counts as delayed: three periods, when
// alarms may already have evaluated its minutes.
const delayAfter = 15 * time.Minute

// A Dimension is a CloudWatch dimension.
type Dimension struct{ Name, Value string }

// A Datum is one metric, one combination of dimensions and one minute.
type Datum struct {
	Name       string
	Dimensions []Dimension
	Unit       Unit
	Time       time.Time
	Values     []float64 // distinct values
	Counts     []float64 // how often each of Values occurred
}

// Limits of PutMetricData.
// Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
const (
	MaxData        = 1000                // data in a request
	MaxBytes       = 1_000_000           // of a request before compression
	MaxValues      = 150                 // distinct values in a datum
	MaxValueLength = 1024                // characters of a dimension's value
	MaxAge         = 14 * 24 * time.Hour // time stamps in the past
	MaxAhead       = 2 * time.Hour       // time stamps in the future
)
