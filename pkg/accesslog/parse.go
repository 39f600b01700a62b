// Package accesslog reads access logs of Application Load Balancers for what connection
// logs lack: the hosts, user agents and target groups of a client's requests. The two
// logs have the connection's trace id in common.
//
// An access log is many times larger than the connection log, since a connection has
// many requests. So a [Join] knows the wanted connections, and a [Reader] passes over
// other lines after a look at their trace id.
//
// Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-access-logs.html
package accesslog

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// A request is what an entry says about the client.
type request struct {
	traceID     []byte // conn_trace_id
	host        []byte // domain_name, the SNI; without one the host in the URL
	userAgent   []byte
	targetGroup []byte // the name in the ARN
}

// Numbers of fields, from 1 as in the documentation.
const (
	typeField        = 1
	requestField     = 13
	userAgentField   = 14
	targetGroupField = 17
	domainNameField  = 19
	traceIDField     = 30 // since May 2024
)

var (
	errType   = errors.New("not a type of request")
	errFields = errors.New("too few fields")
	errQuote  = errors.New("a quote without an end")
)

// parse parses a line. Fields behind the trace id, and those that AWS adds later, do not
// matter.
func parse(line []byte) (r request, err error) {
	rest := line
	var url []byte
	for n := 1; n <= traceIDField; n++ {
		var field []byte
		var ok bool
		if field, rest, ok = cut(rest); !ok {
			return r, fmt.Errorf("field %d: %w", n, errQuote)
		}
		switch n {
		case typeField:
			if !isType(field) {
				return r, errType
			}
		case requestField:
			url = field
		case userAgentField:
			r.userAgent = present(field)
		case targetGroupField:
			r.targetGroup = targetGroupName(present(field))
		case domainNameField:
			r.host = present(field)
		case traceIDField:
			r.traceID = present(field)
			if len(field) == 0 {
				return r, errFields
			}
		}
	}
	if r.host == nil {
		r.host = urlHost(url)
	}
	return r, nil
}

func isType(field []byte) bool {
	switch string(field) {
	case "http", "https", "h2", "grpcs", "ws", "wss":
		return true
	}
	return false
}

// present returns nil for "-".
func present(field []byte) []byte {
	if len(field) == 0 || len(field) == 1 && field[0] == '-' {
		return nil
	}
	return field
}

// cut cuts off a field, which may be in quotes. A backslash escapes the character behind
// it.
func cut(line []byte) (field, rest []byte, ok bool) {
	if len(line) == 0 || line[0] != '"' {
		field, rest, _ = bytes.Cut(line, []byte{' '})
		return field, rest, true
	}
	for i := 1; i < len(line); i++ {
		switch line[i] {
		case '\\':
			i++
		case '"':
			rest = line[i+1:]
			if len(rest) > 0 && rest[0] != ' ' {
				continue // a quote that was not escaped
			}
			return line[1:i], bytes.TrimPrefix(rest, []byte{' '}), true
		}
	}
	return nil, nil, false
}

// targetGroupName returns NAME of arn:aws:elasticloadbalancing:...:targetgroup/NAME/ID.
func targetGroupName(arn []byte) []byte {
	_, name, ok := bytes.Cut(arn, []byte(":targetgroup/"))
	if !ok {
		return arn
	}
	name, _, _ = bytes.Cut(name, []byte{'/'})
	return name
}

// urlHost returns the host of "GET https://example.com:443/ HTTP/2.0", or nil.
func urlHost(request []byte) []byte {
	_, url, _ := bytes.Cut(request, []byte("://"))
	end := bytes.IndexAny(url, "/ ?")
	if end < 0 {
		return nil
	}
	host := string(url[:end])
	if i := strings.LastIndexByte(host, ':'); i > 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	return present([]byte(host))
}
