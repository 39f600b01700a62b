// Package price has the AWS prices of everything that tlswatch uses, and the formula from
// the work of a month to its bill. docs/cost.md explains both.
//
// The prices are list prices of one date and Region, in US dollars without taxes and
// discounts. They serve to compare set-ups and to estimate a bill; AWS's own pages are
// authoritative.
package price

import "fmt"

// Origin of the prices.
const (
	Date   = "2026-11-25" // when they were recorded
	Region = "us-east-1"
)

// HoursPerMonth is the length of a month in AWS's monthly prices.
const HoursPerMonth = 730

// An Item is something that AWS charges for.
type Item int

// The items.
const (
	CustomMetrics    Item = iota // metrics with data in every hour of the month; others count by their hours
	MetricRequests               // PutMetricData
	FunctionRequests             // invocations
	FunctionTime                 // GB-seconds
	S3Writes                     // PUT and LIST
	S3Reads                      // GET
	S3Storage                    // GB-months
	BusEvents                    // S3 events on EventBridge's default bus
	QueueRequests                // SQS, standard queue
	LogIngestion                 // GB of the functions' own logs
	LogStorage                   // GB-months
	Alarms                       // standard resolution
	Dashboards                   //
	InsightRules                 // Contributor Insights rules over logs
	InsightEvents                // log events that match such a rule
	items
)

// A Tier is a price up to a quantity.
type Tier struct {
	UpTo  float64 // 0 for the last tier
	Price float64 // US dollars for one unit
}

// A Price is what an item costs in a month.
type Price struct {
	Name  string
	Unit  string
	Tiers []Tier
	Free  float64 // free units per month and account
	Page  string  // AWS's page
}

const (
	thousand = 1e3
	million  = 1e6

	cloudWatchPage = "https://aws.amazon.com/cloudwatch/pricing/"
	lambdaPage     = "https://aws.amazon.com/lambda/pricing/"
	s3Page         = "https://aws.amazon.com/s3/pricing/"
)

func flat(price float64) []Tier { return []Tier{{0, price}} }

// List has the price of each Item. Function time is for arm64.
var List = [items]Price{
	CustomMetrics:    {"custom metrics", "metric-months", []Tier{{10_000, 0.30}, {250_000, 0.10}, {1_000_000, 0.05}, {0, 0.02}}, 10, cloudWatchPage},
	MetricRequests:   {"PutMetricData calls", "calls", flat(0.01 / thousand), million, cloudWatchPage},
	FunctionRequests: {"Lambda requests", "invocations", flat(0.20 / million), million, lambdaPage},
	FunctionTime:     {"Lambda time", "GB-seconds", flat(0.0000133334), 400_000, lambdaPage},
	S3Writes:         {"S3 PUT and LIST", "requests", flat(0.005 / thousand), 0, s3Page},
	S3Reads:          {"S3 GET", "requests", flat(0.0004 / thousand), 0, s3Page},
	S3Storage:        {"S3 storage", "GB-months", flat(0.023), 0, s3Page},
	BusEvents:        {"EventBridge events", "events", flat(1 / million), 0, "https://aws.amazon.com/eventbridge/pricing/"},
	QueueRequests:    {"SQS requests", "requests", flat(0.40 / million), million, "https://aws.amazon.com/sqs/pricing/"},
	LogIngestion:     {"log ingestion", "GB", flat(0.50), 5, cloudWatchPage},
	LogStorage:       {"log storage", "GB-months", flat(0.03), 0, cloudWatchPage},
	Alarms:           {"alarms", "alarm-metrics", flat(0.10), 10, cloudWatchPage},
	Dashboards:       {"dashboards", "dashboards", flat(3), 3, cloudWatchPage},
	InsightRules:     {"Contributor Insights rules", "rules", flat(0.50), 1, cloudWatchPage},
	InsightEvents:    {"Contributor Insights events", "events", flat(0.02 / million), million, cloudWatchPage},
}

func (i Item) String() string {
	if i < 0 || i >= items {
		return fmt.Sprintf("Item(%d)", int(i))
	}
	return List[i].Name
}

// Cost returns the cost of a quantity.
func (p *Price) Cost(quantity float64) float64 {
	var cost, below float64
	for _, t := range p.Tiers {
		if t.UpTo == 0 || quantity <= t.UpTo {
			return cost + (quantity-below)*t.Price
		}
		cost += (t.UpTo - below) * t.Price
		below = t.UpTo
	}
	return cost
}

// A Usage has the quantity of each item for a month.
type Usage [items]float64

// A Line is an item of a bill.
type Line struct {
	Item     Item
	Quantity float64
	Cost     float64 // US dollars
}

// Bill returns a line for each item in use. With freeTier, it assumes that the account
// runs nothing else.
func (u Usage) Bill(freeTier bool) []Line {
	var lines []Line
	for i, quantity := range u {
		if quantity == 0 {
			continue
		}
		p := &List[i]
		billed := quantity
		if freeTier {
			billed = max(0, quantity-p.Free)
		}
		lines = append(lines, Line{Item(i), quantity, p.Cost(billed)})
	}
	return lines
}

// Total returns the sum of a bill, in US dollars.
func (u Usage) Total(freeTier bool) float64 {
	var sum float64
	for _, l := range u.Bill(freeTier) {
		sum += l.Cost
	}
	return sum
}
