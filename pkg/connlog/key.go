package connlog

import (
	"fmt"
	"strings"
	"time"
)

// Period is the time that one log object covers: each load-balancer node
// delivers an object every five minutes.
const Period = 5 * time.Minute

// An ObjectKey is the S3 key of a connection-log object, taken apart.
//
// Only the base name is looked at: any prefix may stand before it, the date in
// the path is that of the delivery, and one directory also holds access and
// health-check logs.
type ObjectKey struct {
	Account      string    // AWS account of the load balancer, 12 digits
	Region       string    // such as "eu-west-2" or "us-gov-west-1"
	LoadBalancer string    // "app/NAME/ID", as in the elb field and in CloudWatch's LoadBalancer dimension
	PeriodEnd    time.Time // end of the Period that the object covers, UTC
	Node         string    // IP address of the node as in the key, where octets may be zero-padded
	Random       string    // tells objects of the same node and period apart
}

// LoadBalancerARN returns the Amazon Resource Name of the load balancer.
func (k ObjectKey) LoadBalancerARN() string {
	return fmt.Sprintf("arn:%s:elasticloadbalancing:%s:%s:loadbalancer/%s", Partition(k.Region), k.Region, k.Account, k.LoadBalancer)
}

// Partition returns the AWS partition that a region belongs to, as the second
// element of an ARN has it.
func Partition(region string) string {
	for _, p := range []struct{ prefix, partition string }{
		{"cn-", "aws-cn"},
		{"us-gov-", "aws-us-gov"},
		{"us-isob-", "aws-iso-b"},
		{"us-isof-", "aws-iso-f"},
		{"us-iso-", "aws-iso"},
		{"eu-isoe-", "aws-iso-e"},
		{"eusc-", "aws-eusc"},
	} {
		if strings.HasPrefix(region, p.prefix) {
			return p.partition
		}
	}
	return "aws"
}

// A KeyError says why an object is not a connection log. Such an object is no
// fault: it shares the bucket and is to be passed over.
type KeyError struct {
	Key    string
	Reason string // what the object is instead; see the Not constants
}

// Reasons of a KeyError, for logs and for counting.
const (
	NotTestFile       = "test file that Elastic Load Balancing writes when logging is enabled"
	NotAccessLog      = "access log of an Application Load Balancer"
	NotHealthCheckLog = "health-check log of an Application Load Balancer"
	NotNLBLog         = "access log of a Network Load Balancer"
	NotClassicLog     = "access log of a Classic Load Balancer"
	NotELBLog         = "not a log of Elastic Load Balancing"
	NotKeyForm        = "named like a connection log, but not of its form"
)

func (e *KeyError) Error() string {
	return fmt.Sprintf("object key %q: %s", e.Key, e.Reason)
}

// ParseObjectKey takes the decoded key of a connection-log object apart. The
// error is a *[KeyError].
//
// Source: the section "Connection log files" of the AWS page that the package
// comment names. The underscore after conn_log is what is delivered; older
// revisions of that page show a full stop.
func ParseObjectKey(key string) (ObjectKey, error) {
	base := key[strings.LastIndexByte(key, '/')+1:]
	if rest, ok := strings.CutPrefix(base, "conn_log"); ok {
		if k, ok := parseConnLogName(rest); ok {
			return k, nil
		}
		return ObjectKey{}, &KeyError{Key: key, Reason: NotKeyForm}
	}
	return ObjectKey{}, &KeyError{Key: key, Reason: otherLog(base)}
}

// parseConnLogName parses what follows "conn_log" in a base name:
//
//	_ACCOUNT_elasticloadbalancing_REGION_app.NAME.ID_END_NODE_RANDOM.log.gz
//
// None of the parts holds an underscore.
func parseConnLogName(s string) (k ObjectKey, ok bool) {
	if s == "" || s[0] != '_' && s[0] != '.' {
		return k, false
	}
	s, ok = strings.CutSuffix(strings.TrimSuffix(s[1:], ".gz"), ".log")
	parts := strings.Split(s, "_")
	if !ok || len(parts) != 7 || parts[1] != "elasticloadbalancing" {
		return k, false
	}
	kind, id, _ := strings.Cut(parts[3], ".")
	name, id, _ := strings.Cut(id, ".")
	end, err := time.Parse("20060102T1504Z", parts[4])
	k = ObjectKey{
		Account:      parts[0],
		Region:       parts[2],
		LoadBalancer: kind + "/" + name + "/" + id,
		PeriodEnd:    end,
		Node:         parts[5],
		Random:       parts[6],
	}
	ok = err == nil && kind == "app" && len(k.Account) == 12 &&
		only(k.Account, digits) && only(k.Region, lower+digits+"-") &&
		only(name, lower+upper+digits+"-") && only(id, lower+digits) &&
		only(k.Node, digits+"abcdefABCDEF.:") && only(k.Random, lower+upper+digits)
	return k, ok
}

const (
	digits = "0123456789"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// only reports whether s has at least one character, and all are of the set.
func only(s, set string) bool {
	return s != "" && strings.Trim(s, set) == ""
}

// otherLog tells what an object is by its base name, where that is not the
// name of a connection log.
func otherLog(base string) string {
	switch base {
	case "ELBConnectionLogTestFile", "ELBAccessLogTestFile", "ELBHealthCheckLogTestFile":
		return NotTestFile
	}
	if strings.HasPrefix(base, "health_check_log") {
		return NotHealthCheckLog
	}
	parts := strings.SplitN(base, "_", 4)
	if len(parts) < 4 || len(parts[0]) != 12 || !only(parts[0], digits) || parts[1] != "elasticloadbalancing" {
		return NotELBLog
	}
	switch kind, _, _ := strings.Cut(parts[3], "."); kind {
	case "app":
		return NotAccessLog
	case "net":
		return NotNLBLog
	}
	return NotClassicLog
}
