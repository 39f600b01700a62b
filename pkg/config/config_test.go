package config

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/pkg/alert"
	"tlswatch/pkg/metric"
)

func getenv(env map[string]string) func(string) string {
	return func(name string) string { return env[name] }
}

var defaults = Config{
	Namespace: "tlswatch",
	Metrics: metric.Options{
		Breakdowns:      metric.Breakdowns{Port: true, Protocol: true, Cipher: true, KeyExchange: true, Reason: true, Client: true, Latency: true},
		ClientMinFailed: 5,
		ClientTop:       10,
	},
	IPv6Prefix:     64,
	PublishClients: true,
	LogClients:     true,
	ClientBudget:   50,
	Rule:           alert.Rule{Name: alert.FailedNegotiations, MinFailed: 100, MinFailedPercent: 1, Window: 5 * time.Minute, Cooldown: time.Hour, Growth: 3},
	ClientRule:     alert.Rule{Name: alert.ClientFailures, PerClient: true, Window: 5 * time.Minute, Cooldown: time.Hour, Growth: 3},
	ObjectLimit:    16 << 30,
	DeadlineMargin: 2 * time.Second,
}

func TestFromEnv(t *testing.T) {
	tests := []struct {
		name string
		env  map[string]string
		want func(*Config)
	}{
		{"defaults", nil, func(*Config) {}},
		{"all set", map[string]string{
			"ALERT_TOPIC_ARN": "arn:aws-us-gov:sns:us-gov-west-1:123456789012:alerts", "METRIC_NAMESPACE": "My/TLS",
			"METRIC_BREAKDOWNS": "protocol, reason", "CLIENT_MIN_FAILED": "1", "CLIENT_TOP": "0", "CLIENT_IPV6_PREFIX": "48",
			"PUBLISH_CLIENTS": "true", "LOG_CLIENTS": "false", "ALERT_MIN_FAILED": "7", "ALERT_MIN_FAILED_PERCENT": "2.5",
			"ALERT_REASONS": "ClientCertExpired, ClientCertUntrusted", "DEADLINE_MARGIN": "500ms", "OBJECT_LIMIT_MIB": "3",
			"CLIENT_BUDGET": "0", "ALERT_WINDOW": "15m", "ALERT_COOLDOWN": "0s", "ALERT_GROWTH": "1.5", "CLIENT_ALERT_MIN_FAILED": "20", "STATE_BUCKET": "my-state",
			"LISTENER_POLICIES": "443=ELBSecurityPolicy-TLS13-1-2-2021-06, 8443 = ELBSecurityPolicy-2016-08 ,ELBSecurityPolicy-FS-1-2-Res-2020-10", "LISTENER_LOOKUP": "on", "POLICY_FILE": "/opt/policies.json",
		}, func(c *Config) {
			*c = Config{
				AlertTopicARN: "arn:aws-us-gov:sns:us-gov-west-1:123456789012:alerts", Namespace: "My/TLS",
				Metrics:    metric.Options{Breakdowns: metric.Breakdowns{Protocol: true, Reason: true}, ClientMinFailed: 1},
				IPv6Prefix: 48, PublishClients: true,
				Rule:           alert.Rule{Name: alert.FailedNegotiations, MinFailed: 7, MinFailedPercent: 2.5, Reasons: []string{"ClientCertExpired", "ClientCertUntrusted"}, Window: 15 * time.Minute, Growth: 1.5},
				ClientRule:     alert.Rule{Name: alert.ClientFailures, PerClient: true, MinFailed: 20, Reasons: []string{"ClientCertExpired", "ClientCertUntrusted"}, Window: 15 * time.Minute, Growth: 1.5},
				StateBucket:    "my-state",
				ListenerLookup: true,
				PolicyFile:     "/opt/policies.json",
				ListenerPolicies: map[uint16]string{
					443: "ELBSecurityPolicy-TLS13-1-2-2021-06", 8443: "ELBSecurityPolicy-2016-08", 0: "ELBSecurityPolicy-FS-1-2-Res-2020-10",
				},
				ObjectLimit:    3 << 20,
				DeadlineMargin: 500 * time.Millisecond,
			}
		}},
		{"clients are private", map[string]string{"PUBLISH_CLIENTS": "false"}, func(c *Config) {
			c.PublishClients, c.LogClients, c.Metrics.Breakdowns.Client = false, false, false
		}},
		{"no breakdowns", map[string]string{"METRIC_BREAKDOWNS": "none"}, func(c *Config) { c.Metrics.Breakdowns = metric.Breakdowns{} }},
		{"spaces", map[string]string{"METRIC_NAMESPACE": " ", "CLIENT_TOP": " 3 "}, func(c *Config) { c.Metrics.ClientTop = 3 }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := defaults
			test.want(&want)
			got, err := FromEnv(getenv(test.env))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
		})
	}
}

// TestNames checks that a function reads only its own settings and ignores
// the others, even if they are invalid.
func TestNames(t *testing.T) {
	want := defaults
	want.StateBucket = "state"
	got, err := FromEnv(getenv(map[string]string{"STATE_BUCKET": "state", "ALERT_TOPIC_ARN": "alerts", "ALERT_WINDOW": "7m"}), Widget...)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	names := []string{}
	for _, s := range Settings(Widget...) {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	if !slices.Equal(names, Widget) {
		t.Errorf("settings %v, want %v", names, Widget)
	}
}

// TestInvalid checks that every invalid setting is reported with its name and value.
func TestInvalid(t *testing.T) {
	env := map[string]string{
		"ALERT_TOPIC_ARN":          "alerts",
		"METRIC_NAMESPACE":         "AWS/ApplicationELB",
		"METRIC_BREAKDOWNS":        "protocol,colour",
		"CLIENT_MIN_FAILED":        "0",
		"CLIENT_TOP":               "-1",
		"CLIENT_IPV6_PREFIX":       "129",
		"PUBLISH_CLIENTS":          "maybe",
		"LOG_CLIENTS":              "yes",
		"ALERT_MIN_FAILED":         "many",
		"ALERT_MIN_FAILED_PERCENT": "NaN",
		"ALERT_REASONS":            "Failed:ClientCertExpired",
		"OBJECT_LIMIT_MIB":         "1GB",
		"DEADLINE_MARGIN":          "2",
		"CLIENT_BUDGET":            "lots",
		"ALERT_WINDOW":             "7m",
		"ALERT_COOLDOWN":           "-1s",
		"ALERT_GROWTH":             "1",
		"CLIENT_ALERT_MIN_FAILED":  "-1",
		"STATE_BUCKET":             "s3://state",
		"LISTENER_POLICIES":        "443=",
		"LISTENER_LOOKUP":          "yes",
		"POLICY_FILE":              "policies.json",
	}
	_, err := FromEnv(getenv(env))
	if err == nil {
		t.Fatal("no error")
	}
	for _, s := range Settings() {
		value, ok := env[s.Name]
		if !ok {
			t.Errorf("no invalid value tried for %s", s.Name)
		}
		if !strings.Contains(err.Error(), s.Name+`="`+value+`": `) {
			t.Errorf("%s is not in the error:\n%v", s.Name, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != len(env) {
		t.Errorf("%d lines for %d invalid settings:\n%v", n, len(env), err)
	}
	for _, env := range []map[string]string{
		{"METRIC_NAMESPACE": ":x"}, {"METRIC_NAMESPACE": strings.Repeat("x", 256)}, {"ALERT_REASONS": "a,,b"},
		{"ALERT_WINDOW": "10m"}, {"PUBLISH_CLIENTS": "false", "CLIENT_ALERT_MIN_FAILED": "1"}, {"ALERT_WINDOW": "65m", "STATE_BUCKET": "abc"},
		{"LISTENER_POLICIES": "https=A"}, {"LISTENER_POLICIES": "0=A"}, {"LISTENER_POLICIES": "65536=A"}, {"LISTENER_POLICIES": "443=A,"},
		{"LISTENER_POLICIES": "443=A,443=B"}, {"LISTENER_POLICIES": "A,B"}, {"LISTENER_POLICIES": "443=A B"},
		{"ALERT_MIN_FAILED_PERCENT": "101"}, {"DEADLINE_MARGIN": "6m"}, {"METRIC_BREAKDOWNS": "all,none"},
	} {
		if _, err := FromEnv(getenv(env)); err == nil {
			t.Errorf("%v: no error", env)
		}
	}
}
