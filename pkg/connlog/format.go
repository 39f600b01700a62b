package connlog

import (
	"bytes"
	"slices"
	"strings"

	"tlswatch/pkg/connlog/internal/jsonline"
	"tlswatch/pkg/connlog/internal/scan"
	"tlswatch/pkg/logkey"
)

// A FormatError says that a stream is not a log that a [Reader] reads, and what it
// is instead. It ends the stream. Reading it again does not help.
type FormatError struct {
	Format string // what the stream is, such as logkey.AccessLog
	hint   string // what to do about it; may be empty
}

func (e *FormatError) Error() string { return "cannot be read: " + e.Reason() }

// Reason says what the stream is and what to do.
func (e *FormatError) Reason() string {
	if e.hint == "" {
		return e.Format
	}
	return e.Format + "; " + e.hint
}

// What a stream may be, besides the logs that package logkey names.
const (
	notCloudFront     = "access log of CloudFront"
	notCloudFrontConn = "connection log of CloudFront"
	notWAF            = "log of AWS WAF"
	notFlowLog        = "VPC flow log"
	notCloudTrail     = "CloudTrail log"
	notS3Log          = "access log of Amazon S3"
	notResolver       = "query log of Route 53 Resolver"
	notFields         = "text with named fields, none of them about TLS connections"
	notJSON           = "JSON without fields about TLS connections"
	notMarkup         = "XML or HTML document"
	notParquet        = "Apache Parquet file"
)

// magics are the first bytes of files without lines.
var magics = []struct {
	magic string
	is    FormatError
}{
	{"PAR1", FormatError{notParquet, "choose json, plain or w3c as the output format of the log delivery"}},
	{"ORC", FormatError{"Apache ORC file", ""}},
	{"PK\x03\x04", FormatError{"ZIP archive", "unpack it first"}},
	{"\x28\xb5\x2f\xfd", FormatError{"zstd-compressed file", "decompress it first"}},
	{"\xfd7zXZ\x00", FormatError{"xz-compressed file", "decompress it first"}},
	{"BZh", FormatError{"bzip2-compressed file", "decompress it first"}},
	{"<?xml", FormatError{notMarkup, "it may be the error page of a failed download"}},
	{"<html", FormatError{notMarkup, "it may be the error page of a failed download"}},
	{"<!DOCTYPE", FormatError{notMarkup, "it may be the error page of a failed download"}},
	{"Enable AccessLog for ELB", FormatError{logkey.TestFile, ""}},
	{"Enable ConnectionLog for ELB", FormatError{logkey.TestFile, ""}},
}

// FormatConnectionLog is the [Reader.Format] of a log that Elastic Load Balancing
// delivered.
const FormatConnectionLog = "connection log of an Application Load Balancer"

// Format returns the format of the stream: FormatConnectionLog or, for instance,
// "connection log of an Application Load Balancer, JSON". It is "" until a line has
// shown it.
func (z *Reader) Format() string {
	switch {
	case z.native:
		return connectionLog.name
	case z.other != nil && z.other.kind != nil:
		return z.other.kind.name + ", " + z.other.form()
	}
	return ""
}

// maxUnknown is the number of lines to detect the format by. If none of them shows
// it, only a line of Parser's format does.
const maxUnknown = 1000

// readOther is [Reader.Read] for a line whose format is not known yet, or is not
// Parser's. It reports whether to skip the line, because it is not an entry.
func (z *Reader) readOther(text []byte, e *Entry) (pass bool, err error) {
	if z.other == nil && z.unknown < maxUnknown {
		var refused *FormatError
		if z.native, z.other, refused = detect(text); refused != nil && z.unknown == 0 {
			return false, z.refuse(refused)
		}
		z.unknown++
		if z.other != nil {
			z.other.parser = &z.parser
		}
	}
	var pe *ParseError
	switch {
	case len(text) > MaxLineBytes:
		pe = parseError("", text, errLineTooLong)
	case z.other == nil:
		pe = z.parser.parse(text, 0, e)
		z.native = z.native || pe == nil
	case z.other.directive(text):
		if z.other.refused != nil {
			return false, z.refuse(z.other.refused)
		}
		return true, nil
	default:
		pe = z.other.parse(text, e)
	}
	if pe != nil {
		pe.Line = z.line
		return false, pe
	}
	return false, nil
}

// refuse ends the stream.
func (z *Reader) refuse(why *FormatError) error {
	z.refused, z.err = why, why
	z.text = nil
	z.close()
	return why
}

// detect detects the format by one line: Parser's, another one or, which counts only
// for the first line, one to refuse. It may find none of these.
func detect(line []byte) (native bool, other *lines, refused *FormatError) {
	for _, m := range magics {
		if bytes.HasPrefix(line, []byte(m.magic)) {
			return false, nil, &m.is
		}
	}
	switch {
	case line[0] == '{':
		other, refused = detectJSON(line)
		return false, other, refused
	case line[0] == '#':
		return false, &lines{w3c: true}, nil
	}
	if n := timeLen(line); n > 0 {
		return detectTimed(line, n)
	}
	if rest, ok := bytes.CutPrefix(line, []byte("tls")); ok && len(rest) > 0 {
		// The version follows: "tls 2.0".
		if n := bytes.IndexAny(rest, "0123456789"); n > 0 && n <= maxDelimiter {
			return false, &lines{kind: tlsLog, columns: tlsLog.order(), delimiter: bytes.Clone(rest[:n])}, nil
		}
	}
	if names := nameList(line); len(names) > 1 {
		if kind := kindOf(names); kind != nil {
			l := new(lines)
			l.header(line)
			return false, l, nil
		}
	}
	return false, nil, detectForeign(line)
}

// timeLen returns the length of the time stamp at the start of the line, or 0.
func timeLen(line []byte) int {
	n := bytes.IndexByte(line[:min(len(line), 40)], 'Z') + 1
	if _, ok := scan.Time(line[:n]); !ok {
		return 0
	}
	return n
}

// detectTimed is detect for a line that begins with a time stamp of n bytes.
func detectTimed(line []byte, n int) (native bool, other *lines, refused *FormatError) {
	rest := line[n:]
	size := bytes.IndexFunc(rest, func(r rune) bool { return r == '-' || r == '[' || r == '"' || isAlphanumeric(r) })
	if size <= 0 || size > maxDelimiter {
		return false, nil, nil
	}
	delimiter := rest[:size]
	second, rest, _ := bytes.Cut(rest[size:], delimiter)
	second = bytes.Trim(second, `"`)
	if _, ok := scan.Addr(second); ok || string(second) == "-" {
		if string(delimiter) == " " {
			return true, nil, nil
		}
		return false, &lines{kind: connectionLog, columns: connectionLog.order(), delimiter: bytes.Clone(delimiter)}, nil
	}
	third, _, _ := bytes.Cut(rest, delimiter)
	if host, _, ok := cutEndpoint(third); ok {
		if _, ok := scan.Addr(host); ok { // 2015-05-13T23:39:43.945958Z my-loadbalancer 192.168.131.39:2817
			return false, nil, &FormatError{Format: logkey.ClassicLog}
		}
	}
	return false, nil, nil
}

func isAlphanumeric(r rune) bool {
	return '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z'
}

// detectJSON is detect for a line that begins like a JSON object.
func detectJSON(line []byte) (*lines, *FormatError) {
	var names []string
	o := jsonline.New(line, nil)
	for o.Next() {
		names = append(names, strings.ToLower(string(o.Name)))
	}
	if o.Invalid() {
		return nil, nil // the next line may show more
	}
	kind := kindOf(names)
	if kind == nil {
		return nil, foreign(names, notJSON)
	}
	return &lines{kind: kind, json: true}, nil
}

// foreigners are the logs that field names reveal: each by a name that only it has.
var foreigners = []struct{ name, format string }{
	{"ssl_protocol", logkey.AccessLog},
	{"request_line", logkey.AccessLog},
	{"elb_status_code", logkey.AccessLog},
	{"target_port_list", logkey.AccessLog},
	{"health_check_status", logkey.HealthCheckLog},
	{"failure_reason", logkey.HealthCheckLog},
	{"x-edge-location", notCloudFront},
	{"cs-method", notCloudFront},
	{"x-edge-request-id", notCloudFront},
	{"connectionstatus", notCloudFrontConn},
	{"webaclid", notWAF},
	{"interface-id", notFlowLog},
	{"interface_id", notFlowLog},
	{"flow-direction", notFlowLog},
	{"flow_direction", notFlowLog},
	{"srcaddr", notFlowLog},
	{"records", notCloudTrail},
	{"eventversion", notCloudTrail},
	{"query_name", notResolver},
}

// foreign returns the log that has fields of these names.
func foreign(names []string, otherwise string) *FormatError {
	if slices.Contains(names, "query_name") {
		return &FormatError{Format: notResolver}
	}
	for _, f := range foreigners {
		if slices.Contains(names, f.name) {
			return &FormatError{Format: f.format}
		}
	}
	return &FormatError{Format: otherwise}
}

// detectForeign detects logs without field names, and those with a header line.
func detectForeign(line []byte) *FormatError {
	word := func() (w []byte) {
		w, line, _ = bytes.Cut(line, []byte(" "))
		return w
	}
	whole := line
	first, second, third := word(), word(), word()
	switch string(first) {
	case "http", "https", "h2", "grpcs", "ws", "wss":
		if _, ok := scan.Time(second); !ok {
			return nil
		}
		if bytes.HasPrefix(third, []byte("app/")) {
			return &FormatError{Format: logkey.AccessLog}
		}
		return &FormatError{Format: logkey.HealthCheckLog}
	case "2", "3", "4", "5", "6", "7", "8":
		if len(second) == 12 && consists(second, digits) && bytes.HasPrefix(third, []byte("eni-")) {
			return &FormatError{Format: notFlowLog}
		}
	}
	if len(first) == 64 && consists(first, digits+"abcdef") && bytes.HasPrefix(third, []byte("[")) {
		return &FormatError{Format: notS3Log}
	}
	if names := nameList(whole); slices.Contains(names, "srcaddr") || slices.Contains(names, "interface-id") {
		return &FormatError{Format: notFlowLog}
	}
	return nil
}

const digits = "0123456789"

// consists reports whether b consists of characters of the set.
func consists(b []byte, set string) bool { return len(bytes.Trim(b, set)) == 0 }
