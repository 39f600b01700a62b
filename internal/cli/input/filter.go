package input

import (
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/pkg/connlog"
)

// FilterFlags are the flags by which commands that read logs leave lines out.
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

// protocols are those that load balancers have, newest first.
var protocols = []string{"TLSv1.3", "TLSv1.2", "TLSv1.1", "TLSv1", "-"}

// statuses are those that AWS describes, without "Failed:".
//
// https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-connection-logs.html
var statuses = []string{
	"Success", "Failed", "-", "UnmappedConnectionError", "ClientCertMaxChainDepthExceeded", "ClientCertMaxSizeExceeded", "ClientCertCrlHit",
	"ClientCertCrlProcessingError", "ClientCertUntrusted", "ClientCertNotYetValid", "ClientCertExpired", "ClientCertTypeUnsupported",
	"ClientCertInvalid", "ClientCertPurposeInvalid", "ClientCertRejected", "ClientCertIncompatible",
}

func (o *FilterFlags) Register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.since, "since", "", "only what happened from then on: "+TimeForms)
	f.StringVar(&o.Until, "until", "", "only what happened before")
	f.StringSliceVar(&o.loadBalancers, "load-balancer", nil, "only these load balancers: NAME, app/NAME/ID or ARN")
	f.UintSliceVar(&o.ports, "listener-port", nil, "only these listener ports")
	f.StringSliceVar(&o.clients, "client", nil, "only these clients: addresses or CIDR blocks")
	f.StringSliceVar(&o.protocols, "protocol", nil, "only these protocols, such as TLSv1.2 or tls1.2; - for none")
	f.StringSliceVar(&o.ciphers, "cipher", nil, "only these cipher suites, by any of their names; - for none")
	f.StringSliceVar(&o.statuses, "status", nil, "only these: Success, Failed, a reason such as ClientCertExpired, or - for none")
	f.BoolVar(&o.failed, "failed", false, "only failed negotiations")
	f.Lookup("listener-port").DefValue = "" // which help does not show
	command.CompleteWith(cmd, "protocol", protocols...)
	command.CompleteFlag(cmd, "cipher", command.CompleteSuites)
	command.CompleteWith(cmd, "status", statuses...)
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
}

// Parse returns the filter, or nil if no flag is set. Its errors are wrong
// usage.
func (o *FilterFlags) Parse(now time.Time) (*Filter, error) {
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
	for _, lb := range o.loadBalancers {
		if strings.HasPrefix(lb, "arn:") {
			_, id, ok := strings.Cut(lb, ":loadbalancer/")
			if !ok {
				return nil, command.Usagef("--load-balancer %q: want the ARN of a load balancer", lb)
			}
			lb = id
		}
		f.loadBalancers = append(f.loadBalancers, lb)
	}
	for _, p := range o.ports {
		if p > 65535 {
			return nil, command.Usagef("--listener-port %d: want a port number", p)
		}
		f.ports = append(f.ports, uint16(p))
	}
	for _, c := range o.clients {
		p, err := ParsePrefix(c)
		if err != nil {
			return nil, command.Usagef("--client %q: want an address or a CIDR block", c)
		}
		f.clients = append(f.clients, p)
	}
	f.protocols = f.want(o.protocols, wantedProtocol)
	f.ciphers = f.want(joinedBytes(o.ciphers), wantedCipher)
	f.statuses = f.want(o.statuses, wantedStatus)
	return f, nil
}

// want returns what the values of a flag mean.
func (f *Filter) want(values []string, of func(string) *wanted) (list []*wanted) {
	for _, v := range values {
		if v == "-" || strings.EqualFold(v, "none") {
			v = "" // as entries have it
		}
		w := of(v)
		if list = append(list, w); !w.known {
			f.unknown = append(f.unknown, w)
		}
	}
	return list
}

// joinedBytes joins what a list of names has cut: "0xC0,0x14" is one cipher
// suite, as IANA writes them and OpenSSL prints them.
func joinedBytes(names []string) (list []string) {
	isByte := func(s string) bool { return len(s) == 4 && strings.EqualFold(s[:2], "0x") }
	for i := 0; i < len(names); i++ {
		name := names[i]
		if i+1 < len(names) && isByte(name) && isByte(names[i+1]) {
			i++
			name += "," + names[i]
		}
		list = append(list, name)
	}
	return list
}

// ParsePrefix reads a CIDR block, or an address as a block of one.
func ParsePrefix(s string) (netip.Prefix, error) {
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

// times returns the time that passes.
func (f *Filter) times() Span {
	if f == nil {
		return Span{}
	}
	return f.Span
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
	return slices.ContainsFunc(f.loadBalancers, func(want string) bool {
		if want == id {
			return true
		}
		_, rest, _ := strings.Cut(id, "/")
		name, _, _ := strings.Cut(rest, "/")
		return name != "" && want == name
	})
}

// MatchObject reports whether a log object may have lines that pass.
func (f *Filter) MatchObject(k connlog.ObjectKey) bool {
	if f == nil {
		return true
	}
	from, to := k.Ends()
	// A line may be written a period late.
	from, to = from.Add(-2*connlog.Period), to.Add(connlog.Period)
	// A TLS log has connections when they end; their times are those of their beginning.
	late := !f.Until.IsZero() && !from.Before(f.Until) && !strings.HasPrefix(k.LoadBalancer, "net/")
	// What the key does not name, the lines do.
	return !to.Before(f.Since) && !late &&
		(k.LoadBalancer == "" || len(f.loadBalancers) == 0 || f.matchLoadBalancer(k.LoadBalancer))
}
