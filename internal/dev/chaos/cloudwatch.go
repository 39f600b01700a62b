package main

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A datum is one metric of one point in time, as it was published.
type datum struct {
	name   string
	dims   map[string]string
	time   time.Time
	sum    sum
	values []float64
}

// A publication is a request that CloudWatch accepted.
type publication struct {
	by      string // the attempt
	data    []datum
	objects []*logObject
}

// sumOf adds up a metric without dimensions.
func (p *publication) sumOf(name string) float64 {
	total := 0.0
	for _, d := range p.data {
		if d.name == name && len(d.dims) == 0 {
			total += d.sum.total
		}
	}
	return total
}

const putMetricData = "/service/GraniteServiceVersion20100801/operation/PutMetricData"

// cloudWatch reads a request in the RPC v2 protocol with CBOR.
//
// https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
func (w *world) cloudWatch(r *http.Request, path string, body []byte, by string) (call, error) {
	c := call{service: "cloudwatch", operation: "PutMetricData"}
	if path != putMetricData || r.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" {
		return c, fmt.Errorf("CloudWatch: %s %s in protocol %q", r.Method, path, r.Header.Get("Smithy-Protocol"))
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return c, fmt.Errorf("CloudWatch: %w", err)
		}
		if body, err = io.ReadAll(z); err != nil {
			return c, fmt.Errorf("CloudWatch: %w", err)
		}
	}
	request, err := decodeCBOR(body)
	if err != nil {
		return c, fmt.Errorf("CloudWatch: %w", err)
	}
	p := &publication{by: by}
	if p.data, err = readData(request); err != nil {
		return c, fmt.Errorf("CloudWatch: %w", err)
	}
	var names []string
	for _, o := range w.objects {
		if slices.ContainsFunc(p.data, o.owns) {
			p.objects = append(p.objects, o)
			names = append(names, w.name(o))
		}
	}
	c.about = strings.Join(names, " ")
	c.apply = func() reply {
		w.publications = append(w.publications, p)
		return reply{200, http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}, "Content-Type": {"application/cbor"}}, []byte{0xa0}}
	}
	return c, nil
}

// readData reads MetricData and holds it against CloudWatch's limits.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
func readData(request any) ([]datum, error) {
	fields, _ := request.(map[string]any)
	list, _ := fields["MetricData"].([]any)
	if fields["Namespace"] != "tlswatch" || len(list) == 0 || len(list) > 1000 {
		return nil, fmt.Errorf("%d data for the namespace %v", len(list), fields["Namespace"])
	}
	data := make([]datum, len(list))
	for i := range list {
		var err error
		if data[i], err = readDatum(list[i]); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func readDatum(v any) (datum, error) {
	fields, _ := v.(map[string]any)
	name, _ := fields["MetricName"].(string)
	seconds, _ := fields["Timestamp"].(float64)
	d := datum{name: name, dims: make(map[string]string), time: time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()}
	dims, _ := fields["Dimensions"].([]any)
	for _, v := range dims {
		dim, _ := v.(map[string]any)
		key, _ := dim["Name"].(string)
		value, _ := dim["Value"].(string)
		if key == "" || value == "" || d.dims[key] != "" {
			return d, fmt.Errorf("%s: dimension %v", name, dim)
		}
		d.dims[key] = value
	}
	values, _ := fields["Values"].([]any)
	counts, _ := fields["Counts"].([]any)
	if len(counts) == 0 {
		for range values {
			counts = append(counts, 1.0)
		}
	}
	if name == "" || len(values) == 0 || len(values) > 150 || len(counts) != len(values) {
		return d, fmt.Errorf("%q: %d values, %d counts", name, len(values), len(counts))
	}
	for i := range values {
		value, _ := values[i].(float64)
		count, _ := counts[i].(float64)
		d.values = append(d.values, value)
		d.sum.total += value * count
		d.sum.samples += count
	}
	return d, nil
}

// owns reports whether a datum is of an object.
func (o *logObject) owns(d datum) bool {
	return d.dims["LoadBalancer"] == o.lb && d.time.Equal(o.minute)
}
