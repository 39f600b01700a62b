package input

import (
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
)

// FilterFlags are the flags that restrict which lines of logs count.
type FilterFlags struct {
	since, Until  string
	loadBalancers []string
	ports         []uint
	clients       []string
	protocols     []string
	ciphers       []string
	statuses      []string
	failed        bool
}

// protocols are the protocols of load balancers, newest first.
var protocols = []string{"TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "-"}

// statuses are the statuses that AWS documents, without "Failed:".
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
var statuses = []string{
	"Success", "Failed", "-", "UnmappedConnectionError", "ClientCertMaxChainDepthExceeded", "ClientCertMaxSizeExceeded", "ClientCertCrlHit",
	"ClientCertCrlProcessingError", "ClientCertUntrusted", "ClientCertNotYetValid", "ClientCertExpired", "ClientCertTypeUnsupported",
	"ClientCertInvalid", "ClientCertPurposeInvalid", "ClientCertRejected", "ClientCertIncompatible",
}

// Register adds the flags to a command.
func (o *FilterFlags) Register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.since, "since", "", command.SinceUsage+": "+TimeForms)
	f.StringVar(&o.Until, "until", "", command.UntilUsage)
	f.StringArrayVar(&o.loadBalancers, "load-balancer", nil, command.LoadBalancerUsage+"; keeps only its connections; repeatable")
	AddPeers(cmd, &o.ports, &o.clients)
	command.Renamed(cmd, "listener-port", "port")
	f.StringArrayVar(&o.protocols, "protocol", nil, command.ProtocolUsage+"; keeps only its connections (- for none); repeatable")
	f.StringArrayVar(&o.ciphers, "cipher", nil, command.CipherUsage+"; keeps only its connections (- for none); repeatable")
	f.StringArrayVar(&o.statuses, "status", nil, "only this `STATUS`: Success, Failed, a reason such as ClientCertExpired, or - for none; repeatable")
	f.BoolVar(&o.failed, "failed", false, "only failed negotiations")
	command.CompleteWith(cmd, "protocol", protocols...)
	command.CompleteFlag(cmd, "cipher", command.CompleteSuites)
	command.CompleteWith(cmd, "status", statuses...)
}

// AddPeers adds the flags for the two ends of connections.
func AddPeers(cmd *cobra.Command, ports *[]uint, clients *[]string) {
	f := cmd.Flags()
	f.UintSliceVar(ports, "port", nil, "only this listener `PORT`; repeatable")
	f.Lookup("port").DefValue = "" // which help does not show
	f.StringArrayVar(clients, "client", nil, "only this client, by `ADDRESS` or CIDR block; repeatable")
}

// A Filter lets lines pass. A nil one lets all.
type Filter struct {
	Span
	loadBalancers []string // NAME or app/NAME/ID
	ports         []uint16
	clients       []netip.Prefix
	protocols     []*wanted
	ciphers       []*wanted
	statuses      []*wanted
	unknown       []*wanted // of them
	Failed        bool
	passed        atomic.Bool // a line did

	mu      sync.Mutex // guards what follows
	covered Span       // of the logs found, to explain why no line passed
}

// Filter returns the filter, or nil if no flag is set. Its errors are about usage.
func (o *FilterFlags) Filter(now time.Time) (*Filter, error) {
	f := &Filter{Failed: o.failed}
	any := o.failed || len(o.loadBalancers)+len(o.ports)+len(o.clients)+len(o.protocols)+len(o.ciphers)+len(o.statuses) > 0 || o.since+o.Until != ""
	if !any {
		return nil, nil
	}
	var err error
	if o.since != "" {
		if f.Since, err = ParseTime(o.since, now); err != nil {
			return nil, command.Usagef("--since %w", err)
		}
	}
	if o.Until != "" {
		if f.Until, err = ParseTime(o.Until, now); err != nil {
			return nil, command.Usagef("--until %w", err)
		}
		if !f.Since.Before(f.Until) {
			return nil, command.Usagef("--until %s is not after --since %s", o.Until, o.since)
		}
	}
	if f.loadBalancers, err = ParseLoadBalancers(o.loadBalancers); err != nil {
		return nil, err
	}
	if f.ports, f.clients, err = ParsePeers(o.ports, o.clients); err != nil {
		return nil, err
	}
	f.protocols = f.want(o.protocols, command.SplitNames, wantedProtocol)
	f.ciphers = f.want(o.ciphers, command.SplitNames, wantedCipher)
	f.statuses = f.want(o.statuses, command.Split, wantedStatus)
	return f, nil
}

// want returns what the values of a flag mean, which split splits into names.
func (f *Filter) want(values []string, split func(string) []string, of func(string) *wanted) (list []*wanted) {
	for _, value := range values {
		for _, name := range split(value) {
			if name == "-" || strings.EqualFold(name, "none") {
				name = "" // as entries have it
			}
			w := of(name)
			if list = append(list, w); !w.known {
				f.unknown = append(f.unknown, w)
			}
		}
	}
	return list
}

// ParseLoadBalancers reads the values of --load-balancer. Each of the result is
// NAME or app/NAME/ID.
func ParseLoadBalancers(values []string) (list []string, err error) {
	for _, value := range values {
		for _, lb := range command.Split(value) {
			if strings.HasPrefix(lb, "arn:") {
				_, id, ok := strings.Cut(lb, ":loadbalancer/")
				if !ok {
					return nil, command.Usagef("--load-balancer must be the ARN of a load balancer, not %q", lb)
				}
				lb = id
			}
			list = append(list, lb)
		}
	}
	return list, nil
}

// ParsePeers reads the values of --port and --client.
func ParsePeers(ports []uint, clients []string) (numbers []uint16, prefixes []netip.Prefix, err error) {
	for _, p := range ports {
		if p == 0 || p > math.MaxUint16 {
			return nil, nil, command.Usagef("--port must be a number from 1 to 65535, not %d", p)
		}
		numbers = append(numbers, uint16(p))
	}
	for _, value := range clients {
		for _, c := range command.Split(value) {
			p, err := parsePrefix(c)
			if err != nil {
				return nil, nil, command.Usagef("--client must be an address or a CIDR block, not %q", c)
			}
			prefixes = append(prefixes, p)
		}
	}
	return numbers, prefixes, nil
}

// parsePrefix reads a CIDR block, or an address as a block of one.
func parsePrefix(s string) (netip.Prefix, error) {
	if strings.Contains(s, "/") {
		p, err := netip.ParsePrefix(s)
		return p.Masked(), err
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Prefix{}, err
	}
	return a.Unmap().WithZone("").Prefix(a.Unmap().BitLen())
}

// times returns the span of --since and --until.
func (f *Filter) times() Span {
	if f == nil {
		return Span{}
	}
	return f.Span
}

// timed reports whether lines are filtered by time.
func (f *Filter) timed() bool { return f != nil && !(f.Since.IsZero() && f.Until.IsZero()) }

// cover notes the time that a log covers.
func (f *Filter) cover(s Span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.covered.extend(s.Since)
	f.covered.extend(s.Until)
}

// Match reports whether an entry passes.
func (f *Filter) Match(e *connlog.Entry) bool {
	if f == nil {
		return true
	}
	passes := f.matchSet(e)
	if passes && !f.passed.Load() {
		f.passed.Store(true)
	}
	return passes
}

func (f *Filter) matchSet(e *connlog.Entry) bool {
	for _, w := range f.unknown {
		if !w.seen.Load() && w.has(e) {
			w.seen.Store(true)
		}
	}
	has := func(w *wanted) bool { return w.has(e) }
	switch {
	case e.Time.Before(f.Since), !f.Until.IsZero() && !e.Time.Before(f.Until), f.Failed && !e.Failed():
		return false
	case len(f.ports) > 0 && !slices.Contains(f.ports, e.ListenerPort):
		return false
	case len(f.loadBalancers) > 0 && !f.matchLoadBalancer(e.LoadBalancer):
		return false
	case len(f.clients) > 0 && !slices.ContainsFunc(f.clients, func(p netip.Prefix) bool { return p.Contains(e.Client) }):
		return false
	case len(f.protocols) > 0 && !slices.ContainsFunc(f.protocols, has),
		len(f.ciphers) > 0 && !slices.ContainsFunc(f.ciphers, has),
		len(f.statuses) > 0 && !slices.ContainsFunc(f.statuses, has):
		return false
	}
	return true
}

func (f *Filter) matchLoadBalancer(id string) bool {
	return slices.ContainsFunc(f.loadBalancers, func(want string) bool { return IsLoadBalancer(id, want) })
}

// IsLoadBalancer reports whether a load balancer, app/NAME/ID, is the one that a
// flag names.
func IsLoadBalancer(id, want string) bool {
	_, rest, _ := strings.Cut(id, "/")
	name, _, _ := strings.Cut(rest, "/")
	return want == id || name != "" && want == name
}

// MatchObject reports whether a log object may contain lines that pass.
func (f *Filter) MatchObject(k logkey.Key) bool {
	if f == nil {
		return true
	}
	from, to := k.Ends()
	// A line may be written a period late.
	from, to = from.Add(-2*logkey.Period), to.Add(logkey.Period)
	// A TLS log lists connections when they end, with the time when they began.
	late := !f.Until.IsZero() && !from.Before(f.Until) && !strings.HasPrefix(k.LoadBalancer, "net/")
	// Without a load balancer in the key, the lines name it.
	return !to.Before(f.Since) && !late &&
		(k.LoadBalancer == "" || len(f.loadBalancers) == 0 || f.matchLoadBalancer(k.LoadBalancer))
}
