package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/pkg/config"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/secpolicy"
)

type whatIfOptions struct {
	filterFlags
	data         policyData
	from, to     string
	region       string // of --from live
	certificates []string
	format       string
	top          int
}

func newWhatIf() *cobra.Command {
	var o whatIfOptions
	cmd := &cobra.Command{
		Use:   "whatif --to POLICY [--from POLICY] PATH...",
		Short: "Say whom a change of security policy would break or save",
		Long: `whatif reads connection logs and says what would have become of their
connections under another security policy. Of the successful ones: keeps
working, breaks for certain, or cannot be told. Of the failed ones: would be
accepted, still refused, or cannot be told. It names the clients that break.

--from is the policy that the listeners had: POLICY, or 443=POLICY,8443=POLICY
by port, or the word live: then Elastic Load Balancing is asked for those that
the load balancers have now. With it a successful connection tells a lot: the load balancer
takes the highest protocol and then the first cipher suite of its own order that
the client has too, so the client has none that the policy prefers to what was
negotiated. Without it less is certain. "For certain" is meant so; what it rests
on is in docs/policies.md.

PATH is a log file, a directory of them, s3://BUCKET/PREFIX, or - for standard
input, in any mix.

` + policyDataHelp,
		Example: `  tlswatch whatif --from ELBSecurityPolicy-2016-08 --to ELBSecurityPolicy-TLS13-1-2-Res-PQ-2025-09 conn_log_*.log.gz
  tlswatch whatif --to TLS13-1-2-2021-06 --from 443=TLS13-1-2-Ext2-2021-06 --format json s3://my-logs/AWSLogs/123456789012/`,
		Args: needs(logPaths),
		RunE: runs(func(cmd *cobra.Command, paths []string) error {
			return o.run(cmd.Context(), paths, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.to, "to", "", "the new security policy")
	f.StringVar(&o.from, "from", "", "the current one, one for each port: 443=POLICY,8443=POLICY, or live (default: not known)")
	f.StringVar(&o.region, "region", "", "AWS region of the load balancers, for --from live (default: that of the environment)")
	f.StringArrayVar(&o.certificates, "certificate", nil, "all kinds of certificate that the listeners have: rsa, ecdsa or both (default: those that connections show)")
	f.StringVar(&o.format, "format", "table", "table or json")
	f.IntVar(&o.top, "top", 20, "rows of clients that break, in a table; 0 for all")
	o.data.addFlag(cmd)
	o.register(cmd)
	cmd.MarkFlagRequired("to")
	completeFlag(cmd, "to", completePolicies(&o.data, 0))
	completeFlag(cmd, "from", completePolicies(&o.data, 0))
	completeFlag(cmd, "certificate", cobra.FixedCompletions([]string{"rsa", "ecdsa"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

func (o *whatIfOptions) run(ctx context.Context, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if o.format != "table" && o.format != "json" {
		return &usageError{fmt.Errorf("--format %s: want table or json", o.format)}
	}
	if o.top < 0 {
		return &usageError{fmt.Errorf("--top %d: want 0 or more", o.top)}
	}
	filter, err := o.parse(time.Now().UTC())
	if err != nil {
		return err
	}
	q, caveats, err := o.question(ctx)
	if err != nil {
		return err
	}
	in := newInputs(paths, stdin, newProgress(stderr, "log"))
	in.apply(filter)
	folds := newObservations(in.workers, maxObservations)
	readErr := in.scan(ctx, func(worker int, e *connlog.Entry) { folds[worker].add(e) })
	if readErr != nil && !errors.As(readErr, new(*inputsError)) {
		return in.finish(ctx, readErr)
	}
	if in.seen.malformed > 0 {
		complain(stderr, "%s left out", counted(in.seen.malformed, "line is no log entry and is", "lines are no log entries and are"))
	}
	for _, what := range slices.Sorted(maps.Keys(in.seen.skipped)) {
		complain(stderr, "%s passed over: %s", grouped(in.seen.skipped[what]), what)
	}
	result := o.forecast(q, folds, caveats)
	if o.format == "json" {
		err = writeJSON(stdout, result)
	} else {
		b := bufio.NewWriter(stdout)
		result.write(b, o.top)
		err = b.Flush()
	}
	if ctx.Err() == nil {
		filter.warnNothing(stderr)
	}
	return cmp.Or(err, in.finish(ctx, readErr))
}

// forecast answers the question.
func (o *whatIfOptions) forecast(q secpolicy.Question, folds []observations, caveats []string) whatIfJSON {
	all := folds[0]
	for _, f := range folds[1:] {
		all.merge(f)
	}
	f := q.WhatIf(all.each)
	if f.Contradicting > 0 {
		caveats = append(caveats, counted(f.Contradicting, "connection", "connections")+" negotiated what --from does not have: it was not the policy of that listener then. There it counts as not known.")
	}
	if all.other > 0 {
		caveats = append(caveats, fmt.Sprintf("There are so many clients that those of %s count as one, \"other\".", counted(all.other, "connection", "connections")))
	}
	return newWhatIfJSON(cmp.Or(o.from, "unknown"), q.To.Name, f, caveats)
}

// question reads the flags that are about policies, and what is to be said of
// the policies.
func (o *whatIfOptions) question(ctx context.Context) (q secpolicy.Question, notes []string, err error) {
	set, err := o.data.load()
	if err != nil {
		return q, nil, err
	}
	if q.To, err = lookupPolicy(set, o.to); err != nil {
		return q, nil, err
	}
	if q.Certificates, err = parseCertificates(o.certificates); err != nil {
		return q, nil, err
	}
	known := map[string]*secpolicy.Policy{o.to: q.To}
	switch o.from {
	case "":
		notes = append(notes, "The current policy is not known, so that less is certain: --from names it.")
	case livePolicy:
		live, err := livePolicies(ctx, o.region)
		if err != nil {
			return q, nil, fmt.Errorf("--from live: %w", err)
		}
		missing := make(map[string]bool)
		for _, listeners := range live {
			for _, name := range listeners {
				if policy, err := set.Lookup(name); err != nil {
					missing[name] = true
				} else if policy != q.To {
					known[name] = policy
				}
			}
		}
		for _, name := range slices.Sorted(maps.Keys(missing)) {
			notes = append(notes, fmt.Sprintf("Listeners have %s, of which nothing is known: refresh with `tlswatch policy update`.", name))
		}
		q.From = func(l secpolicy.Listener) *secpolicy.Policy {
			policy, err := set.Lookup(live[l.LoadBalancer].At(l.Port))
			if err != nil {
				return nil
			}
			return policy
		}
	default:
		names, err := config.ParseListenerPolicies(o.from)
		if err != nil {
			return q, nil, &usageError{fmt.Errorf("--from: %w", err)}
		}
		for _, name := range names {
			if known[name], err = lookupPolicy(set, name); err != nil {
				return q, nil, err
			}
			if len(names) == 1 && name == o.from {
				o.from = known[name].Name
			}
		}
		q.From = func(l secpolicy.Listener) *secpolicy.Policy {
			return known[pipeline.ListenerPolicies(names).At(l.Port)]
		}
	}
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if c := known[name].Caveat(); c != "" {
			notes = append(notes, fmt.Sprintf("Not confirmed about %s: %s.", known[name].Name, c))
		}
	}
	return q, notes, nil
}

// Bounds of the memory. What is beyond counts for the client "other", or for
// names of which nothing can be told.
const (
	maxObservations = 1_000_000
	maxKinds        = 16_384 // of each worker
	maxKindName     = 128    // bytes
)

// observations count entries that are alike but for their time.
type observations struct {
	room   *atomic.Int64 // for how many more; all workers share it
	kinds  map[observedKind]uint32
	byKind []observedKind // of which there are few, unless somebody makes them up
	counts map[observed]uint64
	other  uint64 // entries of clients beyond the bound
}

// An observedKind is what entries of many clients have in common.
type observedKind struct {
	loadBalancer, protocol, cipher, keyExchange, status string
	port                                                uint16
}

// isLong reports whether a name is longer than any that load balancers write.
func (k *observedKind) isLong() bool {
	return max(len(k.loadBalancer), len(k.protocol), len(k.cipher), len(k.keyExchange), len(k.status)) > maxKindName
}

// rest returns the kind that stands for k and all that are left out: one of
// plaintext, of successes, of failures, or of neither.
func (k *observedKind) rest() observedKind {
	const other = "other"
	e := connlog.Entry{Protocol: k.protocol, Status: k.status}
	switch {
	case !e.TLS():
		return observedKind{cipher: other}
	case e.Failed():
		return observedKind{protocol: other, cipher: other, status: connlog.FailedPrefix + other}
	case k.status == connlog.StatusSuccess:
		return observedKind{protocol: other, cipher: other, status: connlog.StatusSuccess}
	}
	return observedKind{protocol: other, cipher: other}
}

// An observed is a client and a kind.
type observed struct {
	client netip.Addr // invalid for those beyond the bound, if other
	kind   uint32
	other  bool
}

// newObservations returns one for each worker, with room for so many in all.
func newObservations(workers, room int) []observations {
	shared := new(atomic.Int64)
	shared.Store(int64(room))
	folds := make([]observations, workers)
	for i := range folds {
		folds[i] = observations{room: shared, kinds: make(map[observedKind]uint32), counts: make(map[observed]uint64)}
	}
	return folds
}

func (o *observations) add(e *connlog.Entry) {
	k := observed{client: e.Client, kind: o.kind(observedKind{e.LoadBalancer, e.Protocol, e.Cipher, e.KeyExchange, e.Status, e.ListenerPort})}
	if o.room.Load() <= 0 {
		if _, ok := o.counts[k]; !ok {
			o.counts[observed{kind: k.kind, other: true}]++
			o.other++
			return
		}
	}
	before := len(o.counts)
	o.counts[k]++
	if len(o.counts) > before {
		o.room.Add(-1)
	}
}

// kind returns the number of a kind, within the bounds.
func (o *observations) kind(k observedKind) uint32 {
	n, ok := o.kinds[k]
	if !ok && (len(o.byKind) >= maxKinds || k.isLong()) {
		k = k.rest()
		n, ok = o.kinds[k]
	}
	if !ok {
		n = uint32(len(o.byKind))
		o.kinds[k] = n
		o.byKind = append(o.byKind, k)
	}
	return n
}

// merge adds the counts of another part.
func (o *observations) merge(p observations) {
	o.other += p.other
	for k, n := range p.counts {
		k.kind = o.kind(p.byKind[k.kind])
		o.counts[k] += n
	}
}

// each calls yield for every observation.
func (o *observations) each(yield func(secpolicy.Observation, uint64) bool) {
	for k, n := range o.counts {
		client := "other"
		if !k.other {
			client = "-"
			if k.client.IsValid() {
				client = k.client.String()
			}
		}
		kind := o.byKind[k.kind]
		if !yield(secpolicy.Observation{
			Client: client, Listener: secpolicy.Listener{LoadBalancer: kind.loadBalancer, Port: kind.port},
			Protocol: kind.protocol, Cipher: kind.cipher, KeyExchange: kind.keyExchange, Status: kind.status,
		}, n) {
			return
		}
	}
}

// A whatIfJSON is a forecast in the form of --format json.
type whatIfJSON struct {
	From        string         `json:"from"` // as --from has it, or "unknown"
	To          string         `json:"to"`
	Connections classCounts    `json:"connections"`
	Clients     classCounts    `json:"clients"` // that have connections of the class
	Breaking    []breakingJSON `json:"breaking"`
	Undecided   []unknownJSON  `json:"undecided"` // why it cannot be told
	Plaintext   uint64         `json:"plaintextConnections"`
	Notes       []string       `json:"notes"`
}

type classCounts struct {
	KeepsWorking    uint64 `json:"keepsWorking"`
	Breaks          uint64 `json:"breaks"`
	Unknown         uint64 `json:"unknown"`
	WouldBeAccepted uint64 `json:"wouldBeAccepted"`
	StillRefused    uint64 `json:"stillRefused"`
}

type breakingJSON struct {
	Client      string `json:"client"`
	Protocol    string `json:"protocol"`
	Cipher      string `json:"cipher"`
	Connections uint64 `json:"connections"`
	Reason      string `json:"reason"`
}

type unknownJSON struct {
	Reason      string `json:"reason"`
	Connections uint64 `json:"connections"`
}

func newWhatIfJSON(from, to string, f *secpolicy.Forecast, notes []string) whatIfJSON {
	r := whatIfJSON{
		From: from, To: to, Plaintext: f.Plaintext, Notes: append([]string{}, notes...),
		Connections: classCounts{f.Connections[secpolicy.KeepsWorking], f.Connections[secpolicy.Breaks], f.Connections[secpolicy.CannotTell],
			f.Connections[secpolicy.WouldBeAccepted], f.Connections[secpolicy.StillRefused]},
		Clients: classCounts{uint64(f.Clients[secpolicy.KeepsWorking]), uint64(f.Clients[secpolicy.Breaks]), uint64(f.Clients[secpolicy.CannotTell]),
			uint64(f.Clients[secpolicy.WouldBeAccepted]), uint64(f.Clients[secpolicy.StillRefused])},
		Breaking: []breakingJSON{}, Undecided: []unknownJSON{},
	}
	for _, b := range f.Breaking {
		r.Breaking = append(r.Breaking, breakingJSON(b))
	}
	for _, u := range f.Unknown {
		r.Undecided = append(r.Undecided, unknownJSON(u))
	}
	return r
}

// write shows the forecast to a person.
func (r *whatIfJSON) write(w io.Writer, top int) {
	fmt.Fprintf(w, "From %s\nto   %s\n\n", r.From, r.To)
	t := table{right: []bool{false, true, true}}
	t.add("", "connections", "clients")
	row := func(name string, connections, clients uint64) {
		t.add(name, grouped(int(connections)), grouped(int(clients)))
	}
	row("keep working", r.Connections.KeepsWorking, r.Clients.KeepsWorking)
	row("break for certain", r.Connections.Breaks, r.Clients.Breaks)
	row("failed, would be accepted", r.Connections.WouldBeAccepted, r.Clients.WouldBeAccepted)
	row("failed, still refused", r.Connections.StillRefused, r.Clients.StillRefused)
	row("cannot be told", r.Connections.Unknown, r.Clients.Unknown)
	t.write(w)

	if len(r.Breaking) > 0 {
		fmt.Fprintf(w, "\nBREAK FOR CERTAIN\n")
		reasons := slices.Clone(r.Breaking)
		if top > 0 {
			reasons = reasons[:min(top, len(reasons))]
		}
		shown := len(reasons)
		slices.SortStableFunc(reasons, func(a, b breakingJSON) int { return cmp.Compare(a.Reason, b.Reason) })
		for len(reasons) > 0 {
			reason := reasons[0].Reason
			fmt.Fprintf(w, "\n  %s\n\n", reason)
			t := table{right: []bool{true, false, false, false}}
			t.add("connections", "client", "protocol", "cipher")
			for ; len(reasons) > 0 && reasons[0].Reason == reason; reasons = reasons[1:] {
				b := reasons[0]
				t.add(grouped(int(b.Connections)), b.Client, cmp.Or(b.Protocol, "-"), cmp.Or(b.Cipher, "-"))
			}
			t.write(w)
		}
		if more := len(r.Breaking) - shown; more > 0 {
			fmt.Fprintf(w, "\n  and %s more; --top 0 shows all\n", grouped(more))
		}
	}
	if len(r.Undecided) > 0 {
		fmt.Fprintf(w, "\nCANNOT BE TOLD\n\n")
		t := table{right: []bool{true, false}}
		t.add("connections", "why")
		for _, u := range r.Undecided {
			t.add(grouped(int(u.Connections)), u.Reason)
		}
		t.write(w)
	}
	for i, note := range r.Notes {
		fmt.Fprintf(w, "%s  %s\n", yesNo(i == 0, "\n", ""), note)
	}
}
