package widget

import (
	_ "embed"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/secpolicy"
)

// A View is how a Tally is shown.
type View struct {
	From, Until time.Time
	Zone        *time.Location // of the viewer
	Dark        bool
	Endpoint    string // ARN of the function that a click calls
	Rows        int    // of a table; 0 means 20
	Policy      string // security policy that the viewer chose, for clicks; may be ""
	Notes       []string

	// Known are the security policies that explain failures. Listener returns
	// the policy of a listener by port, nil if it is unknown.
	Known    *secpolicy.Set
	Listener func(port uint16) *secpolicy.Policy
}

// Rows of a table.
const (
	defaultRows = 20
	maxRows     = 200
)

//go:embed page.html
var pageText string

var page = template.Must(template.New("widget").Parse(pageText))

// colors are the colors of CloudWatch's console.
type colors struct{ Page, Text, Dim, Line, Link, Failed, Note string }

var (
	light = colors{Page: "#ffffff", Text: "#16191f", Dim: "#545b64", Line: "#d5dbdb", Link: "#0073bb", Failed: "#d13212", Note: "#ec7211"}
	dark  = colors{Page: "#2a2e33", Text: "#eaeded", Dim: "#a2abab", Line: "#545b64", Link: "#44b9d6", Failed: "#ff6c54", Note: "#ff9900"}
)

// A link shows another view when it is clicked.
type link struct{ Text, Endpoint, Params string }

func (v *View) link(label string, f Filter) (link, error) {
	params := struct {
		LoadBalancer string `json:"loadBalancer,omitempty"`
		Client       string `json:"client,omitempty"`
		Policy       string `json:"policy,omitempty"`
		Rows         int    `json:"rows,omitempty"`
	}{f.LoadBalancer, f.Client, v.Policy, v.Rows}
	encoded, err := text.JSON(params, "")
	return link{strings.ToValidUTF8(label, "?"), v.Endpoint, string(encoded)}, err
}

// pageData is what page.html shows.
type pageData struct {
	Colors        colors
	Trail         []link
	Here, Span    string
	Failed        string // "" for none
	Nothing       string
	Notes         []string
	Bars          []bar
	ChartWidth    int
	ChartMost     string
	ChartStep     string
	LoadBalancers []loadBalancerRow
	Causes        []causeRow
	Clients       []clientRow

	ManyLoadBalancers                             bool
	OtherLoadBalancers, OtherCauses, OtherClients string
}

type bar struct {
	X, Y, Width, Height float64
	Title               string
}

type loadBalancerRow struct {
	Failed, Reasons string
	Go              link
}

type causeRow struct {
	Failed, Offer, Reason, Where, Who string
	explanation
}

type clientRow struct {
	Failed, Connections, LoadBalancer, Mostly string
	Go                                        link
}

// Render returns the HTML of the widget.
func (t *Tally) Render(v View) (string, error) {
	rows := v.Rows
	if rows <= 0 {
		rows = defaultRows
	}
	rows = min(rows, maxRows)
	d := pageData{Colors: light, Notes: v.Notes, Here: "All load balancers"}
	if v.Dark {
		d.Colors = dark
	}
	if v.Zone == nil {
		v.Zone = time.UTC
	}
	d.Span = v.span()
	if err := t.trail(&d, v); err != nil {
		return "", err
	}
	if t.failed == 0 {
		d.Nothing = "No failed TLS negotiations in this period."
	} else {
		d.Failed = text.Count(t.failed)
		t.chart(&d, v)
	}
	for _, fill := range []func(*pageData, View, int) error{t.fillLoadBalancers, t.fillCauses, t.fillClients} {
		if err := fill(&d, v, rows); err != nil {
			return "", err
		}
	}
	return execute("page", d)
}

// Problem returns the HTML that says why there is no widget.
func Problem(problem string) (string, error) { return execute("problem", problem) }

func execute(name string, data any) (string, error) {
	var b strings.Builder
	if err := page.ExecuteTemplate(text.HTML(&b), name, data); err != nil {
		return "", fmt.Errorf("rendering the widget: %w", err)
	}
	return b.String(), nil
}

// trail shows where the viewer is, and links back.
func (t *Tally) trail(d *pageData, v View) error {
	if t.only == (Filter{}) {
		return nil
	}
	all, err := v.link("All load balancers", Filter{})
	if err != nil {
		return err
	}
	d.Trail, d.Here = []link{all}, logkey.LoadBalancerName(t.only.LoadBalancer)
	if t.only.Client == "" {
		return nil
	}
	d.Here = t.only.Client
	if t.only.LoadBalancer != "" {
		lb, err := v.link(logkey.LoadBalancerName(t.only.LoadBalancer), Filter{LoadBalancer: t.only.LoadBalancer})
		if err != nil {
			return err
		}
		d.Trail = append(d.Trail, lb)
	}
	return nil
}

func (t *Tally) fillLoadBalancers(d *pageData, v View, rows int) error {
	d.ManyLoadBalancers = len(t.loadBalancers) > 1
	if t.only.LoadBalancer != "" {
		return nil
	}
	keys, others := top(t.loadBalancers, rows, strings.Compare)
	for _, lb := range keys {
		r := t.loadBalancers[lb]
		l, err := v.link(logkey.LoadBalancerName(lb), Filter{LoadBalancer: lb, Client: t.only.Client})
		if err != nil {
			return err
		}
		d.LoadBalancers = append(d.LoadBalancers, loadBalancerRow{text.Count(r.failed), strings.Join(r.most(3), ", "), l})
	}
	d.OtherLoadBalancers = more(others, "load balancer", "load balancers")
	return nil
}

func (t *Tally) fillCauses(d *pageData, v View, rows int) error {
	keys, others := top(t.causes, rows, cause.compare)
	suggested := t.suggestions(v)
	for _, k := range keys {
		r := t.causes[k]
		c := causeRow{
			Failed: text.Count(r.failed), Offer: strings.Join(nonEmpty(k.Protocol, k.Cipher), " "), Reason: k.Reason,
			Where: fmt.Sprintf("port %d", k.port),
		}
		if d.ManyLoadBalancers {
			c.Where = logkey.LoadBalancerName(k.loadBalancer) + ", " + c.Where
		}
		if t.only.Client == "" {
			c.Who = strings.Join(r.most(3), ", ")
			if n := max(r.clients, len(r.by)) - 3; n > 0 {
				c.Who += " and at least " + text.Count(n) + " more"
			}
		}
		c.explanation = explain(v.Known, k.Attempt, v.Listener(k.port), suggested[listener{k.loadBalancer, k.port}])
		d.Causes = append(d.Causes, c)
	}
	d.OtherCauses = more(others, "kind of failure", "kinds of failure")
	return nil
}

func (t *Tally) fillClients(d *pageData, v View, rows int) error {
	if t.only.Client != "" {
		return nil
	}
	keys, others := top(t.clients, rows, client.compare)
	for _, k := range keys {
		r := t.clients[k]
		l, err := v.link(k.name, Filter{LoadBalancer: k.loadBalancer, Client: k.name})
		if err != nil {
			return err
		}
		d.Clients = append(d.Clients, clientRow{text.Count(r.failed), text.Count(r.connections), logkey.LoadBalancerName(k.loadBalancer), strings.Join(r.most(1), ""), l})
	}
	d.OtherClients = more(others, "client", "clients")
	if t.otherClients > 0 {
		d.Notes = append(slices.Clip(d.Notes), text.Plural(t.otherClients, "failure")+" from other clients: only "+text.Count(maxClients)+" clients are counted separately.")
	}
	return nil
}

// Sizes of the chart, in its own units.
const (
	maxBars   = 96
	barWidth  = 10
	barHeight = 54
)

// chart draws the failures over time in whole periods.
func (t *Tally) chart(d *pageData, v View) {
	first, last := v.From.Truncate(logkey.Period).Add(logkey.Period), v.Until
	if rest := v.Until.Sub(first) % logkey.Period; rest > 0 {
		last = v.Until.Add(logkey.Period - rest)
	}
	periods := max(1, int(last.Sub(first)/logkey.Period)+1)
	each := (periods + maxBars - 1) / maxBars
	sums := make([]uint64, (periods+each-1)/each)
	var most uint64
	for end, n := range t.periods {
		i := min(max(0, int(end.Sub(first)/logkey.Period)/each), len(sums)-1)
		sums[i] += n
		most = max(most, sums[i])
	}
	step := time.Duration(each) * logkey.Period
	d.ChartWidth, d.ChartMost, d.ChartStep = barWidth*len(sums), text.Count(most), text.Span(step)
	for i, n := range sums {
		if n == 0 {
			continue
		}
		height := max(1, barHeight*float64(n)/float64(most))
		begin := first.Add(-logkey.Period + time.Duration(i)*step)
		d.Bars = append(d.Bars, bar{
			X: float64(barWidth * i), Y: barHeight + 1 - height, Width: barWidth - 1, Height: height,
			Title: fmt.Sprintf("%s failures in the %s from %s", text.Count(n), text.Span(step), begin.In(v.Zone).Format("2 Jan 15:04")),
		})
	}
}

func (v *View) span() string {
	from, until := v.From.In(v.Zone), v.Until.In(v.Zone)
	const long = "2 Jan 2006 15:04"
	end := long
	if from.Format(time.DateOnly) == until.Format(time.DateOnly) {
		end = "15:04"
	}
	return from.Format(long) + " to " + until.Format(end) + " " + zoneName(from)
}

func zoneName(t time.Time) string {
	if n, offset := t.Zone(); offset == 0 {
		return "UTC"
	} else if n != "" {
		return n
	}
	return t.Format("UTC-07:00")
}

func more(n int, one, many string) string {
	if n == 0 {
		return ""
	}
	return "and " + text.Counted(n, "more "+one, "more "+many)
}
