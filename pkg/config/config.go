// Package config reads the function's settings from environment variables.
// It takes a getenv function instead of reading the environment, and reports
// all faults at once.
package config

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/metric"
)

// Config is what the function can be told.
type Config struct {
	AlertTopicARN  string         // SNS topic; no alerts if empty
	Namespace      string         // of the CloudWatch metrics
	Metrics        metric.Options //
	IPv6Prefix     int            // bits by which IPv6 clients are told apart
	PublishClients bool           // client addresses may appear in metrics, logs and alerts
	Rule           alert.Rule     //
	DeadlineMargin time.Duration  // time kept free before the invocation's deadline
}

// A variable is one setting: its name, default, meaning and how to read it.
type variable struct {
	name, value, meaning string
	set                  func(c *Config, value string) error
}

// variables are all settings; template.yaml and docs are tested against them.
var variables = []variable{
	{"ALERT_TOPIC_ARN", "", "SNS topic for alerts; none are sent if empty", func(c *Config, v string) error {
		if v != "" && !topicARN.MatchString(v) {
			return errors.New("want the ARN of an SNS topic")
		}
		c.AlertTopicARN = v
		return nil
	}},
	{"METRIC_NAMESPACE", "tlswatch", "CloudWatch namespace", func(c *Config, v string) error {
		if !namespace.MatchString(v) || strings.HasPrefix(v, "AWS/") {
			return errors.New("want 1 to 255 letters, digits or ._-/#: not beginning with a colon or AWS/")
		}
		c.Namespace = v
		return nil
	}},
	{"METRIC_BREAKDOWNS", "all", "dimensions to publish: port, protocol, cipher, keyexchange, reason, client, latency; or all, none", func(c *Config, v string) (err error) {
		c.Metrics.Breakdowns, err = metric.ParseBreakdowns(v)
		return err
	}},
	{"CLIENT_MIN_FAILED", "5", "failures in a log object from which a client becomes a metric dimension", func(c *Config, v string) error {
		return integer(&c.Metrics.ClientMinFailed, v, 1, 1_000_000_000)
	}},
	{"CLIENT_TOP", "10", "clients of a log object that become metric dimensions, at the most", func(c *Config, v string) error {
		return integer(&c.Metrics.ClientTop, v, 0, 100)
	}},
	{"CLIENT_IPV6_PREFIX", "64", "leading bits by which IPv6 clients are told apart", func(c *Config, v string) error {
		return integer(&c.IPv6Prefix, v, 1, 128)
	}},
	{"PUBLISH_CLIENTS", "true", "whether client addresses may appear in metrics, logs and alerts", func(c *Config, v string) (err error) {
		if c.PublishClients, err = strconv.ParseBool(v); err != nil {
			return errors.New("want true or false")
		}
		return nil
	}},
	{"ALERT_MIN_FAILED", "100", "failed negotiations from which an alert is sent", func(c *Config, v string) error {
		var n int
		err := integer(&n, v, 1, 1_000_000_000)
		c.Rule.MinFailed = uint64(n)
		return err
	}},
	{"ALERT_MIN_FAILED_PERCENT", "1", "failed share of TLS connections from which an alert is sent, in percent", func(c *Config, v string) (err error) {
		c.Rule.MinFailedPercent, err = strconv.ParseFloat(v, 64)
		if err != nil || !(c.Rule.MinFailedPercent >= 0 && c.Rule.MinFailedPercent <= 100) {
			return errors.New("want a number from 0 to 100")
		}
		return nil
	}},
	{"ALERT_REASONS", "", "reason codes that count for alerts, separated by commas; all if empty", func(c *Config, v string) error {
		for reason := range strings.SplitSeq(v, ",") {
			if reason = strings.TrimSpace(reason); reason == "" && v != "" || strings.ContainsAny(reason, " :") {
				return fmt.Errorf("want codes such as ClientCertExpired, not %q", reason)
			} else if reason != "" {
				c.Rule.Reasons = append(c.Rule.Reasons, reason)
			}
		}
		return nil
	}},
	{"DEADLINE_MARGIN", "2s", "time kept free before the deadline of an invocation", func(c *Config, v string) (err error) {
		c.DeadlineMargin, err = time.ParseDuration(v)
		if err != nil || c.DeadlineMargin < 0 || c.DeadlineMargin > 5*time.Minute {
			return errors.New("want a duration from 0s to 5m")
		}
		return nil
	}},
}

var (
	topicARN  = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}$`)
	namespace = regexp.MustCompile(`^[A-Za-z0-9._/#-][A-Za-z0-9._/#:-]{0,254}$`)
)

// FromEnv reads the configuration. An empty or missing variable has its
// default. The error joins one error for each faulty variable.
func FromEnv(getenv func(string) string) (Config, error) {
	c := Config{Rule: alert.Rule{Name: alert.FailedNegotiations}}
	var faults []error
	for _, v := range variables {
		value := strings.TrimSpace(getenv(v.name))
		if value == "" {
			value = v.value
		}
		if err := v.set(&c, value); err != nil {
			faults = append(faults, fmt.Errorf("%s=%q: %w", v.name, value, err))
		}
	}
	if !c.PublishClients {
		c.Metrics.Breakdowns.Client = false
	}
	return c, errors.Join(faults...)
}

// A Setting describes an environment variable.
type Setting struct{ Name, Default, Meaning string }

// Settings lists the environment variables that FromEnv reads.
func Settings() []Setting {
	var list []Setting
	for _, v := range variables {
		list = append(list, Setting{v.name, v.value, v.meaning})
	}
	return list
}

func integer(n *int, v string, least, most int) (err error) {
	if *n, err = strconv.Atoi(v); err != nil || *n < least || *n > most {
		return fmt.Errorf("want a whole number from %d to %d", least, most)
	}
	return nil
}
