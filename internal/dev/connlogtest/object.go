package connlogtest

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"time"
)

// An Object is a log object as a load balancer delivers it.
type Object struct {
	Key          string
	LoadBalancer string
	Lines        []string
}

// NewObject makes the object that a load balancer delivers to a bucket in a
// region for the five minutes that end at end. Options say what the log is
// like; its seed makes the key different from others.
func NewObject(region string, end time.Time, o Options) (Object, error) {
	o.Start = end.Add(-5 * time.Minute)
	o = o.withDefaults()
	var b strings.Builder
	if err := Write(&b, o); err != nil {
		return Object{}, err
	}
	return Object{
		Key:          ObjectKey(region, o.LoadBalancer, end, o.Node, fmt.Sprintf("%08x", o.Seed)) + ".gz",
		LoadBalancer: o.LoadBalancer,
		Lines:        strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n"),
	}, nil
}

// Gzip is the object's content as it is delivered.
func (o Object) Gzip() []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	for _, line := range o.Lines {
		fmt.Fprintln(z, line)
	}
	z.Close()
	return b.Bytes()
}

// ObjectKey is the key, below any prefix of the bucket's and without ".gz",
// under which a node delivers its log. The end of the key is random on AWS.
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
func ObjectKey(region, loadBalancer string, end time.Time, node, random string) string {
	return fmt.Sprintf("AWSLogs/123456789012/elasticloadbalancing/%s/%s/conn_log_123456789012_elasticloadbalancing_%s_%s_%s_%s_%s.log",
		region, end.Format("2006/01/02"), region, strings.ReplaceAll(loadBalancer, "/", "."), end.Format("20060102T1504Z"), node, random)
}
