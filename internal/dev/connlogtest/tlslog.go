package connlogtest

import (
	"cmp"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var protocolVersions = map[string]string{"tlsv10": "TLSv1", "tlsv11": "TLSv1.1", "tlsv12": "TLSv1.2", "tlsv13": "TLSv1.3"}

// TLSLog converts valid lines of a connection log to lines of a Network Load
// Balancer's TLS log, which has times in seconds, latencies in milliseconds, and no
// lines of listeners without TLS. Every other failure has an alert of the client.
func TLSLog(lines []string, loadBalancer string) []string {
	var list []string
	for i, line := range lines {
		f := mustReference(line)
		protocol, cipher, status, group := f[4], cmp.Or(f[5], "-"), f[10], cmp.Or(f[12], "-")
		if status == "" && protocol == "" {
			continue
		}
		version := "-"
		for ours, theirs := range protocolVersions {
			if theirs == protocol {
				version = ours
			}
		}
		handshake, alert, cert := "-", "-", "-"
		if status == "Success" {
			seconds, err := strconv.ParseFloat(f[6], 64)
			if err != nil {
				panic(err)
			}
			handshake, cert = fmt.Sprintf("%.0f", seconds*1000), "arn:aws:acm:us-east-2:671290407336:certificate/2a108f19-aded-46b0-8493-c63eb1ef4a99"
		} else if i%2 == 0 {
			alert = []string{"46", "48", "70"}[i/2%3]
		}
		began, err := time.Parse(time.RFC3339, f[0])
		if err != nil {
			panic(err)
		}
		const form = "2006-01-02T15:04:05"
		list = append(list, fmt.Sprintf(`tls 2.0 %s %s g3d4b5e8bb8464cd %s:%s 192.0.2.10:%s %d %s 452 345 %s %s - %s %s %s www.example.com h2 h2 "h2","http/1.1" %s`,
			began.Add(time.Duration(i%30)*time.Second).Format(form), loadBalancer, f[1], f[2], f[3], i%30*1000, handshake, alert, cert, cipher, version, group, began.Format(form)))
	}
	return list
}

var (
	milliseconds = regexp.MustCompile(`^0*(\d{1,9}|1000000000)(\.\d+)?$`)
	instantUTC   = regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z?$`)
)

// ReferenceTLS returns the fields that Reference returns for the same connection in a
// connection log, from a line of a Network Load Balancer's TLS log, or nil for an
// invalid line.
func ReferenceTLS(line string) []string {
	f := strings.Split(line, " ")
	for i := range f {
		if f[i] == "-" || f[i] == `"-"` {
			f[i] = ""
		} else if f[i] == "" && i < len(f)-1 && i < 22 {
			return nil // an empty field
		}
	}
	if len(f) < 16 || f[0] != "tls" {
		return nil
	}
	f = append(f, make([]string, 22)...)
	when := f[2]
	for _, t := range []string{f[2], f[21]} {
		if _, err := time.Parse(time.RFC3339, strings.TrimSuffix(t, "Z")+"Z"); t != "" && (err != nil || !instantUTC.MatchString(t)) {
			return nil
		}
	}
	if f[21] != "" {
		when = f[21]
	}
	f[3] = arn.ReplaceAllString(f[3], "")
	if f[2] == "" || f[3] != "" && !loadBalancer.MatchString(f[3]) {
		return nil
	}
	client, clientPort, ok := endpoint(f[5])
	node, listenerPort, ok2 := endpoint(f[6])
	if !ok || !ok2 || client != "" && !isAddr(client) {
		return nil
	}
	latency, status, ok := outcome(f[8], f[11])
	if !ok {
		return nil
	}
	protocol := cmp.Or(protocolVersions[f[15]], f[15])
	return []string{strings.TrimSuffix(when, "Z") + "Z", client, clientPort, listenerPort, protocol, f[14], latency, "", "", "", status, "", f[16], f[3], node}
}

// outcome returns the latency in seconds and the status of a handshake, from its
// milliseconds and the number of the client's alert.
func outcome(handshake, alert string) (latency, status string, ok bool) {
	latency, status = "", "Failed:HandshakeNotCompleted"
	if handshake != "" {
		if !milliseconds.MatchString(handshake) {
			return "", "", false
		}
		ms, _ := strconv.ParseFloat(handshake, 64)
		latency, status = strconv.FormatFloat(ms/1000, 'f', -1, 64), "Success"
	}
	if alert == "" {
		return latency, status, true
	}
	n, err := strconv.ParseUint(alert, 10, 8)
	if err != nil {
		return "", "", false
	}
	name := map[uint64]string{0: "close_notify", 40: "handshake_failure", 46: "certificate_unknown", 48: "unknown_ca", 70: "protocol_version", 90: "user_canceled", 100: "no_renegotiation"}[n]
	if status != "Success" || name != "close_notify" && name != "user_canceled" && name != "no_renegotiation" {
		latency, status = "", "Failed:ClientAlert:"+cmp.Or(name, alert)
	}
	return latency, status, true
}

// endpoint splits "192.0.2.1:443".
func endpoint(s string) (host, number string, ok bool) {
	if s == "" {
		return "", "", true
	}
	i := strings.LastIndex(s, ":")
	if i <= 0 || !port.MatchString(s[i+1:]) {
		return "", "", false
	}
	_, err := strconv.ParseUint(s[i+1:], 10, 16)
	return s[:i], s[i+1:], err == nil
}
