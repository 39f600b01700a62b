package wire

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"math"
	"net/http"
	"time"
)

// A Datum is one metric of one point in time, as it was published.
type Datum struct {
	Name string
	Dims map[string]string
	Time time.Time
	Sum
}

// A Sum is what CloudWatch makes of samples.
type Sum struct{ Total, Samples float64 }

// Plus adds two sums.
func (s Sum) Plus(t Sum) Sum { return Sum{s.Total + t.Total, s.Samples + t.Samples} }

const putMetricData = "/service/GraniteServiceVersion20100801/operation/PutMetricData"

// MetricData takes the data out of a request to CloudWatch to put them, in the
// RPC v2 protocol with CBOR.
//
// https://smithy.io/2.0/additional-specs/protocols/smithy-rpc-v2.html
func MetricData(r *http.Request, path string, body []byte, namespace string) ([]Datum, error) {
	if path != putMetricData || r.Header.Get("Smithy-Protocol") != "rpc-v2-cbor" {
		return nil, fmt.Errorf("CloudWatch: %s %s in protocol %q", r.Method, path, r.Header.Get("Smithy-Protocol"))
	}
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, fmt.Errorf("CloudWatch: %w", err)
		}
		if body, err = io.ReadAll(z); err != nil {
			return nil, fmt.Errorf("CloudWatch: %w", err)
		}
	}
	request, err := decodeCBOR(body)
	if err != nil {
		return nil, fmt.Errorf("CloudWatch: %w", err)
	}
	data, err := readData(request, namespace)
	if err != nil {
		return nil, fmt.Errorf("CloudWatch: %w", err)
	}
	return data, nil
}

// MetricDataReply is CloudWatch's answer.
var MetricDataReply = Reply{200, http.Header{"Smithy-Protocol": {"rpc-v2-cbor"}, "Content-Type": {"application/cbor"}}, []byte{0xa0}}

// readData reads MetricData and holds it against CloudWatch's limits.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
func readData(request any, namespace string) ([]Datum, error) {
	fields, _ := request.(map[string]any)
	list, _ := fields["MetricData"].([]any)
	if fields["Namespace"] != namespace || len(list) == 0 || len(list) > 1000 {
		return nil, fmt.Errorf("%d data for the namespace %v", len(list), fields["Namespace"])
	}
	data := make([]Datum, len(list))
	for i := range list {
		var err error
		if data[i], err = readDatum(list[i]); err != nil {
			return nil, err
		}
	}
	return data, nil
}

func readDatum(v any) (Datum, error) {
	fields, _ := v.(map[string]any)
	name, _ := fields["MetricName"].(string)
	seconds, _ := fields["Timestamp"].(float64)
	d := Datum{Name: name, Dims: make(map[string]string), Time: time.UnixMilli(int64(math.Round(seconds * 1000))).UTC()}
	dims, _ := fields["Dimensions"].([]any)
	for _, v := range dims {
		dim, _ := v.(map[string]any)
		key, _ := dim["Name"].(string)
		value, _ := dim["Value"].(string)
		if key == "" || value == "" || d.Dims[key] != "" {
			return d, fmt.Errorf("%s: dimension %v", name, dim)
		}
		d.Dims[key] = value
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
		d.Total += value * count
		d.Samples += count
	}
	return d, nil
}
