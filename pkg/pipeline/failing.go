package pipeline

import (
	"cmp"
	"slices"
	"strings"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/rollup"
)

// MaxFailing limits the clients that a Report names, and so the lines that one log
// object adds to the function's log.
const MaxFailing = 1000

// A FailingClient counts the failures of one client for one reason. Its fields have
// the values of the CloudWatch dimensions with the same names.
type FailingClient struct {
	Client string // metric.Other for all beyond MaxFailing
	Reason string
	Failed uint64

	// As in most of the failures; empty for metric.Other.
	ListenerPort     uint16
	Protocol, Cipher string
}

// failingClients returns the failing clients with their reasons, most failures
// first. They add up to the failures of the summary.
func failingClients(s *rollup.Summary) []FailingClient {
	type key struct{ client, reason string }
	at := make(map[key]int)
	var list []FailingClient
	add := func(c FailingClient) {
		k := key{c.Client, c.Reason}
		if i, known := at[k]; known {
			list[i].Failed += c.Failed
			return
		}
		at[k] = len(list)
		list = append(list, c)
	}
	for _, f := range s.Failures() {
		add(FailingClient{
			Client:       metric.Value(f.Client.String()),
			Reason:       metric.Value(strings.TrimPrefix(f.Status, connlog.FailedPrefix)),
			Failed:       f.Count,
			ListenerPort: f.ListenerPort,
			Protocol:     metric.Value(f.Protocol),
			Cipher:       metric.Value(f.Cipher),
		})
	}
	slices.SortStableFunc(list, func(a, b FailingClient) int { return cmp.Compare(b.Failed, a.Failed) })
	all := list
	list = list[:min(len(list), MaxFailing):min(len(list), MaxFailing)]
	clear(at)
	for _, c := range all[len(list):] {
		add(FailingClient{Client: metric.Other, Reason: c.Reason, Failed: c.Failed})
	}
	if s.OtherFailed > 0 {
		add(FailingClient{Client: metric.Other, Reason: metric.Other, Failed: s.OtherFailed})
	}
	return list
}
