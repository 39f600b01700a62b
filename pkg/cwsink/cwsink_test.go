package cwsink_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/cwsink"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/pipeline"
)

const operation = "cloudwatch:PutMetricData"

// now is the clock of the stand-in.
var now = time.Date(2026, 11, 23, 10, 7, 0, 0, time.UTC)

// start returns a stand-in and a sink whose client is made from the
// environment, as the function's is. Only its back-off is shorter.
func start(t *testing.T, client aws.HTTPClient) (*localaws.Stack, cwsink.Sink) {
	t.Helper()
	stack := awstest.Start(t, localaws.Options{Now: func() time.Time { return now }})
	return stack, sink(t, stack.Env(), client)
}

func sink(t *testing.T, env map[string]string, client aws.HTTPClient) cwsink.Sink {
	t.Helper()
	awstest.Setenv(t, env)
	c := awstest.Config(t, config.WithHTTPClient(client))
	return cwsink.Sink{Client: cloudwatch.NewFromConfig(c), Namespace: "tlswatch"}
}

// transport is an HTTP client of its own, so that no test meets the
// connections of another.
func transport() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) {
		t.ResponseHeaderTimeout = 300 * time.Millisecond
	})
}

var minute = time.Date(2026, 11, 23, 10, 3, 0, 0, time.UTC)

func some() []metric.Datum {
	lb := metric.Dimension{Name: metric.LoadBalancer, Value: "app/my-loadbalancer/1234567890abcdef"}
	return []metric.Datum{
		{Name: metric.ObjectsProcessed, Unit: metric.Count, Time: minute, Values: []float64{1}, Counts: []float64{1}},
		{Name: metric.FailedNegotiations, Unit: metric.Count, Time: minute, Dimensions: []metric.Dimension{lb}, Values: []float64{0, 1}, Counts: []float64{83, 17}},
		{Name: metric.FailedNegotiations, Unit: metric.Count, Time: minute.Add(time.Minute), Dimensions: []metric.Dimension{lb}, Values: []float64{0}, Counts: []float64{5}},
		{Name: metric.HandshakeLatency, Unit: metric.Seconds, Time: minute, Dimensions: []metric.Dimension{lb, {Name: metric.Protocol, Value: "TLSv1.3"}},
			Values: []float64{0, 0.001, 0.0125, 12}, Counts: []float64{1, 2, 1e9, 4}},
	}
}

// random makes data as large and as varied as they come.
func random(r *rand.Rand, n, values int) []metric.Datum {
	data := make([]metric.Datum, n)
	for i := range data {
		d := metric.Datum{Name: fmt.Sprintf("M%d%s", i, strings.Repeat("m", r.IntN(40))), Unit: metric.Seconds, Time: minute.Add(time.Duration(r.IntN(4)) * time.Minute)}
		if r.IntN(2) == 0 {
			d.Unit = metric.Count
		}
		for j := range r.IntN(4) {
			value := strings.Repeat("v", 1+r.IntN(60))
			if r.IntN(40) == 0 {
				value = strings.Repeat("V", metric.MaxValueLength)
			}
			d.Dimensions = append(d.Dimensions, metric.Dimension{Name: fmt.Sprintf("Dimension%d", j), Value: value})
		}
		for v := range 1 + r.IntN(values) {
			count := float64(1 + r.IntN(10))
			if r.IntN(3) == 0 {
				count = float64(r.Uint64N(1 << 53))
			}
			value := float64(v) + r.Float64()
			if r.IntN(3) == 0 {
				value = float64(v) - math.Ldexp(r.Float64()+1, r.IntN(359))
			}
			if !slices.Contains(d.Values, value) {
				d.Values, d.Counts = append(d.Values, value), append(d.Counts, count)
			}
		}
		data[i] = d
	}
	return data
}

// wantData compares what arrived with what was sent.
func wantData(t *testing.T, stack *localaws.Stack, data []metric.Datum) {
	t.Helper()
	type point struct {
		Namespace, Name, Unit string
		Dimensions            map[string]string
		Time                  time.Time
		Values                map[float64]float64
	}
	sort := func(points []point) []point {
		slices.SortFunc(points, func(a, b point) int { return strings.Compare(fmt.Sprint(a), fmt.Sprint(b)) })
		return points
	}
	var got, want []point
	for _, p := range stack.CloudWatch.Points() {
		got = append(got, point{p.Namespace, p.Name, p.Unit, p.Dimensions, p.Timestamp, p.Values})
	}
	for _, d := range data {
		p := point{"tlswatch", d.Name, string(d.Unit), map[string]string{}, d.Time, map[float64]float64{}}
		for _, dim := range d.Dimensions {
			p.Dimensions[dim.Name] = dim.Value
		}
		for i, v := range d.Values {
			p.Values[v] += d.Counts[i]
		}
		want = append(want, p)
	}
	if diff := cmp.Diff(sort(want), sort(got)); diff != "" {
		if len(diff) > 2000 {
			diff = diff[:2000] + "..."
		}
		t.Errorf("data (-sent +arrived):\n%s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	stack, s := start(t, transport())
	if err := s.Put(t.Context(), some()); err != nil {
		t.Fatal(err)
	}
	wantData(t, stack, some())
	if n := stack.Calls.Counts()[operation]; n != 1 {
		t.Errorf("%d requests", n)
	}
}

func TestNothing(t *testing.T) {
	stack, s := start(t, transport())
	if err := s.Put(t.Context(), nil); err != nil || len(stack.Calls.Counts()) > 0 {
		t.Errorf("%v, calls %v", err, stack.Calls.Counts())
	}
}

// A recorder keeps the bodies of requests, as they go over the wire.
type recorder struct {
	client *awshttp.BuildableClient
	bodies [][]byte
	zipped []bool
}

func (r *recorder) Do(request *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(request.Body)
	if err != nil {
		return nil, err
	}
	r.bodies, r.zipped = append(r.bodies, body), append(r.zipped, request.Header.Get("Content-Encoding") == "gzip")
	request.Body = io.NopCloser(bytes.NewReader(body))
	return r.client.Do(request)
}

// plain returns the bodies without compression.
func (r *recorder) plain(t *testing.T) (bodies [][]byte) {
	t.Helper()
	for i, body := range r.bodies {
		if r.zipped[i] {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			if body, err = io.ReadAll(z); err != nil {
				t.Fatal(err)
			}
		}
		bodies = append(bodies, body)
	}
	return bodies
}

func TestCompression(t *testing.T) {
	wire := &recorder{client: transport()}
	stack, s := start(t, wire)
	r := rand.New(rand.NewPCG(1, 1))
	data := append(some(), random(r, 200, 2)...)
	for _, part := range [][]metric.Datum{data[:4], data[4:]} {
		if err := s.Put(t.Context(), part); err != nil {
			t.Fatal(err)
		}
	}
	wantData(t, stack, data)
	plain := wire.plain(t)
	if !slices.Equal(wire.zipped, []bool{false, true}) || len(plain[0]) > 10<<10 || len(plain[1]) <= 10<<10 || len(wire.bodies[1]) >= len(plain[1]) {
		t.Errorf("compressed: %v, %d and %d bytes", wire.zipped, len(plain[0]), len(plain[1]))
	}
}

// TestBatchSize: package metric bounds the size of a request without encoding
// it. The bound holds for what the SDK really sends.
func TestBatchSize(t *testing.T) {
	wire := &recorder{client: transport()}
	_, s := start(t, wire)
	r := rand.New(rand.NewPCG(2, 3))
	most := 0.0
	for _, test := range []struct{ n, values int }{{1, 1}, {1, 150}, {2500, 1}, {2500, 2}, {900, 150}, {400, 300}} {
		data := random(r, test.n, min(test.values, metric.MaxValues))
		if test.values > metric.MaxValues { // every one full
			for i := range data {
				data[i].Values, data[i].Counts = nil, nil
				for v := range metric.MaxValues {
					data[i].Values, data[i].Counts = append(data[i].Values, float64(v)+r.Float64()), append(data[i].Counts, float64(r.Uint64N(1<<53)))
				}
			}
		}
		wire.bodies, wire.zipped = nil, nil
		if err := s.Put(t.Context(), data); err != nil {
			t.Fatal(err)
		}
		bodies := wire.plain(t)
		batches := metric.Batches(data)
		if len(bodies) != len(batches) {
			t.Fatalf("%d requests for %d batches", len(bodies), len(batches))
		}
		for i, body := range bodies {
			if len(batches[i]) > 1000 || len(body) >= 1_000_000 {
				t.Errorf("%d data in %d bytes", len(batches[i]), len(body))
			}
			// A batch that was closed because the next datum might not have
			// fitted must not have been closed far too early.
			if i+1 < len(bodies) && len(batches[i]) < 1000 {
				most = max(most, float64(len(body))/metric.MaxBytes)
			}
			// The bound itself: data that are many times this batch are cut
			// into requests of at most MaxBytes.
			copies := 2*metric.MaxBytes/len(body) + 1
			if len(batches[i]) <= 10 && copies <= 2_000_000/len(batches[i]) {
				repeated := slices.Repeat(batches[i], copies)
				for _, b := range metric.Batches(repeated) {
					if len(b)%len(batches[i]) == 0 && len(b)/len(batches[i])*len(body) > metric.MaxBytes {
						t.Errorf("%d times %d bytes are taken for less than %d", len(b)/len(batches[i]), len(body), metric.MaxBytes)
					}
				}
			}
		}
	}
	if most < 0.3 {
		t.Errorf("the largest request fills %.0f %% of the limit: the bound is too wide", 100*most)
	}
}

// mayHaveArrived reports whether an error leaves open whether data arrived.
func mayHaveArrived(err error) bool { return err != nil && !errors.Is(err, pipeline.ErrNothingSent) }

// TestFaults: what goes wrong with the first request, and how the sink takes
// it. Whatever happens, no datum is counted twice.
func TestFaults(t *testing.T) {
	first := func(f wire.Fault) wire.FaultFunc { return f.Once(operation, 1) }
	always := func(f wire.Fault) wire.FaultFunc { return func(string, int) wire.Fault { return f } }
	const (
		sent      = iota // no error, data arrived
		refused          // error, nothing arrived, and the error is sure of it
		uncertain        // error, and the data may have arrived
	)
	for _, test := range []struct {
		name     string
		faults   wire.FaultFunc
		requests int
		outcome  int
		applied  bool // data arrived
		code     string
	}{
		{"none", nil, 1, sent, true, ""},
		{"slow", first(wire.Fault{Delay: 100 * time.Millisecond}), 1, sent, true, ""},
		{"slow reply", first(wire.Fault{Drip: 100 * time.Millisecond}), 1, sent, true, ""},
		{"closed before it was applied", first(wire.Fault{Kind: wire.FaultClose}), 1, uncertain, false, ""},
		{"reset before it was applied", first(wire.Fault{Kind: wire.FaultReset}), 1, uncertain, false, ""},
		{"reset after it was applied", first(wire.Fault{Kind: wire.FaultReplyLost}), 1, uncertain, true, ""},
		{"reply cut in the body", first(wire.Fault{Kind: wire.FaultReplyCut}), 1, sent, true, ""},
		{"500", first(wire.Refuse(500, "InternalServiceFault")), 1, uncertain, false, "InternalServiceFault"},
		{"503", first(wire.Refuse(503, "ServiceUnavailable")), 1, uncertain, false, "ServiceUnavailable"},
		{"500 after it was applied", first(wire.Replace(500, "InternalServiceFault")), 1, uncertain, true, "InternalServiceFault"},
		{"504 after it was applied, then throttled", func(_ string, n int) wire.Fault {
			return []wire.Fault{wire.Replace(504, "GatewayTimeout"), wire.Refuse(400, "Throttling")}[min(n, 2)-1]
		}, 1, uncertain, true, "GatewayTimeout"},
		{"an unknown 400", first(wire.Refuse(400, "Unheard")), 1, uncertain, false, "Unheard"},
		{"a time-out of the service", first(wire.Refuse(400, "RequestTimeoutException")), 1, uncertain, false, "RequestTimeoutException"},
		{"throttled by 429", first(wire.Refuse(429, "Throttling")), 2, sent, true, ""},
		{"throttled once", first(wire.Refuse(400, "Throttling")), 2, sent, true, ""},
		{"throttled, the other code", first(wire.Refuse(400, "ThrottlingException")), 2, sent, true, ""},
		{"throttled always", always(wire.Refuse(400, "Throttling")), 5, refused, false, "Throttling"},
		{"403", first(wire.Refuse(403, "AccessDenied")), 1, refused, false, "AccessDenied"},
		{"400", first(wire.Refuse(400, "InvalidParameterValue")), 1, refused, false, "InvalidParameterValue"},
		{"no reply in time", first(wire.Fault{Delay: time.Minute}), 1, uncertain, false, ""},
		{"refused, then lost", func(_ string, n int) wire.Fault {
			return []wire.Fault{wire.Refuse(400, "Throttling"), {Kind: wire.FaultReplyLost}}[min(n, 2)-1]
		}, 2, uncertain, true, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			stack, s := start(t, transport())
			stack.CloudWatch.SetFaults(test.faults)
			err := s.Put(t.Context(), some())
			if n := stack.Calls.Counts()[operation]; n != test.requests {
				t.Errorf("%d requests, want %d", n, test.requests)
			}
			isUncertain := mayHaveArrived(err)
			if (err == nil) != (test.outcome == sent) || isUncertain != (test.outcome == uncertain) {
				t.Errorf("error %v", err)
			}
			if err != nil && !strings.Contains(err.Error(), "request 1 of 1") {
				t.Errorf("the error does not say which request: %v", err)
			}
			api, _ := errors.AsType[smithy.APIError](err)
			if test.code != "" && (api == nil || api.ErrorCode() != test.code) {
				t.Errorf("error %v, want code %s", err, test.code)
			}
			if test.applied {
				wantData(t, stack, some())
			} else {
				wantData(t, stack, nil)
			}
		})
	}
}

// TestCutHeader: a reply that is cut in its header may have said
// anything. A status that was read counts.
func TestCutHeader(t *testing.T) {
	for _, test := range []struct {
		reply     string
		requests  int
		uncertain bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Ty", 1, true},
		{"HTTP/1.1 500 Internal Server Error\r\nContent-Ty", 1, true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nSmithy-Protocol: rpc-v2-cbor\r\n\r\n\xa0", 1, false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 1, false},
		{"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", 1, false},
		{"garbage", 1, true},
		{"", 1, true},
	} {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		requests := 0
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				requests++
				conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
				io.Copy(io.Discard, conn)
				io.WriteString(conn, test.reply)
				conn.Close()
			}
		}()
		s := sink(t, map[string]string{
			"AWS_ENDPOINT_URL_CLOUDWATCH": "http://" + l.Addr().String(), "AWS_REGION": "us-east-1",
			"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
		}, transport())
		err = s.Put(t.Context(), some())
		l.Close()
		<-done
		isUncertain := mayHaveArrived(err)
		if requests != test.requests || isUncertain != test.uncertain || (err != nil) != test.uncertain {
			t.Errorf("%q: %d requests, %v", test.reply, requests, err)
		}
	}
}

// TestRefusedConnection: none of the request was sent, so it is sent again,
// and nothing is uncertain.
func TestRefusedConnection(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	dials := 0
	client := transport().WithTransportOptions(func(t *http.Transport) {
		t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			dials++
			return new(net.Dialer).DialContext(ctx, network, addr)
		}
	})
	s := sink(t, map[string]string{
		"AWS_ENDPOINT_URL_CLOUDWATCH": "http://" + address, "AWS_REGION": "us-east-1",
		"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
	}, client)
	err = s.Put(t.Context(), some())
	isUncertain := mayHaveArrived(err)
	if err == nil || isUncertain || dials != 5 {
		t.Errorf("%d attempts, %v", dials, err)
	}
}

// TestDeadline: the caller's deadline ends the wait for a reply, and retries.
func TestDeadline(t *testing.T) {
	stack, s := start(t, awshttp.NewBuildableClient())
	stack.CloudWatch.SetFaults(func(string, int) wire.Fault { return wire.Fault{Delay: time.Minute} })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := s.Put(ctx, some())
	if !mayHaveArrived(err) || !errors.Is(err, context.DeadlineExceeded) || stack.Calls.Counts()[operation] != 1 {
		t.Errorf("%v after %v", err, stack.Calls.Counts())
	}

	stack.Calls.Reset()
	ctx, cancel = context.WithCancel(t.Context())
	cancel()
	err = s.Put(ctx, some())
	if mayHaveArrived(err) || !errors.Is(err, context.Canceled) || len(stack.Calls.Counts()) > 0 {
		t.Errorf("%v after %v", err, stack.Calls.Counts())
	}
}

// TestSecondRequest: an error says which of several requests it concerns; those
// before it have been accepted.
func TestSecondRequest(t *testing.T) {
	stack, s := start(t, transport())
	stack.CloudWatch.SetFaults(wire.Refuse(403, "AccessDenied").Once(operation, 2))
	data := random(rand.New(rand.NewPCG(4, 4)), 2500, 1)
	err := s.Put(t.Context(), data)
	if err == nil || !strings.Contains(err.Error(), "request 2 of 3") || stack.Calls.Counts()[operation] != 2 {
		t.Errorf("%v after %v", err, stack.Calls.Counts())
	}
	wantData(t, stack, data[:1000])
}

// TestReusedConnection: a connection that the service closed while it was
// idle must not cost data, nor count them twice.
func TestReusedConnection(t *testing.T) {
	stack, s := start(t, transport())
	for i := range 20 {
		if i%2 == 1 {
			stack.CloudWatch.SetFaults(wire.Fault{Kind: wire.FaultReset}.Once(operation, 1))
		} else {
			stack.CloudWatch.SetFaults(nil)
		}
		stack.Calls.Reset()
		err := s.Put(t.Context(), some())
		isUncertain := mayHaveArrived(err)
		if isUncertain != (i%2 == 1) || err != nil && !isUncertain || stack.Calls.Counts()[operation] != 1 {
			t.Errorf("%d: %v after %v", i, err, stack.Calls.Counts())
		}
	}
	for _, p := range stack.CloudWatch.Points() {
		if p.Name == metric.ObjectsProcessed && p.Samples != 10 {
			t.Errorf("%v of 10", p.Samples)
		}
	}
}
