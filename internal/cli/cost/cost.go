// Package cost is the command cost: it estimates the AWS bill from logs.
package cost

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/console"
	"tlswatch/internal/cli/cost/estimate"
	"tlswatch/internal/cli/input"
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/text"
	"tlswatch/pkg/config"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/price"
	"tlswatch/pkg/rollup"
)

type options struct {
	format    string
	ingest    string
	batch     int
	times     float64
	logDays   float64
	rules     float64
	alarms    float64
	anyAlarms bool // --alarms is set
	memory    float64
	freeTier  bool
	dashboard bool
}

// New returns the command.
func New() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "cost PATH...",
		Short: "Estimate the monthly cost of tlswatch from your logs",
		Long: `cost reads log objects and estimates the bill for a month of similar logs: the
custom metrics that the function would publish, by breakdown; API calls; the
function's running time; requests to S3 and SQS; and the function's own logs. It
uses dated list prices of us-east-1.

PATH is a log object, a directory of them, or s3://BUCKET/PREFIX. You can mix
them. Logs need the names that Elastic Load Balancing gave them (conn_log_...),
because these contain the load balancer and the period. A day of logs from all
load balancers is a good sample. A gap of more than six hours between two
periods counts as not sampled.

Settings come from the environment, as for the function: set METRIC_BREAKDOWNS or
CLIENT_TOP to see what that would save. docs/cost.md has the formula and its
assumptions.`,
		Example: `  tlswatch cost logs/2026/11/23
  tlswatch cost --ingest queue --times 50 logs/one-load-balancer
  METRIC_BREAKDOWNS=protocol,reason tlswatch cost --format json logs`,
		Args: command.Needs("PATH: a log object, a directory of them, or s3://BUCKET/PREFIX"),
		RunE: command.Runs(func(cmd *cobra.Command, paths []string) error {
			o.anyAlarms = cmd.Flags().Changed("alarms")
			return o.run(cmd.Context(), paths, cmd.InOrStdin(), cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	command.AddFormat(cmd, &o.format, "table", "json")
	command.AddAWS(cmd)
	command.AddRequesterPays(cmd)
	command.AddChoice(cmd, "ingest", &o.ingest, "`HOW` events reach the function: direct or queue, as in the template's parameter Ingest", "direct", "queue")
	f.IntVar(&o.batch, "batch", 25, "the function takes up to `N` messages from the queue at once")
	f.Float64Var(&o.times, "times", 1, "scale to `N` times the load balancers")
	f.Float64Var(&o.memory, "memory", 512, "memory of the function in `MB`")
	f.Float64Var(&o.logDays, "log-days", 0, "`DAYS` that the log bucket keeps logs; 0 leaves out their storage")
	f.Float64Var(&o.alarms, "alarms", price.StackAlarms(false), "`N` metrics that alarms watch; by default the template's, one more with a queue")
	f.BoolVar(&o.dashboard, "dashboard", true, "include the dashboard")
	f.Float64Var(&o.rules, "insight-rules", 2, "`N` Contributor Insights rules")
	f.BoolVar(&o.freeTier, "free-tier", false, "subtract the free tier, as in an account that runs nothing else")
	return cmd
}

func (o options) check() error {
	switch {
	case o.batch < 1 || o.batch > 10_000:
		return fmt.Errorf("--batch must be 1 to 10000, not %d", o.batch)
	case o.memory < 128 || o.memory > 10_240:
		return fmt.Errorf("--memory must be 128 to 10240, not %v", o.memory)
	case !(o.times > 0) || math.IsInf(o.times, 0):
		return fmt.Errorf("--times must be above 0, not %v", o.times)
	case !(o.logDays >= 0) || !(o.alarms >= 0) || !(o.rules >= 0):
		return errors.New("--log-days, --alarms and --insight-rules must not be negative")
	}
	return nil
}

func (o options) run(ctx context.Context, paths []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if err := o.check(); err != nil {
		return command.Usage(err)
	}
	if slices.Contains(paths, command.StdinPath) {
		return command.Usagef("%s: standard input has no name that contains the load balancer and the period", command.StdinPath)
	}
	c, err := config.FromEnv(os.Getenv)
	if err != nil {
		return fmt.Errorf("environment variables: %w", err)
	}
	set, err := new(policyflags.File).Load(ctx)
	if err != nil {
		return err
	}
	const setting = "LISTENER_POLICIES"
	if err := policyflags.CheckSetting(set, setting, os.Getenv(setting)); err != nil {
		return err
	}
	e := estimate.New(c)
	result := result{Prices: priceList{price.Date, price.Region}}
	in := input.New(paths, stdin, console.NewProgress(stderr, "log"))
	var mu sync.Mutex // guards e and result
	err = in.Each(ctx, func(_ int, i *input.Log, r *connlog.Reader) error {
		key, err := logkey.Parse(filepath.ToSlash(i.Name))
		if err != nil {
			mu.Lock()
			defer mu.Unlock()
			result.Skipped++
			return nil
		}
		object, err := readObject(r, estimate.Object{Key: key, StoredBytes: i.Size, Summary: rollup.New(e.RollupOptions())})
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return e.Add(object)
	})
	if err != nil && !errors.As(err, new(*input.ReadError)) {
		return in.Finish(ctx, err)
	}
	for _, n := range in.Skipped() {
		result.Skipped += n
	}
	if e.Sample().Objects == 0 {
		return in.Finish(ctx, cmp.Or(err, fmt.Errorf("no connection logs with their original names (conn_log_...) in %s", strings.Join(paths, ", "))))
	}
	o.fill(&result, c, e)
	if o.format == "json" {
		return cmp.Or(command.WriteJSON(stdout, result), in.Finish(ctx, err))
	}
	return cmp.Or(result.writeTable(stdout), in.Finish(ctx, err))
}

// readObject reads a log object to its end.
func readObject(r *connlog.Reader, o estimate.Object) (estimate.Object, error) {
	var entry connlog.Entry
	named := o.Key.LoadBalancer != ""
	for {
		switch err := r.Read(&entry); {
		case err == nil:
			o.Summary.Add(&entry)
			if !named {
				if err := o.Key.Learn(entry.LoadBalancer); err != nil {
					return o, err
				}
			}
		case err == io.EOF:
			o.Key.LearnPeriod(o.Summary.Last)
			o.Bytes = r.Bytes()
			return o, nil
		case errors.As(err, new(*connlog.ParseError)):
			o.Summary.AddMalformed()
		default:
			return o, err
		}
	}
}

// fill computes the result from what was read.
func (o options) fill(r *result, c config.Config, e *estimate.Estimator) {
	set := func(queue bool) price.Setup {
		s := price.Setup{
			Queue: queue, Memory: o.memory, LogDays: o.logDays, FunctionDays: 30,
			Alarms: o.alarms, InsightRules: o.rules,
		}
		if !o.anyAlarms {
			s.Alarms = price.StackAlarms(queue)
		}
		if !c.LogClients { // there is nothing to rank
			s.InsightRules = 0
		}
		if o.dashboard {
			s.Dashboards = 1
		}
		return s
	}
	setup := set(o.ingest == "queue")
	month := func(s price.Setup) price.Month {
		return e.Month(estimate.Options{Times: o.times, Queue: s.Queue, Batch: float64(o.batch)})
	}
	m := month(setup)
	usage := m.Usage(setup)
	total := usage.Total(o.freeTier)

	sample := e.Sample()
	r.Sample = sampled{
		Objects: sample.Objects, LoadBalancers: sample.LoadBalancers, Bytes: sample.Bytes, StoredBytes: sample.StoredBytes,
		First: sample.First, Last: sample.Last, Hours: sample.Covered.Hours(),
	}
	r.Ingest, r.Times, r.Objects, r.USD = o.ingest, o.times, m.Objects, total
	for _, l := range usage.Bill(o.freeTier) {
		r.Bill = append(r.Bill, billLine{l.Item.String(), l.Quantity, price.List[l.Item].Unit, l.Cost})
	}
	metrics := e.Metrics(o.times)
	for _, name := range slices.SortedFunc(maps.Keys(metrics), func(a, b string) int {
		return cmp.Or(cmp.Compare(metrics[b], metrics[a]), cmp.Compare(a, b))
	}) {
		without := usage
		without[price.CustomMetrics] -= metrics[name]
		b := breakdown{Breakdown: name, Metrics: metrics[name], USD: micro(total - without.Total(o.freeTier))}
		r.Breakdowns = append(r.Breakdowns, b)
	}
	other := set(!setup.Queue)
	r.OtherIngest = ingestCost{"queue", month(other).Usage(other).Total(o.freeTier)}
	if setup.Queue {
		r.OtherIngest.Ingest = "direct"
	}
}

// micro rounds to millionths, so that rounding errors of sums do not change cents.
func micro(usd float64) float64 { return math.Round(usd*1e6) / 1e6 }

// A result is the estimate as --format json prints it. Amounts are US dollars a month.
type result struct {
	Prices      priceList   `json:"prices"`
	Sample      sampled     `json:"sample"`
	Skipped     int         `json:"skippedObjects"` // not connection logs, by their names
	Ingest      string      `json:"ingest"`
	Times       float64     `json:"times"`
	Objects     float64     `json:"objects"` // log objects in a month
	Bill        []billLine  `json:"bill"`
	USD         float64     `json:"usd"`
	Breakdowns  []breakdown `json:"breakdowns"`
	OtherIngest ingestCost  `json:"otherIngest"`
}

type priceList struct {
	Date   string `json:"date"`
	Region string `json:"region"`
}

type sampled struct {
	Objects       int64     `json:"objects"`
	LoadBalancers int       `json:"loadBalancers"`
	Bytes         int64     `json:"bytes"`
	StoredBytes   int64     `json:"storedBytes"`
	First         time.Time `json:"first"`
	Last          time.Time `json:"last"`
	Hours         float64   `json:"hours"` // that the objects cover
}

type billLine struct {
	Item     string  `json:"item"`
	Quantity float64 `json:"quantity"`
	Unit     string  `json:"unit"`
	USD      float64 `json:"usd"`
}

// A breakdown is the cost of one word of METRIC_BREAKDOWNS.
type breakdown struct {
	Breakdown string  `json:"breakdown"`
	Metrics   float64 `json:"metrics"`
	USD       float64 `json:"usd"` // that leaving it out would save
}

type ingestCost struct {
	Ingest string  `json:"ingest"`
	USD    float64 `json:"usd"`
}

// shortSample is the time below which a sample may lack the rarer clients and cipher
// suites.
const shortSample = 24 * time.Hour

func (r result) writeTable(w io.Writer) error {
	b := console.NewWriter(w)
	s := r.Sample
	fmt.Fprintf(b, "SAMPLE: %s of %s, %s hours from %s to %s UTC\n", text.Plural(s.Objects, "log object"), text.Plural(s.LoadBalancers, "load balancer"),
		strconv.FormatFloat(s.Hours, 'f', 1, 64), s.First.Format("2006-01-02 15:04"), s.Last.Format("2006-01-02 15:04"))
	if s.Hours < shortSample.Hours() {
		fmt.Fprintf(b, "  This is a short sample. A day or more also covers rare clients and cipher suites, and quiet hours.\n")
	}
	if r.Skipped > 0 {
		fmt.Fprintf(b, "  %s skipped: not connection logs, by their names.\n", text.Counted(r.Skipped, "other object", "other objects"))
	}
	fmt.Fprintf(b, "\nONE MONTH")
	if r.Times != 1 {
		fmt.Fprintf(b, " of %v times the load balancers", r.Times)
	}
	fmt.Fprintf(b, ", ingest %s, list prices of %s on %s\n\n", r.Ingest, r.Prices.Region, r.Prices.Date)
	t := text.Table{Columns: "lrlr"}
	t.Add("item", "quantity", "unit", "USD")
	for _, l := range r.Bill {
		t.Add(l.Item, quantity(l.Quantity), l.Unit, dollars(l.USD))
	}
	t.Add("total", "", "", dollars(r.USD))
	b.Table(&t)

	fmt.Fprintf(b, "\nCUSTOM METRICS by METRIC_BREAKDOWNS\n\n")
	t = text.Table{Columns: "lrr"}
	t.Add("breakdown", "metrics", "USD")
	for _, l := range r.Breakdowns {
		t.Add(l.Breakdown, quantity(l.Metrics), dollars(l.USD))
	}
	b.Table(&t)
	if d := r.USD - r.OtherIngest.USD; d > 0 {
		fmt.Fprintf(b, "\nIngest %s would cost %s less.\n", r.OtherIngest.Ingest, dollars(d))
	} else {
		fmt.Fprintf(b, "\nIngest %s would cost %s more.\n", r.OtherIngest.Ingest, dollars(-d))
	}
	return b.Flush()
}

func dollars(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// quantity formats a number: below 100 with at most two decimals, else as an integer.
func quantity(f float64) string {
	if f >= 100 {
		return text.Count(int64(math.RoundToEven(f)))
	}
	return strings.TrimRight(strings.TrimRight(strconv.FormatFloat(f, 'f', 2, 64), "0"), ".")
}
