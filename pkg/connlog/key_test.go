package connlog

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var keyTests = []struct {
	key    string
	want   ObjectKey
	reason string // of the KeyError, where one is wanted
}{
	{key: "logging-prefix/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2022/05/01/conn_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz",
		want: ObjectKey{"123456789012", "us-east-2", "app/my-loadbalancer/1234567890abcdef", at("2022-02-15T23:40:00Z"), "172.160.001.192", "20sg8hgm"}},
	{key: "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2022/05/01/conn_log.123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz",
		want: ObjectKey{"123456789012", "us-east-2", "app/my-loadbalancer/1234567890abcdef", at("2022-02-15T23:40:00Z"), "172.160.001.192", "20sg8hgm"}},
	{key: "conn_log_971937583728_elasticloadbalancing_eu-west-2_app.lb-01.e3610968cb568663_20250718T1255Z_13.42.111.243_468dygp7.log",
		want: ObjectKey{"971937583728", "eu-west-2", "app/lb-01/e3610968cb568663", at("2025-07-18T12:55:00Z"), "13.42.111.243", "468dygp7"}},
	{key: "a b/c+d/conn_log_123456789012_elasticloadbalancing_us-gov-west-1_app.a.1_20250718T1255Z_10.43.1.2_a.log.gz",
		want: ObjectKey{"123456789012", "us-gov-west-1", "app/a/1", at("2025-07-18T12:55:00Z"), "10.43.1.2", "a"}},
	{key: "conn_log_123456789012_elasticloadbalancing_us-iso-east-1_app.a.1_20250718T1255Z_2001:db8::1_a.log.gz",
		want: ObjectKey{"123456789012", "us-iso-east-1", "app/a/1", at("2025-07-18T12:55:00Z"), "2001:db8::1", "a"}},
	{key: "AWSLogs/123456789012/ELBConnectionLogTestFile", reason: NotTestFile},
	{key: "ELBAccessLogTestFile", reason: NotTestFile},
	{key: "AWSLogs/702656214742/elasticloadbalancing/us-east-1/2026/09/23/702656214742_elasticloadbalancing_us-east-1_app.x.98e3a879de9d6b42_20260923T0715Z_54.81.166.60_57hw2gm1.log.gz", reason: NotAccessLog},
	{key: "health_check_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz", reason: NotHealthCheckLog},
	{key: "x/123456789012_elasticloadbalancing_us-east-2_net.my-loadbalancer.1234567890abcdef_20200501T0000Z_20sg8hgm.log.gz", reason: NotNLBLog},
	{key: "123456789012_elasticloadbalancing_us-east-2_my-classic_20200501T0000Z_192.0.2.1_20sg8hgm.log", reason: NotClassicLog},
	{key: "", reason: NotELBLog},
	{key: "dir/", reason: NotELBLog},
	{key: "notes.txt", reason: NotELBLog},
	{key: "1234_elasticloadbalancing_x_app.y", reason: NotELBLog},
	{key: "conn_log", reason: NotKeyForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20220230T2340Z_192.0.2.1_a.log.gz", reason: NotKeyForm},
	{key: "conn_log_12345678901_elasticloadbalancing_us-east-2_app.a.1_20220215T2340Z_192.0.2.1_a.log.gz", reason: NotKeyForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_net.a.1_20220215T2340Z_192.0.2.1_a.log.gz", reason: NotKeyForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20220215T2340Z_192.0.2.1_a.log.gz.tmp", reason: NotKeyForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20220215T2340Z_192.0.2.1_a.parquet", reason: NotKeyForm},
}

func TestParseObjectKey(t *testing.T) {
	for _, test := range keyTests {
		got, err := ParseObjectKey(test.key)
		if d := cmp.Diff(test.want, got); d != "" && test.reason == "" {
			t.Errorf("%s: %v -want +got\n%s", test.key, err, d)
		}
		var ke *KeyError
		if errors.As(err, &ke) != (test.reason != "") || ke != nil && (ke.Reason != test.reason || ke.Key != test.key) {
			t.Errorf("%s: got error %v, want %q", test.key, err, test.reason)
		}
	}
}

func TestLoadBalancerARN(t *testing.T) {
	for region, partition := range map[string]string{
		"eu-west-2": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "us-iso-east-1": "aws-iso",
		"us-isob-east-1": "aws-iso-b", "eu-isoe-west-1": "aws-iso-e", "us-isof-south-1": "aws-iso-f", "eusc-de-east-1": "aws-eusc",
	} {
		k := ObjectKey{Account: "123456789012", Region: region, LoadBalancer: "app/a/1"}
		want := "arn:" + partition + ":elasticloadbalancing:" + region + ":123456789012:loadbalancer/app/a/1"
		if got := k.LoadBalancerARN(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
