package logkey

import (
	"bytes"
	"cmp"
	"slices"
	"strings"
	"time"
)

// Parse reads the key of a log object, decoded. The error is an *[Error].
//
// Sources: the sections "Connection log files" and "Access log files" of the AWS
// pages on these logs. Objects have an underscore after conn_log, where older
// revisions of the page have a period. The paths of vended logs are in
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-infrastructure-V2-S3.html
// and their base names are not documented.
func Parse(key string) (Key, error) {
	dir, base := key[:strings.LastIndexByte(key, '/')+1], key[strings.LastIndexByte(key, '/')+1:]
	var k Key
	var ok bool
	reason := OtherForm
	switch rest, isConnLog := strings.CutPrefix(base, "conn_log"); {
	case isConnLog:
		k, ok = parseConnLogName(rest)
	default:
		switch reason = otherLog(base); reason {
		case tlsLog:
			k, ok = parseTLSLogName(base)
			reason = OtherForm
		case OtherObject:
			k, reason = parseDelivery(dir, base)
			ok = reason == ""
		}
	}
	if !ok {
		return Key{}, &Error{key, reason}
	}
	return k, nil
}

// tlsLog is what otherLog returns for the TLS log of a Network Load Balancer.
const tlsLog = ""

// otherLog returns what an object is by its base name, which is not that of a
// connection log.
func otherLog(base string) string {
	switch base {
	case "ELBConnectionLogTestFile", "ELBAccessLogTestFile", "ELBHealthCheckLogTestFile":
		return TestFile
	}
	if strings.HasPrefix(base, "health_check_log") {
		return HealthCheckLog
	}
	parts := strings.SplitN(base, "_", 4)
	if len(parts) < 4 || !isAccount(parts[0]) || parts[1] != service {
		return OtherObject
	}
	switch kind, _, _ := strings.Cut(parts[3], "."); kind {
	case "app":
		return AccessLog
	case "net":
		return tlsLog
	}
	return ClassicLog
}

// parseConnLogName parses what follows "conn_log" in a base name:
//
//	_ACCOUNT_elasticloadbalancing_REGION_app.NAME.ID_END_NODE_RANDOM.log.gz
//
// NODE is an IP address, whose octets may be padded with zeros.
func parseConnLogName(s string) (k Key, ok bool) {
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
func parseTLSLogName(base string) (k Key, ok bool) {
	parts, ok := nameParts(base)
	if !ok || len(parts) != 6 {
		return k, false
	}
	return parseParts(parts, "net")
}

// nameParts splits a base name. No part contains an underscore.
func nameParts(base string) (parts []string, ok bool) {
	base, ok = strings.CutSuffix(strings.TrimSuffix(base, ".gz"), ".log")
	return strings.Split(base, "_"), ok
}

// parseParts parses the parts that both kinds of names have.
func parseParts(parts []string, kind string) (k Key, ok bool) {
	lb, ok := parseResource(parts[3])
	end, err := time.Parse(endTime, parts[4])
	k = Key{
		Account:      parts[0],
		Region:       parts[2],
		LoadBalancer: lb,
		PeriodEnd:    end,
	}
	ok = ok && err == nil && strings.HasPrefix(lb, kind+"/") && parts[1] == service &&
		isAccount(k.Account) && isRegion(k.Region) && only(parts[len(parts)-1], lower+upper+digits)
	return k, ok
}

const (
	service = "elasticloadbalancing"
	endTime = "20060102T1504Z"
)

// A delivery is what the path of an object that CloudWatch delivered says.
type delivery struct {
	account, region, service string
	year, month, day, hour   string
	awsLogs                  bool     // "AWSLogs" was read
	date                     []string // consecutive parts that are numbers: year, month, day, hour
}

// parseDelivery parses the key of an object that CloudWatch delivered, or returns
// the reason why it is not one. The documented paths are
//
//	AWSLogs/ACCOUNT/elasticloadbalancing/REGION/yyyy/MM/dd/
//	AWSLogs/aws-account-id=ACCOUNT/elasticloadbalancing/region=REGION/year=yyyy/month=MM/day=dd/
//	PREFIX/REGION/yyyy/MM/dd/
//
// and a delivery can be set up to add the hour, and to order these parts
// differently. The Region and the day are required. If the base name has a load
// balancer and a period in their known forms, these count.
func parseDelivery(dir, base string) (k Key, reason string) {
	var d delivery
	for part := range strings.SplitSeq(strings.TrimSuffix(dir, "/"), "/") {
		if name, value, hive := strings.Cut(part, "="); hive {
			d.readHive(name, value)
		} else {
			d.read(part)
		}
	}
	if len(d.date) >= 3 {
		d.year, d.month, d.day = d.date[0], d.date[1], d.date[2]
		d.hour = strings.Join(d.date[3:], "")
	}
	if d.service != "" && d.service != service {
		return k, otherDelivery
	}
	delivered, err := time.Parse("2006/01/02/15", d.year+"/"+d.month+"/"+d.day+"/"+cmp.Or(d.hour, "00"))
	if err != nil || d.region == "" {
		return k, OtherObject
	}
	if strings.HasSuffix(base, ".parquet") || strings.Contains(base, ".parquet.") {
		return k, parquet
	}
	plain := strings.TrimSuffix(base, ".gz")
	if extension := plain[strings.LastIndexByte(plain, '.')+1:]; base == "" || plain == base && !slices.Contains(extensions, extension) {
		return k, OtherObject
	}
	k = Key{Account: d.account, Region: d.region, delivered: delivered, hourly: d.hour != ""}
	for part := range strings.SplitSeq(strings.TrimSuffix(plain, ".log"), "_") {
		if lb, ok := parseResource(part); ok {
			k.LoadBalancer = lb
		} else if end, err := time.Parse(endTime, part); err == nil {
			k.PeriodEnd, k.delivered, k.hourly = end, time.Time{}, false
		}
	}
	return k, ""
}

// read takes a part of the path.
func (d *delivery) read(part string) {
	year := len(part) == 4 && len(d.date) == 0
	other := len(part) == 2 && 0 < len(d.date) && len(d.date) < 4
	switch {
	case part == "AWSLogs": // what preceded it was a prefix
		d.account, d.region, d.service, d.awsLogs = "", "", "", true
	case isAccount(part):
		d.account = part
	case isRegion(part):
		d.region = part
	case only(part, digits) && (year || other):
		d.date = append(d.date, part)
	case d.awsLogs && d.service == "" && d.account != "":
		d.service = part
	}
}

// readHive takes a part of the path of the form NAME=VALUE, as Apache Hive names
// partitions.
func (d *delivery) readHive(name, value string) {
	switch {
	case isAccount(value):
		d.account = value
	case isRegion(value):
		d.region = value
	case strings.HasSuffix(name, "service"):
		d.service = value
	case name == "year":
		d.year = value
	case name == "month":
		d.month = value
	case name == "day":
		d.day = value
	case name == "hour":
		d.hour = value
	}
}

// extensions are those of uncompressed logs.
var extensions = []string{"log", "json", "jsonl", "txt", "csv", "tsv", "w3c"}

// parseResource returns the resource ID of a load balancer, whose slashes are
// periods in keys.
func parseResource(s string) (id string, ok bool) {
	id = strings.Replace(s, ".", "/", 2)
	return id, isLoadBalancer([]byte(id))
}

// maxIdentifier bounds names and IDs of load balancers, and Regions: a name has
// at most 32 characters, and all IDs and Regions seen are shorter.
const maxIdentifier = 32

// LoadBalancerID returns the resource ID of an Application or Network Load Balancer,
// app/NAME/ID or net/NAME/ID, from the ID or from the ARN, which ends in it. It becomes
// part of object keys, metric dimensions and messages, so a log must not choose it
// freely: anything else is not ok.
func LoadBalancerID(text []byte) (id []byte, ok bool) {
	if rest, isARN := bytes.CutPrefix(text, []byte("arn:")); isARN {
		_, text, _ = bytes.Cut(rest, []byte(":loadbalancer/"))
	}
	return text, isLoadBalancer(text)
}

// isLoadBalancer reports whether id has the form of a load balancer's resource ID.
//
// Source of the form of names:
// https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
// The ID has 16 hexadecimal digits in every example.
func isLoadBalancer(id []byte) bool {
	if !bytes.HasPrefix(id, []byte("app/")) && !bytes.HasPrefix(id, []byte("net/")) {
		return false
	}
	name, rest, _ := bytes.Cut(id[len("app/"):], []byte("/"))
	return len(name) <= maxIdentifier && only(string(name), lower+upper+digits+"-") && len(rest) <= maxIdentifier && only(string(rest), lower+digits)
}

func isAccount(s string) bool { return len(s) == 12 && only(s, digits) }

// isRegion reports whether s has the form of a Region's code: at least two words
// and a number, as in "eu-west-2" and "us-gov-west-1".
func isRegion(s string) bool {
	words := strings.Split(s, "-")
	n := len(words) - 1
	return len(s) <= maxIdentifier && n >= 2 && len(words[0]) >= 2 && len(words[n]) == 1 && only(words[n], digits) &&
		!slices.ContainsFunc(words[:n], func(w string) bool { return !only(w, lower) })
}

const (
	digits = "0123456789"
	lower  = "abcdefghijklmnopqrstuvwxyz"
	upper  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// only reports whether s is not empty and consists of characters of the set.
func only(s, set string) bool {
	return s != "" && strings.Trim(s, set) == ""
}
