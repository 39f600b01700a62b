package cloudwatch_test

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	local "tlswatch/internal/localaws/cloudwatch"
)

// noon is the clock of the tests.
var noon = time.Date(2026, 11, 23, 12, 0, 30, 0, time.UTC)

func atNoon() time.Time { return noon }

// A harness is a stack with a real client.
type harness struct {
	*localaws.Stack
	cw *cloudwatch.Client
}

func start(t *testing.T, o localaws.Options) *harness {
	t.Helper()
	stack := awstest.Start(t, o)
	return &harness{stack, cloudwatch.NewFromConfig(awstest.Config(t))}
}

func (h *harness) publish(t *testing.T, namespace string, data ...types.MetricDatum) error {
	t.Helper()
	_, err := h.cw.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: &namespace, MetricData: data})
	return err
}

func one() types.MetricDatum {
	return types.MetricDatum{MetricName: aws.String("m"), Value: aws.Float64(1)}
}

func dim(name, value string) types.Dimension { return types.Dimension{Name: &name, Value: &value} }

func dims(n int) []types.Dimension {
	list := make([]types.Dimension, n)
	for i := range list {
		list[i] = dim(fmt.Sprint("d", i), "v")
	}
	return list
}

func TestLimits(t *testing.T) {
	h := start(t, localaws.Options{Now: atNoon})
	const (
		value    = "InvalidParameterValue"
		combined = "InvalidParameterCombination"
		absent   = "MissingParameter"
	)
	with := func(change func(*types.MetricDatum)) types.MetricDatum {
		d := one()
		change(&d)
		return d
	}
	named := func(n int) types.MetricDatum {
		return with(func(d *types.MetricDatum) { d.MetricName = aws.String(strings.Repeat("é", n)) })
	}
	dimensioned := func(list ...types.Dimension) types.MetricDatum {
		return with(func(d *types.MetricDatum) { d.Dimensions = list })
	}
	at := func(t time.Time) types.MetricDatum {
		return with(func(d *types.MetricDatum) { d.Timestamp = &t })
	}
	valued := func(v float64) types.MetricDatum {
		return with(func(d *types.MetricDatum) { d.Value = &v })
	}
	many := func(n, counts int) types.MetricDatum {
		return with(func(d *types.MetricDatum) {
			d.Value = nil
			d.Values = make([]float64, n)
			for i := range d.Values {
				d.Values[i] = float64(i)
			}
			if counts >= 0 {
				d.Counts = make([]float64, counts)
			}
		})
	}
	united := func(u string) types.MetricDatum {
		return with(func(d *types.MetricDatum) { d.Unit = types.StandardUnit(u) })
	}
	repeat := func(n int) []types.MetricDatum {
		list := make([]types.MetricDatum, n)
		for i := range list {
			list[i] = one()
		}
		return list
	}
	long := func(n int) string { return strings.Repeat("x", n) }
	ms := time.Millisecond
	limit := math.Ldexp(1, 360)

	for _, c := range []struct {
		name      string
		namespace string // "n" if empty
		data      []types.MetricDatum
		code      string
	}{
		{"0 datums", "", nil, absent},
		{"999 datums", "", repeat(999), ""},
		{"1000 datums", "", repeat(1000), ""},
		{"1001 datums", "", repeat(1001), value},
		{"namespace of 254", long(254), repeat(1), ""},
		{"namespace of 255", long(255), repeat(1), ""},
		{"namespace of 256", long(256), repeat(1), value},
		{"namespace of AWS", "AWS/x", repeat(1), value},
		{"namespace like AWS", "AWSx/y", repeat(1), ""},
		{"namespace with colon", ":x", repeat(1), value},
		{"namespace with colon inside", "x:", repeat(1), ""},
		{"namespace not ASCII", "é", repeat(1), value},
		{"namespace with control", "a\tb", repeat(1), value},
		{"metric name of 0", "", []types.MetricDatum{named(0)}, absent},
		{"metric name of 1", "", []types.MetricDatum{named(1)}, ""},
		{"metric name of 254", "", []types.MetricDatum{named(254)}, ""},
		{"metric name of 255", "", []types.MetricDatum{named(255)}, ""},
		{"metric name of 256", "", []types.MetricDatum{named(256)}, value},
		{"29 dimensions", "", []types.MetricDatum{dimensioned(dims(29)...)}, ""},
		{"30 dimensions", "", []types.MetricDatum{dimensioned(dims(30)...)}, ""},
		{"31 dimensions", "", []types.MetricDatum{dimensioned(dims(31)...)}, value},
		{"dimension name of 0", "", []types.MetricDatum{dimensioned(dim("", "v"))}, absent},
		{"dimension name of 1", "", []types.MetricDatum{dimensioned(dim("d", "v"))}, ""},
		{"dimension name of 254", "", []types.MetricDatum{dimensioned(dim(long(254), "v"))}, ""},
		{"dimension name of 255", "", []types.MetricDatum{dimensioned(dim(long(255), "v"))}, ""},
		{"dimension name of 256", "", []types.MetricDatum{dimensioned(dim(long(256), "v"))}, value},
		{"dimension name with colon", "", []types.MetricDatum{dimensioned(dim(":d", "v"))}, value},
		{"dimension name with colon inside", "", []types.MetricDatum{dimensioned(dim("d:", "v"))}, ""},
		{"dimension name blank", "", []types.MetricDatum{dimensioned(dim(" ", "v"))}, value},
		{"dimension name not ASCII", "", []types.MetricDatum{dimensioned(dim("é", "v"))}, value},
		{"dimension name twice", "", []types.MetricDatum{dimensioned(dim("d", "v"), dim("d", "w"))}, value},
		{"dimension value of 0", "", []types.MetricDatum{dimensioned(dim("d", ""))}, absent},
		{"dimension value of 1", "", []types.MetricDatum{dimensioned(dim("d", "-"))}, ""},
		{"dimension value of 1023", "", []types.MetricDatum{dimensioned(dim("d", long(1023)))}, ""},
		{"dimension value of 1024", "", []types.MetricDatum{dimensioned(dim("d", long(1024)))}, ""},
		{"dimension value of 1025", "", []types.MetricDatum{dimensioned(dim("d", long(1025)))}, value},
		{"dimension value blank", "", []types.MetricDatum{dimensioned(dim("d", "  "))}, value},
		{"dimension value not ASCII", "", []types.MetricDatum{dimensioned(dim("d", "CN=Jürgen"))}, value},
		{"dimension value with control", "", []types.MetricDatum{dimensioned(dim("d", "a\x7fb"))}, value},
		{"two weeks old", "", []types.MetricDatum{at(noon.Add(-14 * 24 * time.Hour))}, ""},
		{"just less than two weeks old", "", []types.MetricDatum{at(noon.Add(-14*24*time.Hour + ms))}, ""},
		{"just more than two weeks old", "", []types.MetricDatum{at(noon.Add(-14*24*time.Hour - ms))}, value},
		{"two hours ahead", "", []types.MetricDatum{at(noon.Add(2 * time.Hour))}, ""},
		{"just less than two hours ahead", "", []types.MetricDatum{at(noon.Add(2*time.Hour - ms))}, ""},
		{"just more than two hours ahead", "", []types.MetricDatum{at(noon.Add(2*time.Hour + ms))}, value},
		{"in 1970", "", []types.MetricDatum{at(time.Unix(0, 0))}, value},
		{"NaN", "", []types.MetricDatum{valued(math.NaN())}, value},
		{"infinity", "", []types.MetricDatum{valued(math.Inf(-1))}, value},
		{"2^360", "", []types.MetricDatum{valued(limit)}, ""},
		{"-2^360", "", []types.MetricDatum{valued(-limit)}, ""},
		{"less than 2^360", "", []types.MetricDatum{valued(math.Nextafter(limit, 0))}, ""},
		{"more than 2^360", "", []types.MetricDatum{valued(math.Nextafter(limit, math.Inf(1)))}, value},
		{"less than -2^360", "", []types.MetricDatum{valued(math.Nextafter(-limit, math.Inf(-1)))}, value},
		{"0 values", "", []types.MetricDatum{many(0, -1)}, absent},
		{"149 values", "", []types.MetricDatum{many(149, -1)}, ""},
		{"150 values", "", []types.MetricDatum{many(150, 150)}, ""},
		{"151 values", "", []types.MetricDatum{many(151, 151)}, value},
		{"1 count less", "", []types.MetricDatum{many(3, 2)}, value},
		{"as many counts", "", []types.MetricDatum{many(3, 3)}, ""},
		{"1 count more", "", []types.MetricDatum{many(3, 4)}, value},
		{"a negative count", "", []types.MetricDatum{with(func(d *types.MetricDatum) {
			d.Value, d.Values, d.Counts = nil, []float64{1}, []float64{-1}
		})}, value},
		{"NaN among the values", "", []types.MetricDatum{with(func(d *types.MetricDatum) {
			d.Value, d.Values = nil, []float64{1, math.NaN()}
		})}, value},
		{"no value", "", []types.MetricDatum{with(func(d *types.MetricDatum) { d.Value = nil })}, absent},
		{"counts alone", "", []types.MetricDatum{with(func(d *types.MetricDatum) { d.Value, d.Counts = nil, []float64{1} })}, combined},
		{"value and values", "", []types.MetricDatum{with(func(d *types.MetricDatum) { d.Values = []float64{1} })}, combined},
		{"statistics, not implemented", "", []types.MetricDatum{with(func(d *types.MetricDatum) {
			n := 1.0
			d.Value, d.StatisticValues = nil, &types.StatisticSet{SampleCount: &n, Sum: &n, Minimum: &n, Maximum: &n}
		})}, value},
		{"resolution, not implemented", "", []types.MetricDatum{with(func(d *types.MetricDatum) { d.StorageResolution = aws.Int32(1) })}, value},
		{"unit None", "", []types.MetricDatum{united("None")}, ""},
		{"unit Bytes/Second", "", []types.MetricDatum{united("Bytes/Second")}, ""},
		{"unit of two words", "", []types.MetricDatum{united("Percent Count")}, value},
		{"unit in lower case", "", []types.MetricDatum{united("count")}, value},
		{"a bad one among good ones", "", append(repeat(5), valued(math.NaN())), value},
	} {
		t.Run(c.name, func(t *testing.T) {
			namespace := c.namespace
			if namespace == "" {
				namespace = "n"
			}
			before := len(h.CloudWatch.Points())
			var samples float64
			for _, p := range h.CloudWatch.Points() {
				samples += p.Samples
			}
			err := h.publish(t, namespace, c.data...)
			awstest.WantCode(t, err, c.code)
			if c.code == "" {
				return
			}
			var after float64
			for _, p := range h.CloudWatch.Points() {
				after += p.Samples
			}
			if len(h.CloudWatch.Points()) != before || after != samples {
				t.Error("part of a refused request was stored")
			}
		})
	}
	var typed *types.InvalidParameterValueException
	if err := h.publish(t, ":", one()); !errors.As(err, &typed) || typed.ErrorMessage() == "" {
		t.Errorf("not the SDK's type: %v", err)
	}
}

// TestSize finds the size limit with and without compression.
func TestSize(t *testing.T) {
	h := start(t, localaws.Options{Now: atNoon})
	publish := func(compress bool, data []types.MetricDatum) error {
		_, err := h.cw.PutMetricData(t.Context(), &cloudwatch.PutMetricDataInput{Namespace: aws.String("n"), MetricData: data}, func(o *cloudwatch.Options) {
			o.DisableRequestCompression = !compress
		})
		return err
	}
	below := make([]types.MetricDatum, 300) // of about 3 KB each
	above := make([]types.MetricDatum, 400)
	for i := range above {
		above[i] = types.MetricDatum{MetricName: aws.String("m"), Values: make([]float64, 150), Counts: make([]float64, 150)}
		for j := range 150 {
			above[i].Values[j], above[i].Counts[j] = float64(j)+0.1, float64(i)+0.1
		}
	}
	copy(below, above)
	for _, compress := range []bool{false, true} {
		if err := publish(compress, below); err != nil {
			t.Errorf("gzip %v: %v", compress, err)
		}
		awstest.WantCode(t, publish(compress, above), "RequestEntityTooLarge")
	}
	// Exactly: pad a JSON request with white space.
	put := func(size int) int {
		body := `{"Namespace":"n","MetricData":[{"MetricName":"m","Value":1}]}`
		r, err := http.NewRequest(http.MethodPost, h.CloudWatch.URL(), strings.NewReader(body+strings.Repeat(" ", size-len(body))))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("X-Amz-Target", "GraniteServiceVersion20100801.PutMetricData")
		out, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		out.Body.Close()
		return out.StatusCode
	}
	for size, want := range map[int]int{1<<20 - 1: 200, 1 << 20: 200, 1<<20 + 1: 413} {
		if got := put(size); got != want {
			t.Errorf("%d bytes: status %d, want %d", size, got, want)
		}
	}
}

func TestAggregates(t *testing.T) {
	h := start(t, localaws.Options{Now: atNoon})
	minute := noon.Truncate(time.Minute)
	a, b := dim("A", "1"), dim("B", "2")
	put := func(d types.MetricDatum) {
		t.Helper()
		if d.MetricName == nil {
			d.MetricName = aws.String("Latency")
		}
		if err := h.publish(t, "ns", d); err != nil {
			t.Fatal(err)
		}
	}
	put(types.MetricDatum{Value: aws.Float64(4), Dimensions: []types.Dimension{a, b}, Unit: types.StandardUnitSeconds})
	put(types.MetricDatum{Values: []float64{1, 4}, Counts: []float64{2, 3}, Dimensions: []types.Dimension{b, a}, Unit: types.StandardUnitSeconds, Timestamp: &minute})
	put(types.MetricDatum{Values: []float64{6}, Counts: []float64{2}, Dimensions: []types.Dimension{a, b}, Unit: types.StandardUnitSeconds, Timestamp: aws.Time(minute.Add(59 * time.Second))})
	put(types.MetricDatum{Value: aws.Float64(1), Dimensions: []types.Dimension{a, b}, Unit: types.StandardUnitSeconds, Timestamp: aws.Time(minute.Add(time.Minute))})
	put(types.MetricDatum{Value: aws.Float64(1), Dimensions: []types.Dimension{a, b}})
	put(types.MetricDatum{MetricName: aws.String("Nothing"), Values: []float64{1}, Counts: []float64{0}})

	ab := map[string]string{"A": "1", "B": "2"}
	want := []local.Series{
		{"ns", "Latency", ab, "None", []local.Point{{"ns", "Latency", ab, "None", minute, 1, 1, 1, 1, map[float64]float64{1: 1}}}},
		{"ns", "Latency", ab, "Seconds", []local.Point{
			{"ns", "Latency", ab, "Seconds", minute, 30, 8, 1, 6, map[float64]float64{1: 2, 4: 4, 6: 2}},
			{"ns", "Latency", ab, "Seconds", minute.Add(time.Minute), 1, 1, 1, 1, map[float64]float64{1: 1}},
		}},
	}
	got := h.CloudWatch.Metrics()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Fatal(diff)
	}
	for percent, want := range map[float64]float64{0: 1, 25: 1, 25.1: 4, 50: 4, 75: 4, 76: 6, 100: 6} {
		if v, ok := got[1].Points[0].Percentile(percent); !ok || v != want {
			t.Errorf("p%v is %v, %v; want %v", percent, v, ok, want)
		}
	}

	// The SDK can read it back.
	in := &cloudwatch.GetMetricStatisticsInput{
		Namespace: aws.String("ns"), MetricName: aws.String("Latency"), Dimensions: []types.Dimension{b, a}, Unit: types.StandardUnitSeconds,
		StartTime: aws.Time(minute.Add(-5 * time.Minute)), EndTime: aws.Time(minute.Add(5 * time.Minute)), Period: aws.Int32(300),
		Statistics: []types.Statistic{"Sum", "SampleCount", "Average", "Minimum", "Maximum"},
	}
	out, err := h.cw.GetMetricStatistics(t.Context(), in)
	if err != nil || len(out.Datapoints) != 1 {
		t.Fatalf("got %+v, %v", out, err)
	}
	p := out.Datapoints[0]
	if *p.Sum != 31 || *p.SampleCount != 9 || *p.Average != 31.0/9 || *p.Minimum != 1 || *p.Maximum != 6 || !p.Timestamp.Equal(minute) || p.Unit != "Seconds" {
		t.Errorf("got sum %v, samples %v, average %v, min %v, max %v at %v", *p.Sum, *p.SampleCount, *p.Average, *p.Minimum, *p.Maximum, p.Timestamp)
	}
	in.Statistics, in.ExtendedStatistics = nil, []string{"p50", "p99.9"}
	out, err = h.cw.GetMetricStatistics(t.Context(), in)
	if err != nil || len(out.Datapoints) != 1 || !cmp.Equal(out.Datapoints[0].ExtendedStatistics, map[string]float64{"p50": 4, "p99.9": 6}) {
		t.Errorf("got %+v, %v", out, err)
	}
	in.Dimensions = []types.Dimension{a}
	if out, err = h.cw.GetMetricStatistics(t.Context(), in); err != nil || len(out.Datapoints) != 0 {
		t.Errorf("some of the dimensions: got %+v, %v", out, err)
	}
	in.Period = aws.Int32(61)
	_, err = h.cw.GetMetricStatistics(t.Context(), in)
	awstest.WantCode(t, err, "InvalidParameterValue")

	list, err := h.cw.ListMetrics(t.Context(), &cloudwatch.ListMetricsInput{Namespace: aws.String("ns"), Dimensions: []types.DimensionFilter{{Name: aws.String("A")}}})
	if err != nil || len(list.Metrics) != 1 || *list.Metrics[0].MetricName != "Latency" || len(list.Metrics[0].Dimensions) != 2 {
		t.Errorf("got %+v, %v", list, err)
	}
}

func TestListsInPages(t *testing.T) {
	h := start(t, localaws.Options{})
	data := make([]types.MetricDatum, 1000)
	for i := range data {
		data[i] = types.MetricDatum{MetricName: aws.String(fmt.Sprint("m", i)), Value: aws.Float64(1)}
	}
	if err := h.publish(t, "ns", append(data[:999], one())...); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	pages := cloudwatch.NewListMetricsPaginator(h.cw, &cloudwatch.ListMetricsInput{})
	for pages.HasMorePages() {
		page, err := pages.NextPage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range page.Metrics {
			seen[*m.MetricName] = true
		}
	}
	if len(seen) != 1000 {
		t.Errorf("%d metrics", len(seen))
	}
}

func TestRefusesRubbish(t *testing.T) {
	const cborPath = "/service/GraniteServiceVersion20100801/operation/"
	h := start(t, localaws.Options{})
	for name, c := range map[string]struct {
		header map[string]string
		path   string
		body   string
		status int
	}{
		"no operation":      {nil, "/", "", 404},
		"another operation": {map[string]string{"X-Amz-Target": "GraniteServiceVersion20100801.PutMetricAlarm"}, "/", "{}", 404},
		"not cbor":          {nil, cborPath + "PutMetricData", "\xff\xff", 400},
		"cbor, no map":      {nil, cborPath + "PutMetricData", "\x01", 400},
		"cbor, bad time":    {nil, cborPath + "PutMetricData", "\xa1\x69Namespace\xc1\xfb\x7f\xf8\x00\x00\x00\x00\x00\x00", 400},
		"not gzip":          {map[string]string{"Content-Encoding": "gzip"}, cborPath + "PutMetricData", "plain", 400},
		"brotli":            {map[string]string{"Content-Encoding": "br"}, cborPath + "PutMetricData", "plain", 415},
		"wrong type":        {map[string]string{"X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData"}, "/", `{"Namespace":"n","MetricData":[{"MetricName":7,"Value":"x"}]}`, 400},
		"empty":             {map[string]string{"X-Amz-Target": "GraniteServiceVersion20100801.PutMetricData"}, "/", ``, 400},
	} {
		t.Run(name, func(t *testing.T) {
			r, err := http.NewRequest(http.MethodPost, h.CloudWatch.URL()+c.path, strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for k, v := range c.header {
				r.Header.Set(k, v)
			}
			out, err := http.DefaultClient.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			out.Body.Close()
			if out.StatusCode != c.status || out.Header.Get("X-Amzn-Query-Error") == "" {
				t.Errorf("status %d, want %d; error %q", out.StatusCode, c.status, out.Header.Get("X-Amzn-Query-Error"))
			}
		})
	}
}
