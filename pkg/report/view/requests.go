package view

import (
	"fmt"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/accesslog"
	"tlswatch/pkg/report"
)

const requestsTitle = "Requests of clients that fail or use weak TLS, by access logs"

// requests shows what access logs say about clients.
func (t *tables) requests() {
	r := t.r
	if r.AccessLogs == nil || len(r.ClientRequests) == 0 {
		return
	}
	t.title("REQUESTS OF CLIENTS THAT FAIL OR USE WEAK TLS%s", of(len(r.ClientRequests), r.AccessLogs.Clients))
	t.WriteByte('\n')
	for _, x := range r.ClientRequests {
		t.wrapped(fmt.Sprintf("%s: %s of %s", x.Client, text.Plural(x.Requests, "request"), text.Plural(x.Connections, "connection")), "  ")
		for _, list := range []struct {
			label string
			names []accesslog.Name
		}{{"    host          ", x.Hosts}, {"    user agent    ", x.UserAgents}, {"    target group  ", x.TargetGroups}} {
			if len(list.names) > 0 {
				t.wrapped(foremost(list.names, 3), list.label)
			}
		}
	}
}

func clientRequests(r *report.Result) pageTable {
	t := newTable("client-requests", requestsTitle, "requests", "connections", "client", "hosts", "user agents", "target groups")
	for _, x := range r.ClientRequests {
		t.add(countCell(x.Requests), countCell(x.Connections), wordCell(x.Client), textCell(foremost(x.Hosts, 1)), textCell(foremost(x.UserAgents, 1)), textCell(foremost(x.TargetGroups, 1)))
	}
	if r.AccessLogs != nil {
		t.More = cut(len(r.ClientRequests), r.AccessLogs.Clients)
	}
	return t
}

// foremost is the most frequent names, and how many others there are.
func foremost(names []accesslog.Name, most int) string {
	var list []string
	for _, n := range names[:min(most, len(names))] {
		list = append(list, n.Name)
	}
	if more := len(names) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(list, ", ")
}
