package input

import (
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/tlsname"
)

// FilterFlags are the flags that restrict which lines of logs count.
type FilterFlags struct {
	TimeFlags
	loadBalancers []string
	ports         []uint
	clients       []string
	ignored       []string
	protocols     []string
	ciphers       []string
	keyExchanges  []string
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

// AnyOutcome returns the flags without those about what was negotiated and how it ended.
func (o FilterFlags) AnyOutcome() *FilterFlags {
	o.protocols, o.ciphers, o.keyExchanges, o.statuses, o.failed = nil, nil, nil, nil, false
	return &o
}

// RegisterListeners adds the flags that choose times and listeners, and leave out
// addresses that the user ignores.
func (o *FilterFlags) RegisterListeners(cmd *cobra.Command) {
	o.TimeFlags.Register(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.loadBalancers, "load-balancer", nil, command.LoadBalancerUsage+"; keeps only its connections; repeatable")
	addPorts(cmd, &o.ports)
	f.StringArrayVar(&o.ignored, "ignore", nil, "count the connections of this `ADDRESS`, CIDR block or @FILE of them apart, such as health checkers; repeatable")
}

func addPorts(cmd *cobra.Command, ports *[]uint) {
	f := cmd.Flags()
	f.UintSliceVar(ports, "port", nil, "only this listener `PORT`; repeatable")
	f.Lookup("port").DefValue = "" // which help does not show
}

// Register adds the flags to a command.
func (o *FilterFlags) Register(cmd *cobra.Command) {
	o.RegisterListeners(cmd)
	f := cmd.Flags()
	f.StringArrayVar(&o.clients, "client", nil, "only this client, by `ADDRESS` or CIDR block; repeatable")
	command.Renamed(cmd, "listener-port", "port")
	f.StringArrayVar(&o.protocols, "protocol", nil, command.ProtocolUsage+"; keeps only its connections (- for none); repeatable")
	f.StringArrayVar(&o.ciphers, "cipher", nil, command.CipherUsage+"; keeps only its connections (- for none); repeatable")
	f.StringArrayVar(&o.keyExchanges, "key-exchange", nil, "only this key-exchange `GROUP`, by any of its names or its number (- for none); repeatable")
	f.StringArrayVar(&o.statuses, "status", nil, "only this `STATUS`: Success, Failed, a reason such as ClientCertExpired, or - for none; repeatable")
	f.BoolVar(&o.failed, "failed", false, "only failed negotiations")
	command.CompleteWith(cmd, "protocol", protocols...)
	command.CompleteFlag(cmd, "cipher", command.CompleteSuites)
	command.CompleteWith(cmd, "key-exchange", command.Names(tlsname.Groups())...)
	command.CompleteWith(cmd, "status", statuses...)
}

// AddPeers adds the flags for the two ends of connections.
func AddPeers(cmd *cobra.Command, ports *[]uint, clients *[]string) {
	addPorts(cmd, ports)
	f := cmd.Flags()
	f.StringArrayVar(clients, "client", nil, "only this client, by `ADDRESS` or CIDR block; repeatable")
}

// FailedFlag keeps failed negotiations only.
const FailedFlag = "--failed"

// ByOutcome returns the first flag, [FailedFlag] last, that keeps connections by what they negotiated or
// how they ended, "" for none. What is left does not say which clients work.
func (o *FilterFlags) ByOutcome() string {
	for _, f := range []struct {
		flag string
		set  bool
	}{
		{"--status", len(o.statuses) > 0}, {"--protocol", len(o.protocols) > 0}, {"--cipher", len(o.ciphers) > 0},
		{"--key-exchange", len(o.keyExchanges) > 0}, {FailedFlag, o.failed},
	} {
		if f.set {
			return f.flag
		}
	}
	return ""
}

// A Filter lets lines pass. A nil one lets all.
type Filter struct {
	Span
	zone          *time.Location // of times in messages
	loadBalancers LoadBalancers
	there         values       // the load balancers in logs and their names
	conditions    []*condition // that a line must meet
	unknown       []*wanted    // names that a condition wants
	ignored       addressSet
	Failed        bool        // only failed negotiations
	passed        atomic.Bool // a line did

	mu      sync.Mutex // guards what follows
	covered Span       // of the logs found, to explain why no line passed
}

// Filter returns the filter, or nil if no flag is set. Its errors are about usage.
func (o *FilterFlags) Filter(now time.Time) (*Filter, error) {
	span, err := o.Span(now)
	if err != nil {
		return nil, err
	}
	return o.Within(span)
}

// Within returns the filter for another span than the flags have.
func (o *FilterFlags) Within(span Span) (f *Filter, err error) {
	f = &Filter{Span: span, zone: o.Zone()}
	if f.loadBalancers, err = ParseLoadBalancers(o.loadBalancers); err != nil {
		return nil, err
	}
	ports, clients, err := ParsePeers(o.ports, o.clients)
	if err != nil {
		return nil, err
	}
	if f.ignored, err = parseIgnored(o.ignored); err != nil {
		return nil, err
	}
	if len(f.loadBalancers) > 0 {
		f.add("load-balancer", func(e *connlog.Entry) bool { return f.matchLoadBalancer(e.LoadBalancer) }, nil)
	}
	if len(ports) > 0 {
		f.add("port", func(e *connlog.Entry) bool { return slices.Contains(ports, e.ListenerPort) },
			func(e *connlog.Entry) string { return strconv.Itoa(int(e.ListenerPort)) })
	}
	if len(clients) > 0 {
		f.add("client", func(e *connlog.Entry) bool {
			return slices.ContainsFunc(clients, func(p netip.Prefix) bool { return p.Contains(e.Client) })
		}, nil)
	}
	f.want("protocol", o.protocols, command.SplitNames, wantedProtocol, func(e *connlog.Entry) string { return e.Protocol })
	f.want("cipher", o.ciphers, command.SplitNames, wantedCipher, func(e *connlog.Entry) string { return e.Cipher })
	f.want("key-exchange", o.keyExchanges, command.SplitNames, wantedKeyExchange, func(e *connlog.Entry) string { return e.KeyExchange })
	f.want("status", o.statuses, command.Split, wantedStatus, func(e *connlog.Entry) string { return e.Status })
	if f.Failed = o.failed; f.Failed {
		f.add("failed", func(e *connlog.Entry) bool { return !f.Failed || e.Failed() }, nil)
	}
	if f.Span != (Span{}) {
		f.add("since", func(e *connlog.Entry) bool {
			return !e.Time.Before(f.Since) && (f.Until.IsZero() || e.Time.Before(f.Until))
		}, nil)
	}
	if len(f.conditions) == 0 && f.ignored == nil {
		return nil, nil
	}
	return f, nil
}

// add adds a condition. The values of lines are what to say if none meets it.
func (f *Filter) add(flag string, meets func(*connlog.Entry) bool, value func(*connlog.Entry) string) {
	f.conditions = append(f.conditions, &condition{flag: flag, meets: meets, value: value})
}

// want adds the condition that a line has one of several names. They are the values of
// a flag, which split separates.
func (f *Filter) want(flag string, values []string, split func(string) []string, of func(string) *wanted, value func(*connlog.Entry) string) {
	var list []*wanted
	for _, v := range values {
		for _, name := range split(v) {
			if name == "-" || strings.EqualFold(name, "none") {
				name = "" // as entries have it
			}
			w := of(name)
			if list = append(list, w); !w.known {
				f.unknown = append(f.unknown, w)
			}
		}
	}
	if len(list) > 0 {
		f.add(flag, func(e *connlog.Entry) bool {
			return slices.ContainsFunc(list, func(w *wanted) bool { return w.has(e) })
		}, value)
	}
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
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 { // logs have the IPv4 address
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
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

// cover notes the time that a log covers.
func (f *Filter) cover(s Span) {
	if f == nil || s.Since.IsZero() {
		return
	}
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
	for _, w := range f.unknown {
		if !w.seen.Load() && w.has(e) {
			w.seen.Store(true)
		}
	}
	first := !f.passed.Load()
	passes := true
	for _, c := range f.conditions {
		switch {
		case !c.meets(e):
			if passes = false; !first {
				return false
			}
			c.note(e)
		case first && !c.met.Load():
			c.met.Store(true)
		}
	}
	if first && passes {
		f.passed.Store(true)
	}
	return passes
}

func (f *Filter) matchLoadBalancer(path string) bool {
	f.there.add(path)
	return f.loadBalancers.Match(path)
}

// Ignoring reports whether the user wants some connections apart.
func (f *Filter) Ignoring() bool { return f != nil && f.ignored != nil }

// Ignores reports whether the user wants the connections of an entry's client apart.
func (f *Filter) Ignores(e *connlog.Entry) bool { return f != nil && f.ignored.contains(e.Client) }

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
	wanted := k.LoadBalancer == "" || len(f.loadBalancers) == 0 || f.matchLoadBalancer(k.LoadBalancer)
	return wanted && !to.Before(f.Since) && !late
}
