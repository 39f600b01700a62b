package forecast

import (
	"cmp"
	"encoding/csv"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsclient"
	"tlswatch/pkg/whatif"
)

// MaxRows is the room for rows of clients, kinds of connections and days.
const MaxRows = 1_000_000

// A Log collects connections, with the client certificates that are known.
type Log struct {
	*whatif.Log
	workers      []*whatif.Worker
	certificates *clientCertificates
}

// NewLog returns a log for a number of workers, with room for a number of rows.
func (o *Change) NewLog(workers, room int) *Log {
	l := &Log{Log: whatif.NewLog(room), certificates: o.certificates}
	for range workers {
		l.workers = append(l.workers, l.Worker())
	}
	return l
}

// Add adds an entry. If it does not count, it is only evidence.
func (l *Log) Add(worker int, e *connlog.Entry, counts bool) {
	l.workers[worker].Add(e, counts, l.certificates.of(e))
}

// A Forecast is the result as --format json prints it.
type Forecast struct {
	From        string          `json:"from"` // as --policy has it, or "unknown"
	To          string          `json:"to"`
	Connections classCounts     `json:"connections"`
	Clients     classCounts     `json:"clients"`          // that have connections of the class
	Others      uint64          `json:"otherConnections"` // of clients that Clients does not count; 0 if it is exact
	Breaking    []Breaking      `json:"breaking"`
	Undecided   []whatif.Reason `json:"undecided"` // why the outcome is unknown
	Risks       []whatif.Reason `json:"risks"`     // why the outcome is only likely
	ByClient    []Client        `json:"byClient"`
	Plaintext   uint64          `json:"plaintextConnections"`
	Notes       []string        `json:"notes"`

	all int // clients
}

// Breaking is a client that would stop working, with what it negotiated.
type Breaking struct {
	Client      string `json:"client"`
	Protocol    string `json:"protocol"`
	Cipher      string `json:"cipher"`
	Connections uint64 `json:"connections"`
	Reason      string `json:"reason"`
	Software    string `json:"software"` // known programs that negotiate this; begins with "unknown" if that says little
}

// A Client is the prediction for a client.
type Client struct {
	Client      string `json:"client"` // "other" for all that are not told apart
	Class       string `json:"class"`  // the worst of its connections
	Connections uint64 `json:"connections"`
	counts
	Reason string `json:"reason"`
}

// counts are counts by class.
type counts struct {
	KeepsWorking uint64 `json:"keepsWorking"`
	Likely       uint64 `json:"likely"`
	Breaks       uint64 `json:"breaks"`
	Unknown      uint64 `json:"unknown"`
	Fixed        uint64 `json:"fixed"`
	StillFails   uint64 `json:"stillFails"`
}

// classCounts are counts with the names until now, for one more version.
type classCounts struct {
	counts
	WouldBeAccepted uint64 `json:"wouldBeAccepted"` // Fixed
	StillRefused    uint64 `json:"stillRefused"`    // StillFails
}

func newCounts[N int | uint64](of func(whatif.Class) N) counts {
	n := func(c whatif.Class) uint64 { return uint64(of(c)) }
	return counts{n(whatif.KeepsWorking), n(whatif.Likely), n(whatif.Breaks), n(whatif.Unknown), n(whatif.Fixed), n(whatif.StillFails)}
}

func newClassCounts[N int | uint64](of func(whatif.Class) N) classCounts {
	c := newCounts(of)
	return classCounts{c, c.Fixed, c.StillFails}
}

// of returns the count of a class.
func (c *counts) of(class whatif.Class) uint64 {
	return map[whatif.Class]uint64{
		whatif.KeepsWorking: c.KeepsWorking, whatif.Likely: c.Likely, whatif.Breaks: c.Breaks, whatif.Unknown: c.Unknown,
		whatif.Fixed: c.Fixed, whatif.StillFails: c.StillFails,
	}[class]
}

// A Row has the counts of a class.
type Row struct {
	Class                whatif.Class
	Connections, Clients uint64
}

// Rows are the classes in the order in which people are shown them.
func (f *Forecast) Rows() (rows []Row) {
	for _, class := range whatif.Classes() {
		rows = append(rows, Row{class, f.Connections.of(class), f.Clients.of(class)})
	}
	return rows
}

// All returns the number of clients with TLS connections.
func (f *Forecast) All() int { return f.all }

// TooMany reports whether certain failures reach a number of clients, or a percentage
// of all that have TLS connections.
func (f *Forecast) TooMany(least uint64, percentage float64) bool {
	n := f.Clients.Breaks
	// A product would not be exact: 0.07 * 100 is more than 7.
	return n > 0 && n >= least && float64(100*n)/float64(f.all) >= percentage
}

// Answer answers the questions: one forecast for each new policy.
func (o *Change) Answer(l *Log) (list []Forecast) {
	kinds, rows, clients := l.Rows()
	for _, q := range o.questions {
		list = append(list, o.forecast(q, q.Predict(kinds, rows), clients))
	}
	return list
}

func (o *Change) forecast(q whatif.Question, p *whatif.Forecast, clients []netip.Addr) Forecast {
	f := Forecast{
		From: cmp.Or(o.Policy, "unknown"), To: q.To.Name, Plaintext: p.Plaintext, all: p.All,
		Connections: newClassCounts(func(c whatif.Class) uint64 { return p.Connections[c] }),
		Clients:     newClassCounts(func(c whatif.Class) int { return p.Clients[c] }),
		Breaking:    []Breaking{}, ByClient: []Client{}, Notes: append([]string{}, o.notes...),
		Undecided: append([]whatif.Reason{}, p.Undecided...), Risks: append([]whatif.Reason{}, p.Risks...),
	}
	name := func(client uint32) string {
		switch {
		case client == whatif.Others:
			return "other"
		case !clients[client].IsValid():
			return "-"
		}
		return clients[client].String()
	}
	software := make(map[tlsclient.Sighting]string)
	for _, b := range p.Breaking {
		s, _ := tlsclient.NewSighting(b.Protocol, b.Cipher, "")
		s.Policy, s.Certificates = b.Policy, b.Certificates
		text, ok := software[s]
		if !ok {
			c := tlsclient.Consistent(s)
			text = c.String()
			software[s] = text
		}
		f.Breaking = append(f.Breaking, Breaking{name(b.Client), b.Protocol, b.Cipher, b.Connections, b.Reason, text})
	}
	for _, c := range p.ByClient {
		client := Client{Client: name(c.Client), Class: c.Class.String(), Reason: c.Reason, counts: newCounts(func(class whatif.Class) uint64 { return c.Connections[class] })}
		for _, n := range c.Connections {
			client.Connections += n
		}
		if c.Client == whatif.Others {
			f.Others = client.Connections
		}
		f.ByClient = append(f.ByClient, client)
	}
	for i := range p.Changes {
		f.Notes = append(f.Notes, changed(&p.Changes[i]))
	}
	for _, l := range p.Unnamed {
		f.Notes = append(f.Notes, theListener(l)+" has both RSA and ECDSA certificates: connections used one of the kind that --certificate does not name.")
	}
	if !o.live.IsZero() {
		f.Notes = append(f.Notes, o.liveNote(p))
	}
	if f.Others > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("There are too many clients to count each. The numbers of clients come from a random sample; %s of other clients.", text.Counted(f.Others, "connection is", "connections are")))
	}
	if o.certificates.incomplete > 0 {
		f.Notes = append(f.Notes, fmt.Sprintf("--client-certificates has %s without all issuers up to the root. How they are signed counts as unknown.", text.Plural(o.certificates.incomplete, "certificate")))
	}
	return f
}

// theListener names a listener at the beginning of a sentence.
func theListener(l whatif.Listener) string {
	name := "The listener on port " + strconv.Itoa(int(l.Port))
	if l.LoadBalancer != "" {
		name += " of " + l.LoadBalancer
	}
	return name
}

// changed describes the evidence that a listener had another policy.
func changed(c *whatif.Change) string {
	when := "all the time"
	switch {
	case c.Until != 0 && c.Since != 0 && c.Since <= c.Until:
		when = "at some time from " + instant(c.Since) + " to " + instant(c.Until)
	case c.Until != 0 && c.Since != 0:
		when = "until " + instant(c.Until) + " and from " + instant(c.Since) + " on"
	case c.Until != 0:
		when = "until " + instant(c.Until)
	case c.Since != 0:
		when = "from " + instant(c.Since) + " on"
	}
	return fmt.Sprintf("%s had another policy than %s %s: it negotiated what %s would not have. The prediction for %s allows for that.",
		theListener(c.Listener), c.Policy.Name, when, c.Policy.Name, text.Plural(c.Connections, "connection"))
}

func instant(micro int64) string {
	return time.UnixMicro(micro).UTC().Format("2006-01-02 15:04:05 UTC")
}

// liveNote says from when the policies of now are known to hold.
func (o *Change) liveNote(p *whatif.Forecast) string {
	if len(p.Changes) == 0 {
		return fmt.Sprintf("--policy live has the policies of %s. Nothing in the log speaks against them at an earlier time.", o.live.UTC().Format("2006-01-02 15:04:05 UTC"))
	}
	return fmt.Sprintf("--policy live has the policies of %s. They hold for sure only after the times above.", o.live.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// WriteCSV writes one row for each client and new policy.
func WriteCSV(w io.Writer, list []Forecast) error {
	out := csv.NewWriter(w)
	out.Write([]string{"to", "client", "class", "connections", "keepsWorking", "likely", "breaks", "fixed", "stillFails", "unknown", "reason"})
	for i := range list {
		for _, c := range list[i].ByClient {
			row := []string{list[i].To, c.Client, c.Class}
			for _, n := range []uint64{c.Connections, c.KeepsWorking, c.Likely, c.Breaks, c.Fixed, c.StillFails, c.Unknown} {
				row = append(row, strconv.FormatUint(n, 10))
			}
			out.Write(append(row, c.Reason))
		}
	}
	out.Flush()
	return out.Error()
}

// Compare writes the clients by class, with a row for each new policy.
func Compare(list []Forecast) *text.Table {
	t := &text.Table{Columns: "l" + string(slices.Repeat([]byte("r"), len(whatif.Classes())))}
	head := []string{"clients"}
	for _, class := range whatif.Classes() {
		head = append(head, class.Text())
	}
	t.Add(head...)
	for i := range list {
		row := []string{list[i].To}
		for _, r := range list[i].Rows() {
			row = append(row, text.Count(r.Clients))
		}
		t.Add(row...)
	}
	return t
}
