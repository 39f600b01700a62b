// Package cloudwatch is a stand-in for Amazon CloudWatch metrics.
package cloudwatch

import (
	"bytes"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"tlswatch/internal/localaws/wire"
)

// Service is a stand-in for Amazon CloudWatch metrics: PutMetricData,
// GetMetricStatistics and ListMetrics in the smithy-rpc-v2-cbor protocol of
// the AWS SDKs and in awsJson1.0, which the aws CLI speaks. Data can be read
// back at once.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
type Service struct {
	*wire.Endpoint
	now func() time.Time

	mu     sync.Mutex
	points map[pointKey]*aggregate
}

// New returns a CloudWatch without metrics.
func New(c wire.Config) *Service {
	s := &Service{now: c.Now, points: make(map[pointKey]*aggregate)}
	s.Endpoint = wire.NewEndpoint(wire.Protocol{
		Service:   "cloudwatch",
		Operation: operation,
		Apply:     s.apply,
		Refuse:    writeError,
		Accesses:  accesses,
	}, c.Calls)
	return s
}

// How the two protocols name operations: in the path and in X-Amz-Target.
const (
	cborPath   = "/service/GraniteServiceVersion20100801/operation/"
	jsonTarget = "GraniteServiceVersion20100801."
)

// operation names the operation of a request, or returns "Unknown".
func operation(r *http.Request) string {
	name, ok := strings.CutPrefix(r.URL.Path, cborPath)
	if !ok {
		name, ok = strings.CutPrefix(r.Header.Get("X-Amz-Target"), jsonTarget)
	}
	switch name {
	case "PutMetricData", "GetMetricStatistics", "ListMetrics":
		if ok {
			return name
		}
	}
	return "Unknown"
}

// apply answers a request.
func (s *Service) apply(w http.ResponseWriter, r *http.Request) {
	name := operation(r)
	if name == "Unknown" || r.Method != http.MethodPost {
		writeError(w, r, wire.UnknownOperation())
		return
	}
	in, refusal := readMessage(r)
	if refusal != nil {
		writeError(w, r, refusal)
		return
	}
	var out message
	switch name {
	case "PutMetricData":
		refusal = s.putMetricData(in)
	case "GetMetricStatistics":
		out, refusal = s.getMetricStatistics(in)
	case "ListMetrics":
		out, refusal = s.listMetrics(in)
	}
	if refusal != nil {
		writeError(w, r, refusal)
		return
	}
	writeMessage(w, r, http.StatusOK, out)
}

// putMetricData stores all data of a request, or none of them.
func (s *Service) putMetricData(in message) *wire.Refusal {
	now := s.now()
	request, refusal := decodePutMetricData(in)
	if refusal == nil {
		refusal = request.check(now)
	}
	if refusal != nil {
		return refusal
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, d := range request.data {
		s.add(request.namespace, d, now)
	}
	return nil
}

func accesses(r *http.Request, operation string) []wire.Access {
	a := wire.Access{Action: "cloudwatch:" + operation, Resource: "*"}
	if operation == "PutMetricData" {
		clone := r.Clone(r.Context())
		clone.Body = io.NopCloser(bytes.NewReader(wire.PeekBody(r, 2*maxPutMetricDataBytes)))
		if in, refusal := readMessage(clone); refusal == nil {
			if namespace, ok := in["Namespace"].(string); ok {
				a.Context = map[string]string{"cloudwatch:namespace": namespace}
			}
		}
	}
	return []wire.Access{a}
}
