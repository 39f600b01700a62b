package localaws

import (
	"net/http"
	"strings"
	"sync"
	"time"
)

// CloudWatchOptions are the settings of [NewCloudWatch]. All may be left out.
type CloudWatchOptions struct {
	Now    func() time.Time // default time.Now
	Calls  *Calls           // default: counts of its own
	Faults FaultFunc        // default none
}

// CloudWatch is a stand-in for Amazon CloudWatch metrics: PutMetricData,
// GetMetricStatistics and ListMetrics in the smithy-rpc-v2-cbor protocol of
// the AWS SDKs and in awsJson1.0, which the aws CLI speaks. Data can be read
// back at once.
//
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
type CloudWatch struct {
	endpoint
	now func() time.Time

	mu     sync.Mutex
	points map[pointKey]*aggregate
}

// NewCloudWatch returns a CloudWatch without metrics.
func NewCloudWatch(o CloudWatchOptions) *CloudWatch {
	c := &CloudWatch{now: o.Now, points: make(map[pointKey]*aggregate)}
	if c.now == nil {
		c.now = time.Now
	}
	c.endpoint = endpoint{
		service:   "cloudwatch",
		operation: cloudWatchOperation,
		apply:     c.apply,
		refuse:    writeCloudWatchError,
		accesses:  cloudWatchAccesses,
		calls:     o.Calls,
		faults:    o.Faults,
	}
	if c.calls == nil {
		c.calls = new(Calls)
	}
	return c
}

// The names under which both protocols address operations.
const (
	cloudWatchPath   = "/service/GraniteServiceVersion20100801/operation/"
	cloudWatchTarget = "GraniteServiceVersion20100801."
)

// cloudWatchOperation names the operation of a request, or returns "Unknown".
func cloudWatchOperation(r *http.Request) string {
	name, ok := strings.CutPrefix(r.URL.Path, cloudWatchPath)
	if !ok {
		name, ok = strings.CutPrefix(r.Header.Get("X-Amz-Target"), cloudWatchTarget)
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
func (c *CloudWatch) apply(w http.ResponseWriter, r *http.Request) {
	operation := cloudWatchOperation(r)
	if operation == "Unknown" || r.Method != http.MethodPost {
		writeCloudWatchError(w, r, &apiError{http.StatusNotFound, "UnknownOperationException", "The operation is not known to this stand-in."})
		return
	}
	in, refusal := readMessage(r)
	if refusal != nil {
		writeCloudWatchError(w, r, refusal)
		return
	}
	var out message
	switch operation {
	case "PutMetricData":
		refusal = c.putMetricData(in)
	case "GetMetricStatistics":
		out, refusal = c.getMetricStatistics(in)
	case "ListMetrics":
		out, refusal = c.listMetrics(in)
	}
	if refusal != nil {
		writeCloudWatchError(w, r, refusal)
		return
	}
	writeMessage(w, r, http.StatusOK, out)
}

// putMetricData stores all data of a request, or none.
func (c *CloudWatch) putMetricData(in message) *apiError {
	now := c.now()
	request, refusal := decodePutMetricData(in)
	if refusal == nil {
		refusal = request.check(now)
	}
	if refusal != nil {
		return refusal
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, d := range request.data {
		c.add(request.namespace, d, now)
	}
	return nil
}
