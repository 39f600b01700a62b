package tail

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/report"
	"tlswatch/pkg/report/view"
	"tlswatch/pkg/secpolicy"
)

// columns is how wide paragraphs are at most.
const columns = 79

// maxExplained limits the kinds of failures that are remembered.
const maxExplained = 1000

// A printer prints failures as they come, and a summary at the end.
type printer struct {
	w     *bufio.Writer
	err   error // why nothing more can be printed
	json  bool
	zone  *time.Location
	set   *secpolicy.Set
	judge *policyflags.Judge // nil if no policy is known

	collector *report.Collector
	worker    *report.Worker

	diagnoses map[kind][]secpolicy.Diagnosis
	explained map[string]bool // causes that were printed
	byOutcome string          // flag that leaves out connections of the summary
}

// A kind is a kind of failures with the same diagnosis. The policy is nil if unknown.
type kind struct {
	policy                   *secpolicy.Policy
	protocol, cipher, status string
}

func (o *options) printer(ctx context.Context, w io.Writer) (*printer, error) {
	judge, err := o.policies.Judge(ctx)
	if err != nil {
		return nil, err
	}
	set, err := o.policies.File.Load(ctx)
	if err != nil {
		return nil, err
	}
	p := &printer{
		w:         bufio.NewWriterSize(w, 64<<10),
		json:      o.format == "json",
		zone:      o.filters.Zone(),
		set:       set,
		judge:     judge,
		collector: report.New(report.Options{ByListener: judge != nil}),
		diagnoses: make(map[kind][]secpolicy.Diagnosis),
		explained: make(map[string]bool),
	}
	if flag := o.filters.ByOutcome(); flag != input.FailedFlag { // which does not restrict the summary
		p.byOutcome = flag
	}
	p.worker = p.collector.Worker()
	return p, nil
}

func (p *printer) flush() {
	if err := p.w.Flush(); err != nil && p.err == nil {
		p.err = err
	}
}

// add counts an entry, and prints it if it is of a failure.
func (p *printer) add(o *reading, line int, e *connlog.Entry) {
	p.worker.Add(e)
	if !e.Failed() {
		return
	}
	diagnoses := p.diagnose(e)
	if p.json {
		p.printJSON(o, line, e, diagnoses)
	} else {
		p.printLine(e, diagnoses)
	}
}

// diagnose is [secpolicy.Set.Diagnose] with a cache by kind of failure.
func (p *printer) diagnose(e *connlog.Entry) []secpolicy.Diagnosis {
	var policy *secpolicy.Policy
	if p.judge != nil {
		policy = p.judge.PolicyAt(e.LoadBalancer, e.ListenerPort)
	}
	if !e.ClientCert.NotBefore.IsZero() || !e.ClientCert.NotAfter.IsZero() {
		return p.set.Diagnose(e, policy)
	}
	kind := kind{policy, e.Protocol, e.Cipher, e.Status}
	list, ok := p.diagnoses[kind]
	if !ok {
		list = p.set.Diagnose(e, policy)
		if len(p.diagnoses) < maxExplained {
			p.diagnoses[kind] = list
		}
	}
	return list
}

// printLine prints a failure in one line, and the cause when it is a new one.
func (p *printer) printLine(e *connlog.Entry, diagnoses []secpolicy.Diagnosis) {
	client := "-"
	if e.Client.IsValid() {
		client = e.Client.String()
	}
	fmt.Fprintf(p.w, "%s  %-15s  %5d  %-7s  %-27s  %s  %s", e.Time.In(p.zone).Format(time.RFC3339), client, e.ListenerPort,
		text.Printable(cmp.Or(e.Protocol, "-")), text.Printable(cmp.Or(e.Cipher, "-")), text.Printable(e.Reason()), text.Printable(cmp.Or(e.LoadBalancer, "-")))
	for _, extra := range [][]byte{e.ServerName, e.ClientCert.Subject} {
		if len(extra) > 0 {
			p.w.WriteString("  " + text.Printable(string(extra)))
		}
	}
	p.w.WriteByte('\n')
	for _, d := range diagnoses {
		if all := d.Cause + d.Remedy + d.Advice; !p.explained[all] && len(p.explained) < maxExplained {
			p.explained[all] = true
			for _, part := range [][2]string{{"  why: ", d.Cause}, {"  do:  ", d.Remedy}, {"  or:  ", d.Advice}} {
				p.w.WriteString(text.Wrap(columns, part[0], text.Printable(part[1])))
			}
		}
	}
}

// A failureLine is a line of --format json.
type failureLine struct {
	Event         string                `json:"event"` // "failure"
	Time          time.Time             `json:"time"`
	LoadBalancer  string                `json:"loadBalancer"`
	ListenerPort  uint16                `json:"listenerPort"`
	Client        string                `json:"client"`
	ClientPort    uint16                `json:"clientPort"`
	Protocol      string                `json:"protocol"`
	Cipher        string                `json:"cipher"`
	KeyExchange   string                `json:"keyExchange,omitempty"`
	Status        string                `json:"status"`
	ServerName    string                `json:"serverName,omitempty"`
	ClientSubject string                `json:"clientCertSubject,omitempty"`
	ClientSerial  string                `json:"clientCertSerial,omitempty"`
	TraceID       string                `json:"traceId,omitempty"`
	Object        string                `json:"object"`
	Line          int                   `json:"line"`
	Diagnoses     []secpolicy.Diagnosis `json:"diagnoses"`
}

func (p *printer) printJSON(o *reading, line int, e *connlog.Entry, diagnoses []secpolicy.Diagnosis) {
	f := failureLine{
		Event: "failure", Time: e.Time, LoadBalancer: e.LoadBalancer, ListenerPort: e.ListenerPort,
		ClientPort: e.ClientPort, Protocol: cmp.Or(e.Protocol, "-"), Cipher: cmp.Or(e.Cipher, "-"), KeyExchange: e.KeyExchange,
		Status: e.Status, ServerName: string(e.ServerName), ClientSubject: string(e.ClientCert.Subject), ClientSerial: string(e.ClientCert.Serial),
		TraceID: string(e.TraceID), Object: o.URI(), Line: line, Diagnoses: diagnoses,
	}
	if e.Client.IsValid() {
		f.Client = e.Client.String()
	}
	p.encode(f)
}

// encode writes a line of JSON.
func (p *printer) encode(v any) {
	if err := text.WriteJSON(p.w, v, ""); err != nil && p.err == nil {
		p.err = err
	}
}

// A summaryLine is the last line of --format json.
type summaryLine struct {
	Event  string          `json:"event"`  // "summary"
	Report json.RawMessage `json:"report"` // as tlswatch report has it
}

// summary prints the summary.
func (p *printer) summary(source report.Source, terminal text.Screen) error {
	p.worker.Close()
	if p.judge != nil {
		p.collector.Diagnose(p.judge.Policy, p.judge.Why)
	}
	r := p.collector.Result(source, console.TableRows)
	r.Zone = p.zone
	if p.byOutcome != "" {
		r.OmitStory(p.byOutcome)
	}
	if p.json {
		var b bytes.Buffer
		if err := r.WriteJSON(&b); err != nil {
			return err
		}
		p.encode(summaryLine{"summary", b.Bytes()})
	} else {
		p.w.WriteString("\nSUMMARY\n\n")
		if err := view.WriteText(p.w, r, terminal); err != nil {
			return err
		}
	}
	p.flush()
	return p.err
}
