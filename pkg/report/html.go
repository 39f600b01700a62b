package report

import (
	"bufio"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"strconv"
	"strings"
	"time"

	"tlswatch/internal/text"
)

//go:embed page
var pageFiles embed.FS

var (
	pageCSS      = pageFile("page.css")
	pageJS       = pageFile("page.js")
	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"count": anyCount, "plural": anyPlural, "printable": text.Printable}).Parse(pageFile("page.html")))

	// pageCSP lets the page's own style and script run, and nothing be loaded.
	pageCSP = fmt.Sprintf("default-src 'none'; style-src '%s'; script-src '%s'; base-uri 'none'; form-action 'none'", sourceHash(pageCSS), sourceHash(pageJS))
)

func pageFile(name string) string {
	data, err := pageFiles.ReadFile("page/" + name)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// sourceHash is how a Content-Security-Policy names inline text.
func sourceHash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

func anyCount(n any) string {
	switch n := n.(type) {
	case int:
		return text.Count(n)
	case uint64:
		return text.Count(n)
	}
	return fmt.Sprint(n)
}

func anyPlural(n any, noun string) string {
	count := anyCount(n)
	if count != "1" {
		noun += "s"
	}
	return count + " " + noun
}

// A page is what the template shows.
type page struct {
	R            *Result
	CSP          string
	CSS          template.CSS
	JS           template.JS
	When, Volume string
	Why          []Diagnosis
	MoreWhy      int
	Nav          []pageLink
	Cards        []pageCard
	Chart        *pageChart
	Shares       []pageShares
	Heat         *pageHeat
	Tables       []pageTable
}

type (
	pageLink struct{ ID, Title string }
	pageCard struct {
		Value, Name string
		Bad         bool
	}
	pageChart struct {
		Per, From, To string
		Width         int
		Most          uint64
		Bars          []pageBar
	}
	pageBar struct {
		X         int
		Y, Height string
		Title     string
	}
	pageShares struct {
		ID, Title, Column string
		Rows              []pageShare
		More              int
	}
	pageShare struct {
		Name, Note string
		Counts
		All, Bad string // percent of all connections
		Share    string
	}
	pageHeat struct {
		Per, From, To string
		Most, Missed  uint64
		Rows          []pageHeatRow
	}
	pageHeatRow struct {
		Client string
		Cells  []pageHeatCell
	}
	pageHeatCell struct {
		Level int
		Title string
	}
	pageTable struct {
		ID, Title, More string
		Columns         []pageColumn
		Rows            [][]pageCell
	}
	pageColumn struct {
		Name   string
		Number bool
	}
	// pageCell is a cell that is sorted by Value, if there is one, else by Text.
	pageCell struct{ Text, Value, Class string }
)

// WriteHTML writes the result as one page that needs nothing else: no network,
// no other file. What clients had the log say is text in it.
func (r *Result) WriteHTML(w io.Writer) error {
	p := &page{R: r, CSP: pageCSP, CSS: template.CSS(pageCSS), JS: template.JS(pageJS)}
	if r.First != nil {
		p.When = r.First.UTC().Format("2006-01-02 15:04") + " to " + r.Last.UTC().Format("2006-01-02 15:04") + " UTC"
	}
	p.Volume = strings.Join(r.volume(), " ")
	why, number := r.causes()
	p.Why, p.MoreWhy = why, len(r.Diagnoses)-len(why)
	p.Cards = r.pageCards()
	p.Chart = r.pageChart()
	p.Shares = r.pageShares()
	p.Heat = r.pageHeat()
	p.Tables = r.pageTables(number)
	link := func(id, title string, there bool) {
		if there {
			p.Nav = append(p.Nav, pageLink{id, title})
		}
	}
	link("time", "Over time", p.Chart != nil)
	link("why", "Why", len(why) > 0)
	link("whatif", "What if", r.WhatIf != nil)
	for _, s := range p.Shares {
		link(s.ID, s.Title, true)
	}
	link("heat", "Clients over time", p.Heat != nil)
	for _, t := range p.Tables {
		link(t.ID, t.Title, true)
	}
	b := bufio.NewWriter(w)
	if err := pageTemplate.Execute(b, p); err != nil {
		return err
	}
	return b.Flush()
}

func (r *Result) pageCards() []pageCard {
	cards := []pageCard{{text.Count(r.Connections), "connections", false}}
	if r.PlaintextConnections > 0 {
		cards = append(cards, pageCard{text.Count(r.PlaintextConnections), "without TLS", false})
	}
	cards = append(cards,
		pageCard{text.Count(r.Failed), "failed negotiations", r.Failed > 0},
		pageCard{text.Percent(r.Failed, r.TLSConnections), "of TLS connections failed", r.Failed > 0},
		pageCard{text.Count(r.TotalFailedClients), "failing clients", false})
	if share, ok := r.PostQuantumShare(); ok {
		cards = append(cards, pageCard{fmt.Sprintf("%.1f %%", 100*share), "post-quantum key exchange", false})
	}
	if r.HandshakeLatency.Count > 0 {
		cards = append(cards, pageCard{millis(r.HandshakeLatency.P99), "handshake, 99th percentile", false})
	}
	if r.MalformedLines > 0 {
		cards = append(cards, pageCard{text.Count(r.MalformedLines), "malformed lines", true})
	}
	return cards
}

const (
	pageBars   = 120 // of the chart, at the most
	pageShareN = 12  // rows of a list of shares, at the most
	pageFailed = 500 // logs that could not be read, at the most
	pageTime   = "2006-01-02 15:04"
)

func (r *Result) pageChart() *pageChart {
	bars, from, width := r.Bars(pageBars)
	c := &pageChart{Per: per(width), Width: len(bars)}
	for _, b := range bars {
		c.Most = max(c.Most, b.Failed)
	}
	if c.Most == 0 {
		return nil
	}
	c.From, c.To = from.Format(pageTime), from.Add(time.Duration(len(bars))*width).Format(pageTime)
	for i, b := range bars {
		height := 100 * float64(b.Failed) / float64(c.Most)
		c.Bars = append(c.Bars, pageBar{i, decimal(100 - height), decimal(height),
			fmt.Sprintf("%s: %s of %s failed", from.Add(time.Duration(i)*width).Format(pageTime), text.Count(b.Failed), text.Count(b.Connections))})
	}
	return c
}

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

func (r *Result) pageShares() []pageShares {
	var all []pageShares
	list := func(id, title, column string, n int, row func(i int) (name, note string, c Counts)) {
		s := pageShares{ID: id, Title: title, Column: column, More: max(0, n-pageShareN)}
		for i := range min(n, pageShareN) {
			name, note, c := row(i)
			s.Rows = append(s.Rows, pageShare{text.Printable(name), note, c,
				decimal(100 * float64(c.Connections) / float64(max(1, r.Connections))), decimal(100 * float64(c.Failed) / float64(max(1, r.Connections))),
				fmt.Sprintf("%s of all connections, %s of them failed", text.Percent(c.Connections, r.Connections), text.Percent(c.Failed, c.Connections))})
		}
		if n > 0 {
			all = append(all, s)
		}
	}
	list("status", "Status", "status", len(r.ByStatus), func(i int) (string, string, Counts) {
		x := r.ByStatus[i]
		c := Counts{Connections: x.Count}
		if (Negotiation{Status: x.Status}).Reason() != "" {
			c.Failed = x.Count
		}
		return x.Status, "", c
	})
	list("protocols", "Protocols", "protocol", len(r.ByProtocol), func(i int) (string, string, Counts) {
		return r.ByProtocol[i].Protocol, "", r.ByProtocol[i].Counts
	})
	list("ciphers", "Cipher suites", "cipher suite", len(r.ByCipher), func(i int) (string, string, Counts) {
		x := r.ByCipher[i]
		return x.Cipher, strings.TrimPrefix(strings.TrimSpace(x.Protocol+" "+x.Strength), "-"), x.Counts
	})
	list("key-exchange", "Key exchange", "key exchange", len(r.ByKeyExchange), func(i int) (string, string, Counts) {
		x := r.ByKeyExchange[i]
		note := ""
		if x.PostQuantum {
			note = "post-quantum"
		}
		return x.KeyExchange, note, x.Counts
	})
	list("listeners", "Listeners", "port", len(r.ByListenerPort), func(i int) (string, string, Counts) {
		return strconv.Itoa(int(r.ByListenerPort[i].Port)), "", r.ByListenerPort[i].Counts
	})
	list("load-balancers", "Load balancers", "load balancer", len(r.ByLoadBalancer), func(i int) (string, string, Counts) {
		return r.ByLoadBalancer[i].LoadBalancer, "", r.ByLoadBalancer[i].Counts
	})
	return all
}

func (r *Result) pageHeat() *pageHeat {
	h := r.heat
	if h == nil {
		return nil
	}
	const levels = 6
	p := &pageHeat{Per: text.Span(h.width), From: h.from.Format(pageTime), To: h.from.Add(time.Duration(h.columns) * h.width).Format(pageTime), Most: h.most, Missed: h.missed}
	for i, client := range h.clients {
		row := pageHeatRow{Client: client}
		for column, n := range h.counts[i] {
			cell := pageHeatCell{}
			if n > 0 {
				cell.Level = int((n*levels + h.most - 1) / h.most)
				cell.Title = fmt.Sprintf("%s, %s: %s failed", client, h.from.Add(time.Duration(column)*h.width).Format(pageTime), text.Count(n))
			}
			row.Cells = append(row.Cells, cell)
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}

// pageTables returns the lists. Negotiations refer to causes by their numbers.
func (r *Result) pageTables(why map[string]int) []pageTable {
	var all []pageTable
	count := func(n uint64) pageCell { return pageCell{text.Count(n), number(n), "n"} }
	words := func(s string) pageCell { return pageCell{Text: text.Printable(s), Class: "t"} }
	word := func(s string) pageCell { return pageCell{Text: text.Printable(s), Class: "w"} }
	ratio := func(c Counts) pageCell {
		return pageCell{text.Percent(c.Failed, c.Connections), decimal(100 * c.FailureRate()), "n"}
	}
	latency := func(s float64) pageCell { return pageCell{millis(s), seconds(s), "n"} }
	add := func(t pageTable, columns ...string) {
		for i, name := range columns {
			t.Columns = append(t.Columns, pageColumn{name, len(t.Rows) > 0 && t.Rows[0][i].Class == "n"})
		}
		if len(t.Rows) > 0 {
			all = append(all, t)
		}
	}
	cut := func(shown, all int) string {
		if shown == all {
			return ""
		}
		return fmt.Sprintf("%s of %s; --top shows more", text.Count(shown), text.Count(all))
	}

	t := pageTable{ID: "failed-clients", Title: "Failing clients", More: cut(len(r.FailedClients), r.TotalFailedClients)}
	for _, x := range r.FailedClients {
		t.Rows = append(t.Rows, []pageCell{word(x.Client), count(x.Failed), count(x.Connections), ratio(x.Counts)})
	}
	add(t, "client", "failed", "connections", "rate")

	t = pageTable{ID: "failed-negotiations", Title: "Failed negotiations", More: cut(len(r.FailedNegotiations), r.TotalFailedNegotiations)}
	columns := []string{"count", "client", "protocol", "cipher suite", "reason"}
	if r.Policy != "" {
		columns = append(columns, "listener", "why")
	}
	for _, x := range r.FailedNegotiations {
		row := []pageCell{count(x.Count), word(x.Client), word(x.Protocol), words(x.Cipher), words(x.Reason())}
		if r.Policy != "" {
			row = append(row, pageCell{Text: text.Printable(x.LoadBalancer + ":" + portText(x.Port)), Class: "l"}, count(uint64(why[x.Diagnosis])))
		}
		t.Rows = append(t.Rows, row)
	}
	add(t, columns...)

	t = pageTable{ID: "captured-offers", Title: "What clients offered, by packet captures"}
	if c := r.Captured; c != nil {
		t.More = cut(len(r.CapturedOffers), c.Offers)
	}
	for _, x := range r.CapturedOffers {
		t.Rows = append(t.Rows, []pageCell{count(x.Count), word(x.Client), word(x.Protocol), words(Negotiation{Status: x.Status}.Reason()), words(x.ServerName), words(x.offered()), words(x.Outcome), words(x.Verdict)})
	}
	add(t, "count", "client", "protocol", "reason", "for", "offers", "ended", "policy")

	t = pageTable{ID: "certificates", Title: "Client certificates", More: fmt.Sprintf("Those that failed, or end within %d days of the last entry.", CertificateDays)}
	for _, x := range r.ClientCertificates {
		until := pageCell{Text: stamp(x.NotAfter), Class: "w"}
		if x.Expiring {
			until.Class = "w bad"
		}
		t.Rows = append(t.Rows, []pageCell{words(x.Subject), until, count(x.Failed), count(x.Connections), words(dash(Negotiation{Status: x.Status}.Reason()))})
	}
	add(t, "subject", "valid until", "failed", "connections", "reason")

	t = pageTable{ID: "latency", Title: "Handshake latency"}
	line := func(name string, l Latency) {
		if l.Count > 0 {
			t.Rows = append(t.Rows, []pageCell{word(name), count(l.Count), latency(l.P50), latency(l.P90), latency(l.P99), latency(l.Max)})
		}
	}
	line("all", r.HandshakeLatency)
	for _, x := range r.LatencyByProtocol {
		line(x.Protocol, x.Latency)
	}
	add(t, "protocol", "handshakes", "p50", "p90", "p99", "max")

	t = pageTable{ID: "slowest-clients", Title: "Slowest clients"}
	for _, x := range r.SlowestClients {
		t.Rows = append(t.Rows, []pageCell{word(x.Client), count(x.Connections), latency(x.Mean), latency(x.Max)})
	}
	add(t, "client", "handshakes", "mean", "max")

	t = pageTable{ID: "failed-logs", Title: "Logs that could not be read to the end"}
	shown := r.FailedObjects[:min(len(r.FailedObjects), pageFailed)]
	if n := r.TotalFailedObjects - len(shown); n > 0 {
		t.More = fmt.Sprintf("and %s more; json and csv have them all", text.Count(n))
	}
	for _, x := range shown {
		t.Rows = append(t.Rows, []pageCell{words(x.Object), words(x.Error)})
	}
	add(t, "log", "error")

	t = pageTable{ID: "malformed", Title: "Malformed lines"}
	if n := r.MalformedLines - len(r.Malformed); n > 0 {
		t.More = fmt.Sprintf("and %s more", text.Count(n))
	}
	for _, x := range r.Malformed {
		t.Rows = append(t.Rows, []pageCell{words(x.Object), count(uint64(x.Line)), words(x.Error)})
	}
	add(t, "log", "line", "error")

	t = pageTable{ID: "skipped", Title: "Passed over"}
	for _, x := range r.Skipped {
		t.Rows = append(t.Rows, []pageCell{words(x.Reason), count(uint64(x.Count))})
	}
	add(t, "what it is", "logs")
	return all
}
