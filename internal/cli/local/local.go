// Package local is the command local: it runs the function on log files, with
// stand-ins for AWS.
package local

import (
	"context"
	"fmt"
	"io"
	"maps"
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
	"tlswatch/internal/cli/policyflags"
	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/cloudwatch"
	"tlswatch/internal/localaws/lambda"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/trigger"
)

const (
	logBucket   = "tlswatch-local"
	stateBucket = "tlswatch-state"
	alertTopic  = "tlswatch-alerts"

	policySetting = "LISTENER_POLICIES"

	timeout = 2 * time.Minute // of an invocation, as in template.yaml
)

type options struct {
	policyflags.File
	policy     string
	bootstrap  string
	template   string
	parameters []string
	format     string
	asIs       bool
	keep       bool
	verbose    bool
}

// New returns the command.
func New() *cobra.Command {
	var o options
	cmd := &cobra.Command{
		Use:   "local PATH...",
		Short: "Run the real function on log files, without AWS",
		Long: `local uploads log files to a local stand-in for S3, sends the event that S3 would
send for each, runs the real function binary, and shows what it published to
CloudWatch and SNS. It needs no AWS account and no network.

PATH is a log file of at most 1 GiB, or a directory of them. In a directory, it
reads the files that 'tlswatch report' reads, and names the others. Files that
are named like log objects keep their names as keys.

CloudWatch refuses data older than two weeks. So the times in the uploaded
copies, and in their keys, are shifted by a multiple of five minutes so
that the newest line is a few minutes old. Logs that are more than twelve days apart
are shifted separately. --as-is keeps the times.

The function takes its settings from the environment, as on Lambda: for
instance ALERT_MIN_FAILED and CLIENT_TOP. With --policy, alerts explain why
negotiations failed under that security policy.

With --template, the function gets the settings, events and permissions that the
template deploys with the --parameter values, through a queue if it has one.
Calls that its permissions do not allow are denied and reported.

The stand-ins enforce what AWS documents. They do not prove what AWS does.`,
		Example: `  tlswatch local events/sample
  tlswatch local --template template.yaml --parameter Ingest=Queue --parameter AlertMinFailed=10 events/sample
  ALERT_MIN_FAILED=10 tlswatch local --format json conn_log_*.log.gz`,
		Args: command.Needs("PATH: a log file or a directory"),
		RunE: command.Runs(func(cmd *cobra.Command, paths []string) error {
			return o.run(cmd.Context(), paths, cmd.OutOrStdout(), cmd.ErrOrStderr())
		}),
	}
	f := cmd.Flags()
	f.StringVar(&o.policy, "policy", "", command.PolicyUsage+", or 443=POLICY,8443=POLICY by port; sets LISTENER_POLICIES")
	o.AddFlag(cmd)
	command.CompleteFlag(cmd, "policy", policyflags.Complete(&o.File, 0))
	f.StringVar(&o.template, "template", "", "run what this template `FILE` deploys")
	f.StringArrayVar(&o.parameters, "parameter", nil, "template parameter `NAME=VALUE`; repeatable")
	command.AddFormat(cmd, &o.format, "table", "json")
	f.BoolVar(&o.asIs, "as-is", false, "keep the times of the logs")
	f.BoolVar(&o.keep, "keep", false, "keep the stand-ins running until Ctrl-C, and print their addresses")
	f.StringVar(&o.bootstrap, "bootstrap", "", "function binary `FILE` (default: bootstrap beside tlswatch)")
	command.Renamed(cmd, "function", "bootstrap")
	f.BoolVarP(&o.verbose, "verbose", "v", false, "show the function's own log on standard error")
	return cmd
}

func (o options) run(ctx context.Context, paths []string, stdout, stderr io.Writer) error {
	switch {
	case o.template != "" && o.policy != "":
		return command.Usagef("--template takes no --policy; use --parameter ListenerPolicies=POLICY")
	case o.template == "" && len(o.parameters) > 0:
		return command.Usagef("--parameter needs --template")
	}
	var policies map[string]string
	var err error
	if o.template == "" {
		if policies, err = o.listenerPolicies(ctx); err != nil {
			return err
		}
	}
	function, err := o.findFunction()
	if err != nil {
		return err
	}
	upload, err := readUploads(ctx, paths)
	if err == nil && !o.asIs {
		err = upload.shift(ctx, time.Now())
	}
	if ctx.Err() != nil {
		return command.Interrupted("interrupted")
	}
	if err != nil {
		return err
	}
	var end lastLines
	output := io.Writer(&end)
	if o.verbose {
		output = stderr
	}
	var w *world
	if o.template != "" {
		w, err = o.startTemplate(ctx, function, output)
	} else {
		w, err = o.startWorld(ctx, function, policies, output, stderr)
	}
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.process(ctx, upload); err != nil {
		return err
	}
	result := collect(w.stack, w.lambda)
	if err := o.write(stdout, upload, w.bucket, result); err != nil {
		return err
	}
	if o.keep {
		if err := keep(ctx, w, console.NewWriter(stdout), stderr); err != nil {
			return err
		}
	}
	return o.failures(w, result, &end, stderr)
}

// process uploads the logs and waits until the function has handled them.
func (w *world) process(ctx context.Context, upload *uploads) error {
	for _, u := range upload.objects {
		u.key = w.key(u.key)
		if _, err := w.stack.S3.Put(w.bucket, u.key, u.body); err != nil {
			return fmt.Errorf("%s: %w", u.file, err)
		}
	}
	err := w.wait(ctx)
	if ctx.Err() != nil {
		return command.Interrupted("interrupted")
	}
	return err
}

// write shows the result as --format says.
func (o options) write(stdout io.Writer, upload *uploads, bucket string, r result) error {
	if o.format == "json" {
		return command.WriteJSON(stdout, r)
	}
	w := console.NewWriter(stdout)
	upload.describe(w, bucket)
	r.write(w)
	return w.Flush()
}

// failures returns an error if events failed or calls were denied.
func (o options) failures(w *world, r result, end *lastLines, stderr io.Writer) error {
	n := w.left()
	if faults := w.faults(); len(faults) > 0 {
		return fmt.Errorf("%s does not allow this:\n  %s", o.template, strings.Join(faults, "\n  "))
	}
	if n == 0 {
		return nil
	}
	w.lambda.Close() // completes its log
	crashed := slices.ContainsFunc(r.Invocations, func(i invocation) bool { return strings.HasPrefix(i.Error, "Runtime.") })
	if log := end.String(); log != "" && crashed {
		fmt.Fprintf(stderr, "The function's log ends with:\n%s", log)
	}
	return fmt.Errorf("%d of the events failed in all three attempts; -v shows the function's log", n)
}

// listenerPolicies returns the function's settings for security policies: the data file
// that other commands also use, and --policy.
func (o *options) listenerPolicies(ctx context.Context) (map[string]string, error) {
	settings := make(map[string]string)
	set, err := o.Load(ctx)
	if err != nil {
		return nil, err
	}
	if path, _, err := o.Path(); err == nil && set != secpolicy.Builtin() && os.Getenv("POLICY_FILE") == "" {
		if settings["POLICY_FILE"], err = filepath.Abs(path); err != nil {
			return nil, err
		}
	}
	if o.policy == "" {
		return settings, policyflags.CheckSetting(set, policySetting, os.Getenv(policySetting))
	}
	policies, err := policyflags.ParseListeners(set, o.policy)
	if err != nil {
		return nil, err
	}
	var list []string
	for port, name := range policies {
		if port != 0 {
			name = strconv.Itoa(int(port)) + "=" + name
		}
		list = append(list, name)
	}
	slices.Sort(list)
	settings[policySetting] = strings.Join(list, ",")
	return settings, nil
}

// lastLines keeps the last lines that are written to it.
type lastLines struct {
	mu    sync.Mutex
	lines []string
}

func (t *lastLines) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.lines = append(t.lines, string(p))
	t.lines = t.lines[max(0, len(t.lines)-3):]
	return len(p), nil
}

func (t *lastLines) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.Join(t.lines, "")
}

// findFunction returns the path of the function binary.
func (o options) findFunction() (string, error) {
	path := o.bootstrap
	if path == "" {
		self, err := os.Executable()
		if err != nil {
			return "", err
		}
		path = filepath.Join(filepath.Dir(self), "bootstrap")
	}
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%w\n'make build' builds the function; --bootstrap FILE names another binary", err)
	}
	return path, nil
}

// keep shows further invocations and alerts until Ctrl-C.
func keep(ctx context.Context, w *world, stdout *console.Writer, stderr io.Writer) error {
	stack, lambda, bucket := w.stack, w.lambda, w.bucket
	fmt.Fprintf(stderr, "\nThe stand-ins run until Ctrl-C and process whatever you put into s3://%s. To use them:\n\n", bucket)
	env := stack.Env()
	for _, name := range slices.Sorted(maps.Keys(env)) {
		fmt.Fprintf(stderr, "  export %s=%s\n", name, env[name])
	}
	fmt.Fprintf(stderr, `
for instance:
  aws s3 cp LOG-OBJECT s3://%s
  aws cloudwatch list-metrics --namespace tlswatch

`, bucket)
	invocations, alerts := len(lambda.Invocations()), len(stack.SNS.Messages())
	ticks := time.NewTicker(200 * time.Millisecond)
	defer ticks.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-ticks.C:
		}
		r := collect(stack, lambda)
		if len(r.Invocations) > invocations {
			r.writeInvocations(stdout, r.Invocations[invocations:])
			invocations = len(r.Invocations)
		}
		if len(r.Alerts) > alerts {
			r.writeAlerts(stdout, r.Alerts[alerts:])
			alerts = len(r.Alerts)
		}
		if err := stdout.Flush(); err != nil {
			return err
		}
	}
}

// A result is what the function did, as --format json prints it.
type result struct {
	Invocations []invocation   `json:"invocations"`
	Metrics     []dataPoint    `json:"metrics"`
	Alerts      []alert        `json:"alerts"`
	API         map[string]int `json:"api"`

	series []cloudwatch.Series
}

type invocation struct {
	RequestID  string  `json:"requestId"`
	DurationMS float64 `json:"durationMs"`
	Objects    int     `json:"objects"`
	Error      string  `json:"error"`

	attempt int
}

type dataPoint struct {
	Namespace  string            `json:"namespace"`
	Name       string            `json:"name"`
	Dimensions map[string]string `json:"dimensions"`
	Unit       string            `json:"unit"`
	Timestamp  time.Time         `json:"timestamp"`
	Sum        float64           `json:"sum"`
	Samples    float64           `json:"samples"`
	Min        float64           `json:"min"`
	Max        float64           `json:"max"`
}

type alert struct {
	Topic      string            `json:"topic"`
	Subject    string            `json:"subject"`
	Messages   map[string]string `json:"messages"`
	Attributes map[string]string `json:"attributes"`
}

func collect(stack *localaws.Stack, lambda *lambda.Function) result {
	r := result{
		Invocations: []invocation{},
		Metrics:     []dataPoint{},
		Alerts:      []alert{},
		API:         stack.Calls.Counts(),
		series:      stack.CloudWatch.Metrics(),
	}
	for _, i := range lambda.Invocations() {
		li := invocation{RequestID: i.RequestID, DurationMS: float64(i.Duration.Microseconds()) / 1000, attempt: i.Attempt}
		if event, err := trigger.Parse(i.Payload); err == nil {
			li.Objects = event.Objects()
		}
		if i.Error != nil {
			li.Error = i.Error.Error()
		}
		r.Invocations = append(r.Invocations, li)
	}
	for _, s := range r.series {
		for _, p := range s.Points {
			r.Metrics = append(r.Metrics, dataPoint{p.Namespace, p.Name, p.Dimensions, p.Unit, p.Timestamp.UTC(), p.Sum, p.Samples, p.Min, p.Max})
		}
	}
	for _, m := range stack.SNS.Messages() {
		r.Alerts = append(r.Alerts, alert{m.TopicARN, m.Subject, m.Messages, m.Attributes})
	}
	return r
}
