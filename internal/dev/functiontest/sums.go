package functiontest

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/localaws"
	"tlswatch/pkg/metric"
)

// Sums returns what was published, summed over time, in the form of
// connlogtest.Metrics.
func Sums(stack *localaws.Stack) map[string]connlogtest.Sum {
	sums := make(map[string]connlogtest.Sum)
	for _, series := range stack.CloudWatch.Metrics() {
		name := MetricName(series.Name, series.Dimensions)
		for _, p := range series.Points {
			add(sums, name, connlogtest.Sum{Sum: p.Sum, Samples: p.Samples})
		}
	}
	return sums
}

// MetricName names a series as connlogtest.Metrics does.
func MetricName(name string, dimensions map[string]string) string {
	for _, d := range []string{metric.LoadBalancer, metric.ListenerPort, metric.Protocol, metric.Cipher, metric.KeyExchange, metric.Reason, metric.Client} {
		if value, ok := dimensions[d]; ok {
			name += " " + d + "=" + value
		}
	}
	return name
}

// Reference returns the sums of logs by the reference implementation.
func Reference(logs ...connlogtest.Object) map[string]connlogtest.Sum {
	sums := make(map[string]connlogtest.Sum)
	for _, l := range logs { // one by one: each has its own Client values
		for name, sum := range connlogtest.Metrics(l.Lines, l.LoadBalancer) {
			add(sums, name, sum)
		}
	}
	return sums
}

func add(sums map[string]connlogtest.Sum, name string, more connlogtest.Sum) {
	s := sums[name]
	sums[name] = connlogtest.Sum{Sum: s.Sum + more.Sum, Samples: s.Samples + more.Samples}
}

// WantSums fails the test unless published and expected sums are the same. It
// ignores the metrics about the processor itself, and of latencies compares
// only the samples, because the reference has no sum of them.
func WantSums(t testing.TB, want, got map[string]connlogtest.Sum) {
	t.Helper()
	if d := cmp.Diff(aboutLogs(want), aboutLogs(got)); d != "" {
		t.Errorf("metrics: -want +got\n%s", d)
	}
}

func aboutLogs(all map[string]connlogtest.Sum) map[string]connlogtest.Sum {
	sums := make(map[string]connlogtest.Sum)
	for name, sum := range all {
		if strings.HasPrefix(name, metric.HandshakeLatency) {
			sum.Sum = 0
		}
		sums[name] = sum
	}
	for _, name := range metric.AboutProcessor() {
		delete(sums, name)
	}
	return sums
}
