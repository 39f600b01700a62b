package price

import (
	"math"
	"net/url"
	"testing"
	"time"
)

func TestCost(t *testing.T) {
	metrics := &List[CustomMetrics]
	for _, test := range []struct{ quantity, want float64 }{
		{0, 0},
		{1, 0.30},
		{10_000, 3000},
		{10_001, 3000.10},
		{250_000, 3000 + 24_000},
		{1_000_000, 3000 + 24_000 + 37_500},
		{1_000_100, 3000 + 24_000 + 37_500 + 2},
	} {
		if got := metrics.Cost(test.quantity); math.Abs(got-test.want) > 1e-6 {
			t.Errorf("%v metrics cost %v, want %v", test.quantity, got, test.want)
		}
	}
}

// TestList checks that every item has a name, a unit, a page and ascending tiers.
func TestList(t *testing.T) {
	for i, p := range List {
		if p.Name == "" || p.Unit == "" || len(p.Tiers) == 0 {
			t.Errorf("item %d is not complete: %+v", i, p)
			continue
		}
		if u, err := url.Parse(p.Page); err != nil || u.Host != "aws.amazon.com" {
			t.Errorf("%s: page %q", p.Name, p.Page)
		}
		below := 0.0
		for j, tier := range p.Tiers {
			if last := j == len(p.Tiers)-1; last != (tier.UpTo == 0) || !last && tier.UpTo <= below || tier.Price <= 0 {
				t.Errorf("%s: tier %d: %+v", p.Name, j, tier)
			}
			below = tier.UpTo
		}
		if Item(i).String() != p.Name {
			t.Errorf("Item(%d) is %q, want %q", i, Item(i), p.Name)
		}
	}
	if _, err := time.Parse(time.DateOnly, Date); err != nil {
		t.Error(err)
	}
}

// TestUsage checks that no work costs nothing, that more work never costs less,
// and that the free tier never costs more.
func TestUsage(t *testing.T) {
	if lines := (Usage{}).Bill(false); len(lines) != 0 {
		t.Errorf("no usage is billed: %v", lines)
	}
	small := Month{Objects: 8760, Batches: 8760, Metrics: 40, Requests: 8760, Bytes: 1e9, StoredBytes: 2e8, NamingObjects: 10, FirstNamings: 5, AlarmingReads: 3, FailingClients: 1e4, RecordBytes: 1e7}
	for _, setup := range []Setup{
		{Memory: 512, FunctionDays: 30, Alarms: 6, Dashboards: 1, InsightRules: 2},
		{Memory: 128, Queue: true, LogDays: 90},
		{Memory: 3008, ObjectTime: 100 * time.Millisecond},
	} {
		total := small.Usage(setup).Total(false)
		if total <= 0 || small.Usage(setup).Total(true) > total {
			t.Errorf("%+v: %v, with the free tier %v", setup, total, small.Usage(setup).Total(true))
		}
		for name, more := range map[string]func(*Month){
			"objects":  func(m *Month) { m.Objects *= 2 },
			"batches":  func(m *Month) { m.Batches *= 2 },
			"metrics":  func(m *Month) { m.Metrics *= 2 },
			"requests": func(m *Month) { m.Requests *= 2 },
			"namings":  func(m *Month) { m.NamingObjects *= 2; m.FirstNamings *= 2 },
			"reads":    func(m *Month) { m.AlarmingReads *= 2 },
			"clients":  func(m *Month) { m.FailingClients *= 2 },
			"records":  func(m *Month) { m.RecordBytes *= 2 },
		} {
			m := small
			more(&m)
			if got := m.Usage(setup).Total(false); got <= total {
				t.Errorf("%+v: twice the %s cost %v, once %v", setup, name, got, total)
			}
		}
	}
}

// TestMonthByHand compares a manual calculation: one quiet node for a month, 8,760
// objects of 1 MB with 512 MB of memory.
func TestMonthByHand(t *testing.T) {
	m := Month{Objects: 8760, Batches: 8760, Metrics: 20, Requests: 8760, Bytes: 8760e6, RecordBytes: 8760 * 1000}
	u := m.Usage(Setup{Memory: 512, FunctionDays: 30})
	// 4 S3 requests and one to CloudWatch wait 140 ms; 9 ms of CPU take 31.1 ms at 0.289 of a vCPU.
	seconds := 8760 * (0.140 + 0.009*1769/512)
	for item, want := range map[Item]float64{
		CustomMetrics:    20,
		MetricRequests:   8760,
		FunctionRequests: 8760,
		FunctionTime:     seconds / 2,
		S3Writes:         26280,
		S3Reads:          8760,
		S3Storage:        8.76e6 * 30 / (730.0 / 24) / 1e9,
		BusEvents:        8760,
		LogIngestion:     8760 * 1250 / 1e9,
		LogStorage:       8760 * 1250 / 1e9 * 30 / (730.0 / 24),
		QueueRequests:    0,
		Alarms:           0,
	} {
		if math.Abs(u[item]-want) > 1e-9*math.Max(1, want) {
			t.Errorf("%s: %v, want %v", item, u[item], want)
		}
	}
}
