package view

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
	"tlswatch/pkg/report"
)

//go:embed page
var pageFiles embed.FS

var (
	pageCSS      = pageFile("page.css")
	pageJS       = pageFile("page.js")
	pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"count": anyCount, "plural": anyPlural, "marked": marked}).Parse(pageFile("page.html")))

	// pageCSP allows the page's own style and script, and nothing else.
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
	R                   *report.Result
	CSP                 string
	CSS                 template.CSS
	JS                  template.JS
	Title, When         string
	Volume              string
	Story               *pageStory
	Incidents           []pageIncident
	Why                 []report.Diagnosis
	MoreWhy             int
	Nav                 []pageLink
	Cards               []pageCard
	Chart               *pageChart
	Lines               []pageLine
	Shares              []pageShares
	Heat                *pageHeat
	ThenWhen            string
	Then                []string
	Differ, Who, Tables []pageTable
}

type (
	pageLink struct{ ID, Title string }
	pageCard struct {
		Value, Name string
		Bad         bool
	}
	pageShares struct {
		ID, Title, Column string
		Rows              []pageShare
		More              int
	}
	pageShare struct {
		Name, Note string
		report.Counts
		All, Bad string // percent of all connections
		Share    string
	}
	pageHeat struct {
		Per    string
		Missed uint64
		Times  []pageHeatTime
		Scale  []pageHeatStep
		Rows   []pageHeatRow
	}
	pageHeatTime struct {
		Label   string
		Columns int
	}
	pageHeatStep struct {
		Level int
		Label string
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

// WriteHTML writes the report as one page that needs neither network nor other
// files. Whatever clients wrote into the log is plain text in it.
func WriteHTML(w io.Writer, r *report.Result) error {
	p := &page{R: r, CSP: pageCSP, CSS: template.CSS(pageCSS), JS: template.JS(pageJS), Title: title(r)}
	if r.First != nil {
		p.When = text.Period(r.In(*r.First), r.In(*r.Last))
	}
	p.Volume = strings.Join(volume(r), " ")
	if r.Ignored != nil {
		p.Volume += "; " + ignored(r.Ignored)
	}
	why, number := causes(r)
	p.Why, p.MoreWhy = why, len(r.Diagnoses)-len(why)
	p.Story, p.Incidents = storyOf(r), incidentsOf(r)
	p.Cards = cardsOf(r)
	p.Chart, p.Lines = chartOf(r), linesOf(r)
	p.Shares = sharesOf(r)
	p.Heat = heatOf(r)
	if r.Comparison != nil {
		p.ThenWhen, p.Then = compared(r)
	}
	p.Differ = withRows(differences(r))
	p.Who = withRows(cohorts(r), failedClients(r), failedNegotiations(r, number), software(r), capturedOffers(r), clientRequests(r))
	p.Tables = withRows(certificates(r), nonPostQuantumClients(r), latency(r), slowestClients(r), failedLogs(r), malformedLines(r), skippedLogs(r))
	link := func(id, title string, there bool) {
		if there {
			p.Nav = append(p.Nav, pageLink{id, title})
		}
	}
	link("time", "Over time", p.Chart != nil)
	link("why", "Why", len(p.Incidents)+len(why) > 0)
	link("compared", "Compared", len(p.Then) > 0)
	link("load-balancers", "Load balancers", len(p.Lines) > 0)
	for _, t := range p.Who {
		link(t.ID, t.Title, true)
	}
	link("heat", "Clients over time", p.Heat != nil)
	link("whatif", "What if", r.WhatIf != nil)
	for _, s := range p.Shares {
		link(s.ID, s.Title, true)
	}
	for _, t := range p.Tables {
		link(t.ID, t.Title, true)
	}
	b := bufio.NewWriter(w)
	if err := pageTemplate.Execute(text.HTML(b), p); err != nil {
		return err
	}
	return b.Flush()
}

func cardsOf(r *report.Result) []pageCard {
	cards := []pageCard{{text.Count(r.Connections), "connections", false}}
	if r.PlaintextConnections > 0 {
		cards = append(cards, pageCard{text.Count(r.PlaintextConnections), "plain HTTP", false})
	}
	cards = append(cards,
		pageCard{text.Count(r.Failed), "failed negotiations", r.Failed > 0},
		pageCard{text.Percent(r.Failed, r.TLSConnections), "of TLS connections failed", r.Failed > 0},
		pageCard{text.Count(r.TotalFailedClients), "failing clients", false})
	if share, ok := postQuantumShare(r); ok {
		cards = append(cards, pageCard{text.Share(share), "post-quantum key exchange", false})
	}
	if r.HandshakeLatency.Count > 0 {
		cards = append(cards, pageCard{millis(r.HandshakeLatency.P99), "handshake, 99th percentile", false})
	}
	if r.MalformedLines > 0 {
		cards = append(cards, pageCard{text.Count(r.MalformedLines), "invalid lines", true})
	}
	return cards
}

const (
	pageShareN = 12  // at most, rows of a list of shares
	pageFailed = 500 // at most, logs that could not be read
	pageTime   = "2006-01-02 15:04"
)

func decimal(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

func sharesOf(r *report.Result) []pageShares {
	var all []pageShares
	list := func(id, title, column string, n int, row func(i int) (name, note string, c report.Counts)) {
		s := pageShares{ID: id, Title: title, Column: column, More: max(0, n-pageShareN)}
		for i := range min(n, pageShareN) {
			name, note, c := row(i)
			s.Rows = append(s.Rows, pageShare{name, note, c,
				decimal(100 * float64(c.Connections) / float64(max(1, r.Connections))), decimal(100 * float64(c.Failed) / float64(max(1, r.Connections))),
				fmt.Sprintf("%s of all connections, %s of them failed", text.Percent(c.Connections, r.Connections), text.Percent(c.Failed, c.Connections))})
		}
		if n > 0 {
			all = append(all, s)
		}
	}
	list("status", "Status", "status", len(r.ByStatus), func(i int) (string, string, report.Counts) {
		x := r.ByStatus[i]
		c := report.Counts{Connections: x.Count}
		if (report.Negotiation{Status: x.Status}).Reason() != "" {
			c.Failed = x.Count
		}
		return x.Status, "", c
	})
	list("protocols", "Protocols", "protocol", len(r.ByProtocol), func(i int) (string, string, report.Counts) {
		return r.ByProtocol[i].Protocol, "", r.ByProtocol[i].Counts
	})
	list("ciphers", "Cipher suites", "cipher suite", len(r.ByCipher), func(i int) (string, string, report.Counts) {
		x := r.ByCipher[i]
		return x.Cipher, strings.TrimPrefix(strings.TrimSpace(x.Protocol+" "+x.Strength), "-"), x.Counts
	})
	list("key-exchange", "Key exchange", "key exchange", len(r.ByKeyExchange), func(i int) (string, string, report.Counts) {
		x := r.ByKeyExchange[i]
		note := ""
		if x.PostQuantum {
			note = "post-quantum"
		}
		return x.KeyExchange, note, x.Counts
	})
	list("listeners", "Listeners", "port", len(r.ByListenerPort), func(i int) (string, string, report.Counts) {
		return strconv.Itoa(int(r.ByListenerPort[i].Port)), "", r.ByListenerPort[i].Counts
	})
	if r.Timelines != nil && r.Timelines.Minutes != nil { // which show them
		return all
	}
	list("load-balancers", "Load balancers", "load balancer", len(r.ByLoadBalancer), func(i int) (string, string, report.Counts) {
		return r.ByLoadBalancer[i].LoadBalancer, "", r.ByLoadBalancer[i].Counts
	})
	return all
}

const heatLevels = 6

func heatOf(r *report.Result) *pageHeat {
	h := r.Heat
	if h == nil {
		return nil
	}
	from := r.In(h.From)
	p := &pageHeat{Per: text.Span(h.Width), Missed: h.Missed}
	ticks := times(from, from.Add(time.Duration(h.Columns)*h.Width))
	column := 0
	for i, tick := range ticks { // each label stands above the columns up to the next one
		share, _ := strconv.ParseFloat(tick.At, 64)
		next := 100.0
		if i+1 < len(ticks) {
			next, _ = strconv.ParseFloat(ticks[i+1].At, 64)
		}
		at, end := int(share*float64(h.Columns)/100+0.5), int(next*float64(h.Columns)/100+0.5)
		if at > column {
			p.Times = append(p.Times, pageHeatTime{"", at - column})
		}
		if end > at {
			p.Times = append(p.Times, pageHeatTime{tick.Label, end - at})
		}
		column = max(at, end)
	}
	for level := 1; level <= heatLevels; level++ {
		if most := h.Most * uint64(level) / heatLevels; most > h.Most*uint64(level-1)/heatLevels {
			p.Scale = append(p.Scale, pageHeatStep{level, text.Count(most)})
		}
	}
	for i, client := range h.Clients {
		row := pageHeatRow{Client: client}
		for column, n := range h.Counts[i] {
			cell := pageHeatCell{}
			if n > 0 {
				cell.Level = int((n*heatLevels + h.Most - 1) / h.Most)
				cell.Title = fmt.Sprintf("%s, %s: %s failed", client, from.Add(time.Duration(column)*h.Width).Format(pageTime), text.Count(n))
			}
			row.Cells = append(row.Cells, cell)
		}
		p.Rows = append(p.Rows, row)
	}
	return p
}
