package widget

import (
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"tlswatch/internal/dev/alerttest"
	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/text"
	"tlswatch/pkg/alert"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/secpolicy"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var start = time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)

const endpoint = "arn:aws:lambda:us-east-1:123456789012:function:tlswatch-widget"

// windows makes windows of several periods and two load balancers.
func windows(t *testing.T, periods int) []alert.Window {
	t.Helper()
	var list []alert.Window
	for i := range periods {
		for j, lb := range []string{"app/shop/50dc6c495c0c9188", "app/api/e3610968cb568663"} {
			begin := start.Add(time.Duration(i) * logkey.Period)
			s := alerttest.Summarize(t, connlogtest.Log(connlogtest.Options{Seed: uint64(2*i + j), Lines: 300 + 900*(1-j), Start: begin, LoadBalancer: lb}))
			list = append(list, alert.Observe(s, logkey.Key{LoadBalancer: lb, PeriodEnd: begin.Add(logkey.Period)}, "s3://logs/x", true))
		}
	}
	return list
}

func view(hours int) View {
	policies := secpolicy.Builtin()
	policy, err := policies.Lookup("ELBSecurityPolicy-TLS13-1-2-2021-06")
	if err != nil {
		panic(err)
	}
	return View{
		From: start, Until: start.Add(time.Duration(hours) * time.Hour), Endpoint: endpoint, Policy: policy.Name,
		Known: policies, Listener: func(uint16) *secpolicy.Policy { return policy },
	}
}

func render(t *testing.T, list []alert.Window, only Filter, v View) string {
	t.Helper()
	tally := NewTally(only)
	for _, w := range list {
		tally.Add(w)
	}
	text, err := tally.Render(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// The golden files are what viewers see. Look at them in a browser.
func TestGolden(t *testing.T) {
	list := windows(t, 30)
	berlin := view(3)
	berlin.Zone, berlin.Dark, berlin.Rows = time.FixedZone("UTC+01:00", 3600), true, 3
	berlin.Notes = []string{"Only the 2000 log objects with the most failures were read. The other 12, with at most 14 failures in total, are not counted here."}
	for name, text := range map[string]string{
		"all":          render(t, list, Filter{}, view(3)),
		"dark":         render(t, list, Filter{}, berlin),
		"loadbalancer": render(t, list, Filter{LoadBalancer: "app/api/e3610968cb568663"}, view(3)),
		"client":       render(t, list, Filter{LoadBalancer: "app/shop/50dc6c495c0c9188", Client: "203.0.113.7"}, view(3)),
		"nothing":      render(t, nil, Filter{}, view(3)),
	} {
		golden := filepath.Join("testdata", name+".html")
		if *update {
			if err := os.WriteFile(golden, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(golden)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), text); d != "" {
			t.Errorf("%s: -want +got\n%s", golden, d)
		}
		checkMarkup(t, name, text)
	}
}

// elements and attributes are all that the widget may have. CloudWatch removes
// scripts, frames and use elements.
var elements = map[string][]string{
	"style": nil, "div": {"class"}, "p": {"class"}, "b": nil, "span": {"class"}, "h3": nil, "table": nil, "tbody": nil, "tr": nil,
	"th": {"class"}, "td": {"class"}, "code": nil, "br": nil, "a": {"class"},
	"cwdb-action": {"action", "display", "endpoint"},
	"svg":         {"viewbox", "preserveaspectratio", "role", "aria-label"}, "title": nil,
	"rect": {"x", "y", "width", "height", "fill"}, "line": {"x1", "y1", "x2", "y2", "stroke"},
}

// checkMarkup reads the HTML as a browser does and returns its text.
func checkMarkup(t *testing.T, name, markup string) string {
	t.Helper()
	var text strings.Builder
	var depth []string
	z := html.NewTokenizer(strings.NewReader(markup))
	for {
		switch z.Next() {
		case html.ErrorToken:
			if len(depth) > 0 {
				t.Errorf("%s: %q are left open", name, depth)
			}
			return text.String()
		case html.TextToken:
			token := z.Token()
			text.WriteString(token.Data)
			if len(depth) > 0 && depth[len(depth)-1] == "cwdb-action" {
				var params map[string]any
				if err := json.Unmarshal([]byte(token.Data), &params); err != nil {
					t.Errorf("%s: parameters %q: %v", name, token.Data, err)
				}
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			token := z.Token()
			allowed, ok := elements[token.Data]
			if !ok {
				t.Errorf("%s: element %s", name, token.Data)
			}
			for _, a := range token.Attr {
				if !slices.Contains(allowed, strings.ToLower(a.Key)) {
					t.Errorf("%s: attribute %s of %s", name, a.Key, token.Data)
				}
			}
			if token.Type == html.StartTagToken && token.Data != "br" {
				depth = append(depth, token.Data)
			}
		case html.EndTagToken:
			token := z.Token()
			if len(depth) == 0 || depth[len(depth)-1] != token.Data {
				t.Fatalf("%s: %s ends in %q", name, token.Data, depth)
			}
			depth = depth[:len(depth)-1]
		case html.CommentToken, html.DoctypeToken:
			t.Errorf("%s: %s", name, z.Token())
		}
	}
}

// Text from logs, records and requests is shown, and never becomes markup.
func TestInjection(t *testing.T) {
	for _, evil := range []string{
		`<script>alert(1)</script>`,
		`<img src=x onerror=alert(1)>`,
		`"><svg onload=alert(1)>`,
		`' onmouseover='alert(1)`,
		`</cwdb-action><cwdb-action action="call" endpoint="arn:evil">{"x":1}`,
		`</style><style>*{display:none}`,
		`</title></svg><b>x`,
		`{{.Failed}}`,
		`javascript:alert(1)`,
		"\x00\x1b[31m\u202e\xff\xfe",
		`<!--`, `&lt;b&gt;`, `]]>`, "a\nb\r\nc",
	} {
		w := alert.Window{
			LoadBalancer: "app/" + evil + "/1", Failed: 9, Connections: 10, Start: start, End: start.Add(logkey.Period),
			Reasons: map[string]uint64{evil: 9},
			Clients: []alert.Client{{Client: evil, Connections: 9, Failed: 9}, {Client: evil + evil, Connections: 1, Failed: 1}},
			Groups: []alert.Group{{ListenerPort: 443, Protocol: evil, Cipher: evil, Reason: evil, Failed: 9, Clients: 12,
				Top: []alert.Client{{Client: evil, Connections: 9, Failed: 9}}}},
		}
		other := w
		other.LoadBalancer = evil
		for _, only := range []Filter{{}, {LoadBalancer: w.LoadBalancer}, {LoadBalancer: w.LoadBalancer, Client: evil}, {Client: evil}} {
			v := view(1)
			v.Endpoint, v.Policy, v.Notes = evil, evil, []string{evil}
			v.Zone = time.FixedZone(evil, 3600)
			shown := checkMarkup(t, evil, render(t, []alert.Window{w, other}, only, v))
			for line := range strings.SplitSeq(strings.TrimPrefix(evil, "\x00"), "\n") { // html/template drops NUL
				if visible := text.Printable(line); !strings.Contains(shown, visible[:min(3, len(visible))]) {
					t.Errorf("%q is not shown", evil)
				}
			}
		}
		problem, err := Problem(evil)
		if err != nil {
			t.Fatal(err)
		}
		checkMarkup(t, evil, problem)
	}
}

// The sums match the windows under every filter.
func TestTally(t *testing.T) {
	list := windows(t, 12)
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	for _, only := range []Filter{{}, {LoadBalancer: "app/api/e3610968cb568663"}, {Client: "203.0.113.7"}, {LoadBalancer: "app/shop/50dc6c495c0c9188", Client: "198.51.100.40"}, {Client: "192.0.2.1"}} {
		tally := NewTally(only)
		var want, causes, clients uint64
		for _, w := range list {
			tally.Add(w)
			if only.LoadBalancer != "" && w.LoadBalancer != only.LoadBalancer {
				continue
			}
			if only.Client == "" {
				want += w.Failed
			}
			for _, c := range w.Clients {
				if only.Client == "" || c.Client == only.Client {
					clients += c.Failed
				}
				if c.Client == only.Client {
					want += c.Failed
				}
			}
			for _, g := range w.Groups {
				if only.Client == "" {
					causes += g.Failed
				}
				for _, c := range g.Top {
					if c.Client == only.Client {
						causes += c.Failed
					}
				}
			}
		}
		sum := func(rows []*row) (n uint64) {
			for _, r := range rows {
				n += r.failed
			}
			return n
		}
		var periods uint64
		for _, n := range tally.periods {
			periods += n
		}
		got := []uint64{tally.failed, periods, sum(values(tally.loadBalancers)), sum(values(tally.causes)), sum(values(tally.clients))}
		if want := []uint64{want, want, want, causes, clients}; !slices.Equal(got, want) {
			t.Errorf("%+v: got %v, want %v", only, got, want)
		}
		if want == 0 && only.Client != "192.0.2.1" {
			t.Errorf("%+v: nothing to compare", only)
		}
	}
}

func values[K comparable](m map[K]*row) (list []*row) {
	for _, r := range m {
		list = append(list, r)
	}
	return list
}

// The bars of the chart add up to the failures in any time range.
func TestChart(t *testing.T) {
	list := windows(t, 12)
	tally := NewTally(Filter{})
	for _, w := range list {
		tally.Add(w)
	}
	for _, span := range []time.Duration{time.Hour, 70*time.Minute + 13*time.Second, 12 * time.Hour, 31 * 24 * time.Hour} {
		v := view(1)
		v.Until, v.Zone = v.From.Add(span), time.UTC
		var d pageData
		tally.chart(&d, v)
		if len(d.Bars) == 0 || d.ChartWidth > maxBars*barWidth {
			t.Fatalf("%v: %d bars, width %d", span, len(d.Bars), d.ChartWidth)
		}
		var sum uint64
		for _, b := range d.Bars {
			var n uint64
			if _, err := fmt.Sscan(strings.ReplaceAll(b.Title, ",", ""), &n); err != nil {
				t.Fatal(err)
			}
			sum += n
			if b.X < 0 || b.X+b.Width > float64(d.ChartWidth) || b.Y < 0 || b.Height <= 0 || b.Y+b.Height > 56 {
				t.Errorf("%v: a bar outside the chart: %+v", span, b)
			}
		}
		if sum != tally.failed {
			t.Errorf("%v: the bars add up to %d, failures are %d", span, sum, tally.failed)
		}
	}
}

// Memory and rows are bounded, even with a hundred thousand clients of many load
// balancers.
func TestBounds(t *testing.T) {
	tally := NewTally(Filter{})
	for i := range 2000 {
		w := alert.Window{LoadBalancer: fmt.Sprintf("app/lb-%d/1", i%700), Failed: 100, Start: start, End: start.Add(logkey.Period), Reasons: map[string]uint64{fmt.Sprint(i): 100}}
		for j := range 100 {
			w.Clients = append(w.Clients, alert.Client{Client: fmt.Sprintf("10.%d.%d.%d", i>>8, i&255, j), Connections: 1, Failed: 1})
		}
		for j := range 25 {
			w.Groups = append(w.Groups, alert.Group{Cipher: fmt.Sprint(i, j), Failed: 4, Top: w.Clients[4*j : 4*j+4]})
		}
		tally.Add(w)
	}
	if n := len(tally.clients); n > maxClients || len(tally.causes) > maxClients {
		t.Errorf("%d clients, %d causes", n, len(tally.causes))
	}
	v := view(1)
	v.Rows = 1 << 30
	text, err := tally.Render(v)
	if err != nil || len(text) > 1<<20 {
		t.Errorf("%d bytes, %v", len(text), err)
	}
	if !strings.Contains(text, "and 500 more load balancers") || !strings.Contains(text, "150,000 failures from other clients: only 50,000 clients are counted separately") {
		t.Error("what is left out is not said")
	}
}

// One policy is suggested for all failing clients of a listener, to those that it
// accepts.
func TestSuggestions(t *testing.T) {
	const unmapped = "UnmappedConnectionError"
	for _, known := range []bool{true, false} {
		attempts := []struct {
			a       secpolicy.Attempt
			suggest bool
		}{
			{secpolicy.Attempt{Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256", Reason: unmapped}, true},
			{secpolicy.Attempt{Protocol: "TLSv1.1", Cipher: "ECDHE-RSA-AES128-SHA", Reason: unmapped}, true},
			{secpolicy.Attempt{Protocol: "TLSv1.2", Cipher: "RC4-SHA", Reason: unmapped}, false},
			{secpolicy.Attempt{Protocol: "TLSv1.3", Cipher: "TLS_AES_128_GCM_SHA256", Reason: unmapped}, !known},
			{secpolicy.Attempt{Reason: unmapped}, false},
			{secpolicy.Attempt{Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256", Reason: "ClientCertExpired"}, false},
			{secpolicy.Attempt{Protocol: "TLSv9", Cipher: "NEW", Reason: "BrandNew"}, false},
		}
		tally := NewTally(Filter{})
		w := alert.Window{LoadBalancer: "app/shop/1", Start: time.Unix(0, 0), End: time.Unix(300, 0)}
		for i, test := range attempts {
			w.Failed++
			w.Groups = append(w.Groups, alert.Group{ListenerPort: 443, Protocol: test.a.Protocol, Cipher: test.a.Cipher, Reason: test.a.Reason, Failed: uint64(i + 1)})
		}
		tally.Add(w)
		names := secpolicy.ListenerPolicies{}
		if known {
			names[443] = "ELBSecurityPolicy-TLS13-1-3-2021-06"
		}
		v := View{Known: secpolicy.Builtin(), Listener: func(port uint16) *secpolicy.Policy { return names.Policy(secpolicy.Builtin(), port) }}
		best := tally.suggestions(v)[listener{"app/shop/1", 443}]
		if best == nil || best.Name != "ELBSecurityPolicy-TLS13-1-1-2021-06" {
			t.Fatalf("known %t: %v", known, best)
		}
		for _, test := range attempts {
			e := explain(v.Known, test.a, v.Listener(443), best)
			if e.Cause == "" || e.Remedy == "" || (e.Policy != "") != test.suggest || e.Policy != "" && e.Policy != best.Name {
				t.Errorf("known %t: %+v: %+v", known, test.a, e)
			}
		}
	}
}
