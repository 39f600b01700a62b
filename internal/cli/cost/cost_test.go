package cost

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
)

// A mix is lines that are alike but for their clients, from 10.0.0.0 on unless
// client says where.
type mix struct {
	lines, clients                  int
	client                          string // with a number in the end
	port                            int
	protocol, cipher, group, status string
}

// The three cases of docs/cost.md, with what a load balancer node logs in five
// minutes.
var costCases = map[string]struct {
	loadBalancers, nodes int
	mix                  []mix
	metrics              float64
}{
	"small": {1, 2, []mix{
		{70, 20, "10.0.0.", 443, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "x25519", "Success"},
		{24, 10, "10.0.1.", 443, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", "Success"},
		{6, 1, "203.0.113.", 443, "-", "-", "-", "Failed:UnmappedConnectionError"},
	}, 31},
	"medium": {50, 3, []mix{
		{900, 200, "10.0.0.", 443, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768", "Success"},
		{500, 200, "10.0.1.", 443, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "x25519", "Success"},
		{300, 100, "10.0.2.", 8443, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", "Success"},
		{150, 50, "10.0.3.", 443, "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "secp256r1", "Success"},
		{50, 9, "10.0.4.", 80, "-", "-", "-", "-"},
		{50, 2, "203.0.113.", 443, "-", "-", "-", "Failed:UnmappedConnectionError"},
		{30, 1, "198.51.100.", 8443, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", "Failed:ClientCertExpired"},
		{20, 7, "192.0.2.", 443, "TLSv1.1", "ECDHE-RSA-AES128-SHA", "-", "Failed:ClientCertUntrusted"},
	}, 1958},
	"busy": {1000, 10, []mix{
		{1500, 250, "10.0.0.", 443, "TLSv1.3", "TLS_AES_128_GCM_SHA256", "X25519MLKEM768", "Success"},
		{1000, 250, "10.0.1.", 443, "TLSv1.3", "TLS_AES_256_GCM_SHA384", "x25519", "Success"},
		{500, 250, "10.0.2.", 443, "TLSv1.3", "TLS_CHACHA20_POLY1305_SHA256", "x25519", "Success"},
		{700, 250, "10.0.3.", 8443, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", "Success"},
		{500, 250, "10.0.4.", 443, "TLSv1.2", "ECDHE-RSA-AES256-GCM-SHA384", "secp384r1", "Success"},
		{200, 90, "10.0.5.", 443, "TLSv1.2", "ECDHE-ECDSA-AES128-GCM-SHA256", "secp521r1", "Success"},
		{150, 90, "10.0.6.", 443, "TLSv1.2", "AES128-GCM-SHA256", "-", "Success"},
		{100, 40, "10.0.7.", 443, "TLSv1.1", "ECDHE-RSA-AES128-SHA", "-", "Success"},
		{100, 40, "10.0.8.", 80, "-", "-", "-", "-"},
		{100, 9, "203.0.113.", 443, "-", "-", "-", "Failed:UnmappedConnectionError"},
		{60, 1, "198.51.100.", 8443, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", "Failed:ClientCertExpired"},
		{40, 10, "192.0.2.", 8443, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", "Failed:ClientCertUntrusted"},
		{30, 10, "192.0.3.", 8443, "TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256", "secp256r1", "Failed:ClientCertNotYetValid"},
		{20, 10, "192.0.4.", 443, "TLSv1.0", "AES128-SHA", "-", "Failed:ClientCertTypeUnsupported"},
	}, 61_008},
}

// writeCostLogs writes the log objects of one load balancer in so many periods.
func writeCostLogs(t *testing.T, dir string, nodes, periods int, lines []mix) {
	t.Helper()
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	for period := range periods {
		begin := start.Add(time.Duration(period) * 5 * time.Minute)
		for node := range nodes {
			var log bytes.Buffer
			for _, m := range lines {
				latency := "-"
				if m.status == "Success" {
					latency = "0.012"
				}
				for i := range m.lines {
					at := begin.Add(5 * time.Minute * time.Duration(i) / time.Duration(m.lines))
					fmt.Fprintf(&log, "%s %s%d 40000 %d %s %s %s \"-\" - - %s TID_0123456789abcdef0123456789abcdef %s app/shop/0123456789abcdef 192.0.2.%d\n",
						at.Format("2006-01-02T15:04:05.000000Z"), m.client, i%m.clients+1, m.port, m.protocol, m.cipher, latency, m.status, m.group, node+1)
				}
			}
			name := fmt.Sprintf("conn_log_123456789012_elasticloadbalancing_us-east-1_app.shop.0123456789abcdef_%s_192.0.2.%d_0123abcd.log",
				begin.Add(5*time.Minute).Format("20060102T1504Z"), node+1)
			if err := os.WriteFile(filepath.Join(dir, name), log.Bytes(), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func runCost(t *testing.T, args ...string) result {
	t.Helper()
	var stdout, stderr bytes.Buffer
	if status := clitest.RunIO(t.Context(), New(), append([]string{"cost", "--format", "json"}, args...), nil, &stdout, &stderr); status != command.ExitOK {
		t.Fatalf("exit status %d: %s", status, &stderr)
	}
	var r result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// The command comes within 10 % of what docs/cost.md computes by hand, in each
// line that matters and in the total, for direct ingest and with a queue.
func TestCostByHand(t *testing.T) {
	byHand := costTables(t)
	for _, name := range slices.Sorted(maps.Keys(costCases)) {
		c := costCases[name]
		dir := t.TempDir()
		writeCostLogs(t, dir, c.nodes, 1, c.mix)
		for _, ingest := range []string{"direct", "queue"} {
			t.Run(name+"/"+ingest, func(t *testing.T) {
				r := runCost(t, "--ingest", ingest, "--times", strconv.Itoa(c.loadBalancers), dir)
				want := byHand[name+", "+ingest]
				if want == nil {
					t.Fatalf("docs/cost.md has no such case; it has %q", slices.Sorted(maps.Keys(byHand)))
				}
				got := map[string]float64{"total": r.USD}
				var sum float64
				for _, l := range r.Bill {
					got[l.Item] = l.USD
					sum += l.USD
					if l.Item == "custom metrics" && l.Quantity != c.metrics {
						t.Errorf("%v metrics, want %v", l.Quantity, c.metrics)
					}
				}
				if math.Abs(sum-r.USD) > 1e-9*sum {
					t.Errorf("the lines add up to %v, the total is %v", sum, r.USD)
				}
				for item, usd := range want {
					if g := got[item]; math.Abs(g-usd) > 0.1*usd+0.005 { // half a cent, as tables round
						t.Errorf("%s: %.2f USD, by hand %.2f", item, g, usd)
					}
				}
			})
		}
	}
}

// costTables reads the tables of docs/cost.md whose columns are cases: by case
// and item, in US dollars.
func costTables(t *testing.T) map[string]map[string]float64 {
	t.Helper()
	text, err := os.ReadFile(clitest.Path("docs/cost.md"))
	if err != nil {
		t.Fatal(err)
	}
	tables := make(map[string]map[string]float64)
	var columns []string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case len(cells) < 2:
			columns = nil
		case cells[0] == "USD a month":
			columns = cells[1:]
			for _, c := range columns {
				tables[c] = make(map[string]float64)
			}
		case columns != nil && len(cells) == len(columns)+1:
			for i, cell := range cells[1:] {
				amount := strings.Trim(strings.ReplaceAll(cell, ",", ""), "* ")
				if usd, err := strconv.ParseFloat(amount, 64); err == nil {
					tables[columns[i]][strings.Trim(cells[0], "* ")] = usd
				}
			}
		}
	}
	return tables
}

// More load balancers and more time do not change what a sample says of each.
func TestCostScales(t *testing.T) {
	c := costCases["medium"]
	one, hour := t.TempDir(), t.TempDir()
	writeCostLogs(t, one, 2, 1, c.mix)
	writeCostLogs(t, hour, 2, 12, c.mix)
	a, b := runCost(t, one), runCost(t, hour)
	if a.Objects != b.Objects || a.Objects != 2*8760 {
		t.Errorf("%v and %v objects a month, want %v", a.Objects, b.Objects, 2*8760)
	}
	for i := range a.Bill {
		if a.Bill[i].Item != b.Bill[i].Item || math.Abs(a.Bill[i].USD-b.Bill[i].USD) > 0.01 {
			t.Errorf("five minutes: %+v, an hour: %+v", a.Bill[i], b.Bill[i])
		}
	}
	if ten := runCost(t, "--times", "10", one); math.Abs(ten.Objects-10*a.Objects) > 1e-6 {
		t.Errorf("ten times %v objects are %v", a.Objects, ten.Objects)
	}
}

// What is switched off is not charged, and what the table says it costs is what
// it saves.
func TestCostBreakdowns(t *testing.T) {
	c := costCases["busy"]
	dir := t.TempDir()
	writeCostLogs(t, dir, 1, 1, c.mix)
	all := runCost(t, dir)
	metrics := func(r result) map[string]float64 {
		m := make(map[string]float64)
		for _, b := range r.Breakdowns {
			m[b.Breakdown] = b.Metrics
		}
		return m
	}
	want := map[string]float64{"always": 12, "port": 2, "protocol": 10, "cipher": 20, "keyexchange": 6, "reason": 5, "client": 11, "latency": 3}
	if got := metrics(all); !maps.Equal(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	words := slices.DeleteFunc(slices.Sorted(maps.Keys(want)), func(s string) bool { return s == "always" })
	for _, b := range all.Breakdowns {
		if b.Breakdown == "always" {
			continue
		}
		t.Setenv("METRIC_BREAKDOWNS", strings.Join(slices.DeleteFunc(slices.Clone(words), func(s string) bool { return s == b.Breakdown }), ","))
		without := runCost(t, dir)
		if saved := all.USD - without.USD; math.Abs(saved-b.USD) > 0.05*b.USD {
			t.Errorf("%s is said to cost %.2f, and without it %.2f are saved", b.Breakdown, b.USD, saved)
		}
		if _, ok := metrics(without)[b.Breakdown]; ok {
			t.Errorf("%s is off and charged", b.Breakdown)
		}
	}
}

var number = regexp.MustCompile(`^[0-9,]+(\.[0-9]+)?$`)

func TestQuantity(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 0.034: "0.03", 7: "7", 26.25: "26.25", 999: "999", 1000: "1,000", 1234567.8: "1,234,568"} {
		if got := quantity(f); got != want || !number.MatchString(got) {
			t.Errorf("quantity(%v) = %q, want %q", f, got, want)
		}
	}
}
