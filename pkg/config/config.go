// Package config reads the settings of the functions from environment variables. It
// takes a getenv function instead of reading the environment, and reports all
// invalid settings at once.
package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/logkey"
	"tlswatch/pkg/metric"
	"tlswatch/pkg/secpolicy"
)

// Config holds the settings of the functions.
type Config struct {
	AlertTopicARN  string         // SNS topic; no alerts if empty
	Namespace      string         // of the CloudWatch metrics
	Metrics        metric.Options // breakdowns and clients to publish
	IPv6Prefix     int            // prefix length that identifies an IPv6 client
	PublishClients bool           // client addresses may appear in metrics, logs and alerts
	LogClients     bool           // the log has a line for each failing client of an object
	ClientBudget   int            // client dimension values of a load balancer in an hour
	Rule           alert.Rule     // for all clients of a load balancer
	ClientRule     alert.Rule     // for single clients; off if its MinFailed is 0
	StateBucket    string         // records what was published and alerted; no ledger if empty

	ListenerPolicies secpolicy.ListenerPolicies // from the operator
	PolicyFile       string                     // security policies; "" for the built-in ones
	ListenerLookup   bool                       // look up the others in Elastic Load Balancing

	ObjectLimit    int64         // bytes of a log object after decompression; 0 for no limit
	DeadlineMargin time.Duration // time kept free before the invocation's deadline
}

// Rules returns the rules that are on.
func (c Config) Rules() []alert.Rule {
	rules := []alert.Rule{c.Rule}
	if c.ClientRule.MinFailed > 0 {
		rules = append(rules, c.ClientRule)
	}
	return rules
}

// A variable is one setting: its name, default (fallback), meaning and how to read it.
type variable struct {
	name, fallback, meaning string
	set                     func(c *Config, value string) error
}

// variables are all settings. Tests compare template.yaml and the docs with them.
var variables = []variable{
	{"ALERT_TOPIC_ARN", "", "ARN of the SNS topic for alerts; if empty, no alerts are sent", func(c *Config, v string) error {
		if v != "" && !topicARN.MatchString(v) {
			return errors.New("want the ARN of an SNS topic")
		}
		c.AlertTopicARN = v
		return nil
	}},
	{"METRIC_NAMESPACE", "tlswatch", "CloudWatch namespace of the metrics", func(c *Config, v string) error {
		if !namespace.MatchString(v) || strings.HasPrefix(v, "AWS/") {
			return errors.New("want 1 to 255 letters, digits or ._-/#: not beginning with a colon or AWS/")
		}
		c.Namespace = v
		return nil
	}},
	{"METRIC_BREAKDOWNS", "all", "breakdowns to publish: `all`, `none`, or a comma-separated list of `port`, `protocol`, `cipher`, `keyexchange`, `reason`, `client` and `latency`", func(c *Config, v string) (err error) {
		c.Metrics.Breakdowns, err = metric.ParseBreakdowns(v)
		return err
	}},
	{"CLIENT_MIN_FAILED", "5", "minimum failures in a log object for a client to get its own dimension value", func(c *Config, v string) error {
		return integer(&c.Metrics.ClientMinFailed, v, 1, 1_000_000_000)
	}},
	{"CLIENT_TOP", "10", "maximum clients per log object with their own dimension value", func(c *Config, v string) error {
		return integer(&c.Metrics.ClientTop, v, 0, 100)
	}},
	{"CLIENT_BUDGET", "50", "maximum client dimension values per load balancer and hour, across all invocations; needs `STATE_BUCKET`", func(c *Config, v string) error {
		return integer(&c.ClientBudget, v, 0, 1000)
	}},
	{"CLIENT_IPV6_PREFIX", "64", "prefix length that identifies an IPv6 client", func(c *Config, v string) error {
		return integer(&c.IPv6Prefix, v, 1, 128)
	}},
	{"PUBLISH_CLIENTS", "true", "whether client addresses may appear in metrics, alerts, the state bucket and the function's log", func(c *Config, v string) error {
		return boolean(&c.PublishClients, v)
	}},
	{"LOG_CLIENTS", "true", "whether the function logs one line per failing client of a log object, for Contributor Insights; needs `PUBLISH_CLIENTS`", func(c *Config, v string) error {
		return boolean(&c.LogClients, v)
	}},
	{"ALERT_MIN_FAILED", "100", "minimum failed negotiations for an alert", func(c *Config, v string) error {
		var n int
		err := integer(&n, v, 1, 1_000_000_000)
		c.Rule.MinFailed = uint64(n)
		return err
	}},
	{"ALERT_MIN_FAILED_PERCENT", "1", "minimum percentage of TLS connections that failed for an alert", func(c *Config, v string) (err error) {
		c.Rule.MinFailedPercent, err = strconv.ParseFloat(v, 64)
		if err != nil || !(c.Rule.MinFailedPercent >= 0 && c.Rule.MinFailedPercent <= 100) {
			return errors.New("want a number from 0 to 100")
		}
		return nil
	}},
	{"ALERT_REASONS", "", "comma-separated reason codes that count towards alerts; if empty, all count", func(c *Config, v string) error {
		for reason := range strings.SplitSeq(v, ",") {
			if reason = strings.TrimSpace(reason); reason == "" && v != "" || strings.ContainsAny(reason, " :") {
				return fmt.Errorf("want codes such as ClientCertExpired, not %q", reason)
			} else if reason != "" {
				c.Rule.Reasons = append(c.Rule.Reasons, reason)
			}
		}
		return nil
	}},
	{"ALERT_WINDOW", "5m", "time span that a rule evaluates, across all nodes of a load balancer: a multiple of 5m, at most 60m; more than 5m needs `STATE_BUCKET`", func(c *Config, v string) (err error) {
		c.Rule.Window, err = time.ParseDuration(v)
		if err != nil || c.Rule.Window < logkey.Period || c.Rule.Window > time.Hour || c.Rule.Window%logkey.Period != 0 {
			return errors.New("want a multiple of 5m from 5m to 60m")
		}
		return nil
	}},
	{"ALERT_COOLDOWN", "60m", "minimum time between two alerts of a rule for a load balancer; overlapping windows count as one, however short the cooldown", func(c *Config, v string) (err error) {
		c.Rule.Cooldown, err = time.ParseDuration(v)
		if err != nil || c.Rule.Cooldown < 0 || c.Rule.Cooldown > 7*24*time.Hour {
			return errors.New("want a duration from 0s to 168h")
		}
		return nil
	}},
	{"ALERT_GROWTH", "3", "alert again within the cooldown when failures reach this multiple of the last alert's", func(c *Config, v string) (err error) {
		c.Rule.Growth, err = strconv.ParseFloat(v, 64)
		if err != nil || !(c.Rule.Growth > 1 && c.Rule.Growth <= 1e6) {
			return errors.New("want a number above 1, up to 1000000")
		}
		return nil
	}},
	{"CLIENT_ALERT_MIN_FAILED", "0", "minimum failed negotiations of a single client for an alert of the rule `client-failures`; 0 turns the rule off", func(c *Config, v string) error {
		var n int
		err := integer(&n, v, 0, 1_000_000_000)
		c.ClientRule.MinFailed = uint64(n)
		return err
	}},
	{"STATE_BUCKET", "", "S3 bucket where the function records what it published and alerted; if empty, each log object is evaluated alone and duplicate events count twice", func(c *Config, v string) error {
		if v != "" && !bucketName.MatchString(v) {
			return errors.New("want the name of an S3 bucket")
		}
		c.StateBucket = v
		return nil
	}},
	{"LISTENER_POLICIES", "", "comma-separated security policies of listeners, such as `443=ELBSecurityPolicy-TLS13-1-2-2021-06`; a policy without a port applies to all other ports", func(c *Config, v string) (err error) {
		c.ListenerPolicies, err = ParseListenerPolicies(v)
		return err
	}},
	{"LISTENER_LOOKUP", "false", "whether an alert may look up policies missing from `LISTENER_POLICIES` in Elastic Load Balancing; needs `elasticloadbalancing:DescribeListeners`", func(c *Config, v string) error {
		return boolean(&c.ListenerLookup, v)
	}},
	{"POLICY_FILE", "", "path of a security policy file written by `tlswatch policy update`; if empty or unreadable, the built-in policies are used", func(c *Config, v string) error {
		if v != "" && !strings.HasPrefix(v, "/") {
			return errors.New("want an absolute path")
		}
		c.PolicyFile = v
		return nil
	}},
	{"OBJECT_LIMIT_MIB", "16384", "maximum size of a log object in MiB after decompression; a larger object fails; 0 is no limit", func(c *Config, v string) error {
		var n int
		err := integer(&n, v, 0, 1_000_000)
		c.ObjectLimit = int64(n) << 20
		return err
	}},
	{"DEADLINE_MARGIN", "2s", "time reserved before the deadline of an invocation to finish and report", func(c *Config, v string) (err error) {
		c.DeadlineMargin, err = time.ParseDuration(v)
		if err != nil || c.DeadlineMargin < 0 || c.DeadlineMargin > 5*time.Minute {
			return errors.New("want a duration from 0s to 5m")
		}
		return nil
	}},
}

var (
	topicARN   = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}$`)
	bucketName = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$`)
	policyName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$`)
	namespace  = regexp.MustCompile(`^[A-Za-z0-9._/#-][A-Za-z0-9._/#:-]{0,254}$`)
)

// FromEnv reads the settings with the given names, or all if no name is given. A
// setting that is empty, missing or not among the names has its default. The error
// joins one error for each invalid setting.
func FromEnv(getenv func(string) string, names ...string) (Config, error) {
	c := Config{Rule: alert.Rule{Name: alert.FailedNegotiations}, ClientRule: alert.Rule{Name: alert.ClientFailures, PerClient: true}}
	var invalid []error
	for _, v := range variables {
		value := ""
		if len(names) == 0 || slices.Contains(names, v.name) {
			value = strings.TrimSpace(getenv(v.name))
		}
		if value == "" {
			value = v.fallback
		}
		if err := v.set(&c, value); err != nil {
			invalid = append(invalid, fmt.Errorf("%s=%q: %w", v.name, value, err))
		}
	}
	if !c.PublishClients {
		c.LogClients = false
		c.Metrics.Breakdowns.Client = false
	}
	if len(invalid) == 0 { // settings that contradict each other
		if !c.PublishClients && c.ClientRule.MinFailed > 0 {
			invalid = append(invalid, errors.New("CLIENT_ALERT_MIN_FAILED needs PUBLISH_CLIENTS=true: the rule is about clients by name"))
		}
		if c.StateBucket == "" && c.Rule.Window > logkey.Period {
			invalid = append(invalid, errors.New("ALERT_WINDOW above 5m needs STATE_BUCKET: a window is more than one log object"))
		}
	}
	c.ClientRule.Window, c.ClientRule.Cooldown, c.ClientRule.Growth, c.ClientRule.Reasons = c.Rule.Window, c.Rule.Cooldown, c.Rule.Growth, c.Rule.Reasons
	return c, errors.Join(invalid...)
}

// ParseListenerPolicies reads a comma-separated list of PORT=POLICY. One of them may
// lack the port, and is then for port 0, which stands for all other ports.
func ParseListenerPolicies(v string) (secpolicy.ListenerPolicies, error) {
	if v == "" {
		return nil, nil
	}
	policies := make(secpolicy.ListenerPolicies)
	for item := range strings.SplitSeq(v, ",") {
		number, name, ok := strings.Cut(strings.TrimSpace(item), "=")
		port := 0
		if !ok {
			name = number
		} else if err := integer(&port, strings.TrimSpace(number), 1, 65535); err != nil {
			return nil, fmt.Errorf("port %q: %w", number, err)
		}
		if name = strings.TrimSpace(name); !policyName.MatchString(name) {
			return nil, fmt.Errorf("%q: want the name of a security policy", name)
		}
		if _, twice := policies[uint16(port)]; twice {
			return nil, fmt.Errorf("%q: a second policy for the same port", item)
		}
		policies[uint16(port)] = name
	}
	return policies, nil
}

// A Setting describes an environment variable.
type Setting struct{ Name, Default, Meaning string }

// Settings lists the settings with the given names, or all if no name is given.
func Settings(names ...string) []Setting {
	var list []Setting
	for _, v := range variables {
		if len(names) == 0 || slices.Contains(names, v.name) {
			list = append(list, Setting{v.name, v.fallback, v.meaning})
		}
	}
	return list
}

// boolean reads true and false, and on and off.
func boolean(b *bool, v string) (err error) {
	if v == "on" || v == "off" {
		*b = v == "on"
		return nil
	}
	if *b, err = strconv.ParseBool(v); err != nil {
		return errors.New("want true or false")
	}
	return nil
}

func integer(n *int, v string, least, most int) (err error) {
	if *n, err = strconv.Atoi(v); err != nil || *n < least || *n > most {
		return fmt.Errorf("want a whole number from %d to %d", least, most)
	}
	return nil
}
