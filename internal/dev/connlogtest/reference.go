package connlogtest

import (
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	field        = regexp.MustCompile(`^(?s:"(?:[^"\\]|\\.)*"|[^" ][^ ]*)`)
	instant      = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$`)
	port         = regexp.MustCompile(`^\d{1,5}$`)
	seconds      = regexp.MustCompile(`^0*(\d{1,9}|1000000000)(\.\d+)?$`)
	validity     = regexp.MustCompile(`(?s)^NotBefore=.*;NotAfter=`)
	serial       = regexp.MustCompile(`^-?[0-9A-Fa-f]+$`)
	arn          = regexp.MustCompile(`^arn:(?s:.*?):loadbalancer/`)
	loadBalancer = regexp.MustCompile(`^(app|net)/[A-Za-z0-9-]{1,32}/[a-z0-9]{1,32}$`)
)

// Reference returns the 11 to 15 fields of a line, without quotes, or nil for an
// invalid line. A field "-" is returned as "". It is written to be obviously right.
func Reference(line string) []string {
	var fields []string
	rest := line
	for rest != "" && len(fields) < 15 {
		f := field.FindString(rest)
		if f == "" {
			return nil // an empty field, or an unterminated quote
		}
		rest = rest[len(f):]
		if rest != "" && rest[0] != ' ' {
			return nil // text right after a closing quote
		}
		rest = strings.TrimPrefix(rest, " ")
		if f[0] == '"' {
			f = f[1 : len(f)-1]
		} else if strings.Contains(f, `"`) && len(fields) != 11 { // a trace ID is anything
			return nil
		}
		if f == "-" {
			f = ""
		}
		if len(fields) == 13 {
			f = arn.ReplaceAllString(f, "")
		}
		fields = append(fields, f)
		if len(fields) == 9 && secondValidity.MatchString(rest) {
			return nil // the fields are shifted
		}
	}
	if len(fields) < 11 || !valid(fields) {
		return nil
	}
	for i, form := range map[int]*regexp.Regexp{8: validity, 9: serial} {
		if !form.MatchString(fields[i]) {
			fields[i] = "" // not needed to count the connection
		}
	}
	return fields
}

// valid reports whether the values of a line's fields are valid.
func valid(fields []string) bool {
	if _, err := time.Parse(time.RFC3339, fields[0]); err != nil || !instant.MatchString(fields[0]) {
		return false
	}
	if client := fields[1]; client != "" && !isAddr(client) {
		return false
	}
	for _, p := range fields[2:4] {
		if _, err := strconv.ParseUint(p, 10, 16); p != "" && (err != nil || !port.MatchString(p)) {
			return false
		}
	}
	for i, form := range map[int]*regexp.Regexp{6: seconds, 13: loadBalancer} {
		if i < len(fields) && fields[i] != "" && !form.MatchString(fields[i]) {
			return false
		}
	}
	return true
}

var secondValidity = regexp.MustCompile(`(^| )NotBefore=`)

// isAddr reports whether s is an IP address without a zone. An IPv6 address may be in
// brackets.
func isAddr(s string) bool {
	inner, ok := strings.CutPrefix(s, "[")
	if ok {
		inner, ok = strings.CutSuffix(inner, "]")
	}
	if !ok {
		inner = s
	}
	a, err := netip.ParseAddr(inner)
	return err == nil && a.Zone() == "" && (!ok || a.Is6())
}
