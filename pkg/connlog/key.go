package connlog

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Period is the time that one log object covers: each load-balancer node
// delivers an object every five minutes.
const Period = 5 * time.Minute

// An ObjectKey is the S3 key of a log object, taken apart.
//
// Elastic Load Balancing says everything in the base name: any prefix may stand
// before it, the date in the path is that of the delivery, and one directory
// also holds access and health-check logs. CloudWatch, which delivers vended
// logs, says in the path what it says at all. What the key does not say is zero,
// and for the log's entries to tell.
type ObjectKey struct {
	Account      string    // AWS account of the load balancer, 12 digits
	Region       string    // such as "eu-west-2" or "us-gov-west-1"
	LoadBalancer string    // "app/NAME/ID" or "net/NAME/ID", as in the elb field and in CloudWatch's LoadBalancer dimension
	PeriodEnd    time.Time // end of the Period that the object covers, UTC

	// Delivered is the start of the day or hour of delivery, UTC, where there
	// is no PeriodEnd.
	Delivered time.Time
	Hourly    bool // it is that of an hour
}

// Ends returns bounds of the end of the period that the object covers.
func (k ObjectKey) Ends() (earliest, latest time.Time) {
	switch {
	case !k.PeriodEnd.IsZero():
		return k.PeriodEnd, k.PeriodEnd
	case k.Hourly:
		return k.Delivered, k.Delivered.Add(time.Hour)
	}
	return k.Delivered, k.Delivered.Add(24 * time.Hour)
}

// ErrMixed is found in the error for an object of several load balancers.
var ErrMixed = errors.New("log object has entries of several load balancers")

// Learn takes the load balancer from an entry, if the key does not name it. It
// is to be called with every entry of the object: another load balancer is an
// error.
func (k *ObjectKey) Learn(e *Entry) error {
	switch {
	case e.LoadBalancer == k.LoadBalancer || e.LoadBalancer == "":
	case k.LoadBalancer == "":
		k.LoadBalancer = e.LoadBalancer
	default:
		return fmt.Errorf("%w: %s, %s", ErrMixed, k.LoadBalancer, e.LoadBalancer)
	}
	return nil
}

// LearnPeriod takes the period from the time of the newest entry, zero if there
// is none, if the key does not name it. It never ends after the time of the
// delivery.
func (k *ObjectKey) LearnPeriod(newest time.Time) {
	if !k.PeriodEnd.IsZero() {
		return
	}
	earliest, latest := k.Ends()
	if newest.IsZero() {
		newest = earliest
	}
	k.PeriodEnd = newest.Truncate(Period).Add(Period)
	if k.PeriodEnd.After(latest) {
		k.PeriodEnd = latest
	}
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

// A KeyError says why an object is not a log of TLS connections. Such an object
// is no fault: it shares the bucket and is to be passed over.
type KeyError struct {
	Key    string
	Reason string // what the object is instead; see the Not constants
}

// Reasons of a KeyError, for logs and for counting.
const (
	NotTestFile       = "test file that Elastic Load Balancing writes when logging is enabled"
	NotAccessLog      = "access log of an Application Load Balancer"
	NotHealthCheckLog = "health-check log of an Application Load Balancer"
	NotClassicLog     = "access log of a Classic Load Balancer"
	NotELBLog         = "not a log of Elastic Load Balancing"
	NotKeyForm        = "named like a connection log, but not of its form"
	NotParquet        = "Apache Parquet file: choose json, plain or w3c as the output format of the log delivery"
	NotDelivery       = "delivery of another service"
)

func (e *KeyError) Error() string {
	return fmt.Sprintf("object key %q: %s", e.Key, e.Reason)
}

// ParseObjectKey takes the decoded key of a log object apart. The error is a
// *[KeyError].
//
// Sources: the sections "Connection log files" and "Access log files" of the
// AWS pages on these logs. The underscore after conn_log is what is delivered;
// older revisions show a full stop. For vended logs,
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-infrastructure-V2-S3.html
// has the paths; their base names are not documented.
func ParseObjectKey(key string) (ObjectKey, error) {
	dir, base := key[:strings.LastIndexByte(key, '/')+1], key[strings.LastIndexByte(key, '/')+1:]
	if rest, ok := strings.CutPrefix(base, "conn_log"); ok {
		if k, ok := parseConnLogName(rest); ok {
			return k, nil
		}
		return ObjectKey{}, &KeyError{Key: key, Reason: NotKeyForm}
	}
	reason := otherLog(base)
	switch reason {
	case notOther:
		if k, ok := parseTLSLogName(base); ok {
			return k, nil
		}
		reason = NotKeyForm
	case NotELBLog:
		var k ObjectKey
		if k, reason = parseDelivery(dir, base); reason == "" {
			return k, nil
		}
	}
	return ObjectKey{}, &KeyError{Key: key, Reason: reason}
}

// parseConnLogName parses what follows "conn_log" in a base name:
//
//	_ACCOUNT_elasticloadbalancing_REGION_app.NAME.ID_END_NODE_RANDOM.log.gz
func parseConnLogName(s string) (k ObjectKey, ok bool) {
	if s == "" || s[0] != '_' && s[0] != '.' {
		return k, false
	}
	parts, ok := nameParts(s[1:])
	if !ok || len(parts) != 7 {
		return k, false
	}
	k, ok = parseParts(parts, "app")
	return k, ok && only(parts[5], digits+"abcdefABCDEF.:")
}

// parseTLSLogName parses the base name of a TLS log:
//
//	ACCOUNT_elasticloadbalancing_REGION_net.NAME.ID_END_RANDOM.log.gz
func parseTLSLogName(base string) (k ObjectKey, ok bool) {
	parts, ok := nameParts(base)
	if !ok || len(parts) != 6 {
		return k, false
	}
	return parseParts(parts, "net")
}

// nameParts splits a base name, none of whose parts holds an underscore.
func nameParts(base string) (parts []string, ok bool) {
	base, ok = strings.CutSuffix(strings.TrimSuffix(base, ".gz"), ".log")
	return strings.Split(base, "_"), ok
}

// parseParts parses the parts that all names have.
func parseParts(parts []string, kind string) (k ObjectKey, ok bool) {
	lb, ok := parseResource(parts[3])
	end, err := time.Parse(endTime, parts[4])
	k = ObjectKey{
		Account:      parts[0],
		Region:       parts[2],
		LoadBalancer: lb,
		PeriodEnd:    end,
	}
	ok = ok && err == nil && strings.HasPrefix(lb, kind+"/") && parts[1] == "elasticloadbalancing" &&
		isAccount(k.Account) && isRegion(k.Region) && only(parts[len(parts)-1], lower+upper+digits)
	return k, ok
}

const endTime = "20060102T1504Z"

// parseResource returns the resource ID of a load balancer, in which keys have
// full stops for slashes.
func parseResource(s string) (id string, ok bool) {
	id = strings.Replace(s, ".", "/", 2)
	return id, isLoadBalancer([]byte(id))
}

// isLoadBalancer reports whether id is the resource ID of an Application or
// Network Load Balancer, app/NAME/ID or net/NAME/ID. It becomes part of object
// keys, metric dimensions and messages, so that a log must not choose it freely.
//
// Source of the name's form:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
// ID is 16 hexadecimal digits in every example.
func isLoadBalancer(id []byte) bool {
	const most = 32 // characters of a name; AWS states none for an ID
	if !bytes.HasPrefix(id, []byte("app/")) && !bytes.HasPrefix(id, []byte("net/")) {
		return false
	}
	name, rest, _ := bytes.Cut(id[len("app/"):], []byte("/"))
	return len(name) <= most && only(string(name), lower+upper+digits+"-") && len(rest) <= most && only(string(rest), lower+digits)
}

func isAccount(s string) bool { return len(s) == 12 && only(s, digits) }

// parseDelivery parses the key of an object that CloudWatch delivered, and
// returns why it is none. The documented paths are
//
//	AWSLogs/ACCOUNT/elasticloadbalancing/REGION/yyyy/MM/dd/
//	AWSLogs/aws-account-id=ACCOUNT/elasticloadbalancing/region=REGION/year=yyyy/month=MM/day=dd/
//	PREFIX/REGION/yyyy/MM/dd/
//
// and a delivery can be told to add the hour, and to have these parts in another
// order. There must be a region and a day. What a base name says of the load
// balancer and the period is taken where it is of the usual form.
func parseDelivery(dir, base string) (k ObjectKey, reason string) {
	var year, month, day, hour string
	var date []string // parts in a row that are numbers
	service, awsLogs := "", false
	for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		name, value, hive := strings.Cut(part, "=")
		number := only(part, digits)
		switch {
		case part == "AWSLogs":
			k, service, awsLogs = ObjectKey{}, "", true
		case hive && isAccount(value):
			k.Account = value
		case hive && isRegion(value):
			k.Region = value
		case hive && strings.HasSuffix(name, "service"):
			service = value
		case hive && name == "year":
			year = value
		case hive && name == "month":
			month = value
		case hive && name == "day":
			day = value
		case hive && name == "hour":
			hour = value
		case isAccount(part):
			k.Account = part
		case isRegion(part):
			k.Region = part
		case number && (len(part) == 4 && len(date) == 0 || len(part) == 2 && 0 < len(date) && len(date) < 4):
			date = append(date, part)
		case awsLogs && service == "" && !hive && k.Account != "":
			service = part
		}
	}
	if len(date) >= 3 {
		year, month, day = date[0], date[1], date[2]
		hour = strings.Join(date[3:], "")
	}
	if service != "" && service != "elasticloadbalancing" {
		return k, NotDelivery
	}
	var err error
	if k.Delivered, err = time.Parse("2006/01/02/15", year+"/"+month+"/"+day+"/"+cmp.Or(hour, "00")); err != nil || k.Region == "" {
		return ObjectKey{}, NotELBLog
	}
	k.Hourly = hour != ""
	if strings.HasSuffix(base, ".parquet") || strings.Contains(base, ".parquet.") {
		return ObjectKey{}, NotParquet
	}
	plain := strings.TrimSuffix(base, ".gz")
	if extension := plain[strings.LastIndexByte(plain, '.')+1:]; base == "" || plain == base && !slices.Contains(extensions, extension) {
		return ObjectKey{}, NotELBLog
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(plain, ".log"), "_") {
		if lb, ok := parseResource(part); ok {
			k.LoadBalancer = lb
		} else if end, err := time.Parse(endTime, part); err == nil {
			k.PeriodEnd, k.Delivered, k.Hourly = end, time.Time{}, false
		}
	}
	return k, ""
}

// extensions are those of uncompressed logs.
var extensions = []string{"log", "json", "jsonl", "txt", "csv", "tsv", "w3c"}

// isRegion reports whether s looks like the code of a region: at least two words
// and a number, as in "eu-west-2" and "us-gov-west-1".
func isRegion(s string) bool {
	const most = 32 // characters: twice the longest code
	words := strings.Split(s, "-")
	n := len(words) - 1
	return len(s) <= most && n >= 2 && len(words[0]) >= 2 && len(words[n]) == 1 && only(words[n], digits) &&
		!slices.ContainsFunc(words[:n], func(w string) bool { return !only(w, lower) })
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

// notOther is what otherLog says of the name of a TLS log.
const notOther = ""

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
	if len(parts) < 4 || !isAccount(parts[0]) || parts[1] != "elasticloadbalancing" {
		return NotELBLog
	}
	switch kind, _, _ := strings.Cut(parts[3], "."); kind {
	case "app":
		return NotAccessLog
	case "net":
		return notOther
	}
	return NotClassicLog
}

// LoadBalancerName is the name in app/NAME/ID, by which people know a load
// balancer. Whatever has another form is its own name.
func LoadBalancerName(lb string) string {
	if parts := strings.Split(lb, "/"); len(parts) == 3 {
		return parts[1]
	}
	return lb
}
