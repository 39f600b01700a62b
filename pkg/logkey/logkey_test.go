package logkey

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func at(s string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil {
		panic(err)
	}
	return t
}

func elb(account, region, loadBalancer string, end time.Time) Key {
	return Key{Account: account, Region: region, LoadBalancer: loadBalancer, PeriodEnd: end}
}

func vended(account, region string, delivered time.Time) Key {
	return Key{Account: account, Region: region, delivered: delivered}
}

var keyTests = []struct {
	key    string
	want   Key
	reason string // of the Error, where one is wanted
}{
	{key: "logging-prefix/AWSLogs/123456789012/elasticloadbalancing/us-east-2/2022/05/01/conn_log_123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz",
		want: elb("123456789012", "us-east-2", "app/my-loadbalancer/1234567890abcdef", at("2022-02-15T23:40:00Z"))},
	{key: "AWSLogs/123456789012/elasticloadbalancing/us-east-2/2022/05/01/conn_log.123456789012_elasticloadbalancing_us-east-2_app.my-loadbalancer.1234567890abcdef_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz",
		want: elb("123456789012", "us-east-2", "app/my-loadbalancer/1234567890abcdef", at("2022-02-15T23:40:00Z"))},
	{key: "conn_log_971937583728_elasticloadbalancing_eu-west-2_app.lb-01.e3610968cb568663_20250718T1255Z_13.42.111.243_468dygp7.log",
		want: elb("971937583728", "eu-west-2", "app/lb-01/e3610968cb568663", at("2025-07-18T12:55:00Z"))},
	{key: "a b/c+d/conn_log_123456789012_elasticloadbalancing_us-gov-west-1_app.a.1_20250718T1255Z_10.43.1.2_a.log.gz",
		want: elb("123456789012", "us-gov-west-1", "app/a/1", at("2025-07-18T12:55:00Z"))},
	{key: "conn_log_123456789012_elasticloadbalancing_us-iso-east-1_app.a.1_20250718T1255Z_2001:db8::1_a.log.gz",
		want: elb("123456789012", "us-iso-east-1", "app/a/1", at("2025-07-18T12:55:00Z"))},
	{key: "AWSLogs/123456789012/ELBConnectionLogTestFile", reason: TestFile},
	{key: "ELBAccessLogTestFile", reason: TestFile},
	{key: "AWSLogs/702656214742/elasticloadbalancing/us-east-1/2026/09/23/702656214742_elasticloadbalancing_us-east-1_app.x.98e3a879de9d6b42_20260923T0715Z_54.81.166.60_57hw2gm1.log.gz", reason: AccessLog},
	{key: "health_check_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20220215T2340Z_172.160.001.192_20sg8hgm.log.gz", reason: HealthCheckLog},
	{key: "x/123456789012_elasticloadbalancing_us-east-2_net.my-loadbalancer.1234567890abcdef_20200501T0000Z_20sg8hgm.log.gz",
		want: elb("123456789012", "us-east-2", "net/my-loadbalancer/1234567890abcdef", at("2020-05-01T00:00:00Z"))},
	{key: "x/123456789012_elasticloadbalancing_us-east-2_net.my-loadbalancer_20200501T0000Z_20sg8hgm.log.gz", reason: OtherForm},
	{key: "x/123456789012_elasticloadbalancing_us-east-2_net.a.1_20200501T0000Z_192.0.2.1_20sg8hgm.log.gz", reason: OtherForm},
	{key: "AWSLogs/111122223333/elasticloadbalancing/us-east-1/2026/09/10/5f2c81d0.log.gz", want: vended("111122223333", "us-east-1", at("2026-09-10T00:00:00Z"))},
	{key: "x/y/AWSLogs/111122223333/elasticloadbalancing/us-east-1/2026/09/10/5f2c81d0.json", want: vended("111122223333", "us-east-1", at("2026-09-10T00:00:00Z"))},
	{key: "AWSLogs/aws-account-id=111122223333/elasticloadbalancing/region=us-gov-west-1/year=2026/month=09/day=10/5f2c81d0.gz", want: vended("111122223333", "us-gov-west-1", at("2026-09-10T00:00:00Z"))},
	{key: "AWSLogs/aws-account-id=111122223333/aws-service=elasticloadbalancing/aws-region=eu-west-2/year=2026/month=09/day=10/hour=23/a.gz",
		want: Key{Account: "111122223333", Region: "eu-west-2", delivered: at("2026-09-10T23:00:00Z"), hourly: true}},
	{key: "MyLogPrefix/us-east-1/2026/09/10/5f2c81d0.log.gz", want: vended("", "us-east-1", at("2026-09-10T00:00:00Z"))},
	{key: "MyLogPrefix/2026/09/10/07/us-east-1/111122223333/5f2c81d0.json.gz",
		want: Key{Account: "111122223333", Region: "us-east-1", delivered: at("2026-09-10T07:00:00Z"), hourly: true}},
	{key: "AWSLogs/111122223333/elasticloadbalancing/us-east-1/2026/09/10/111122223333_vended_us-east-1_app.my-loadbalancer.1234567890abcdef_20260910T0705Z_ab12.json.gz",
		want: Key{Account: "111122223333", Region: "us-east-1", LoadBalancer: "app/my-loadbalancer/1234567890abcdef", PeriodEnd: at("2026-09-10T07:05:00Z")}},
	{key: "AWSLogs/111122223333/elasticloadbalancing/us-east-1/2026/09/10/5f2c81d0.parquet", reason: parquet},
	{key: "AWSLogs/111122223333/elasticloadbalancing/us-east-1/2026/09/10/5f2c81d0.gz.parquet", reason: parquet},
	{key: "AWSLogs/111122223333/elasticloadbalancing/us-east-1/2026/09/10/index.html", reason: OtherObject},
	{key: "AWSLogs/111122223333/elasticloadbalancing/us-east-1/2026/09/10/", reason: OtherObject},
	{key: "AWSLogs/111122223333/elasticloadbalancing/us-east-1/2026/02/30/a.gz", reason: OtherObject},
	{key: "AWSLogs/111122223333/elasticloadbalancing/us-east-1/a.gz", reason: OtherObject},
	{key: "AWSLogs/111122223333/vpcflowlogs/us-east-1/2026/09/10/111122223333_vpcflowlogs_us-east-1_fl-1_20260910T0705Z_a.log.gz", reason: otherDelivery},
	{key: "AWSLogs/aws-account-id=111122223333/aws-service=vpcflowlogs/aws-region=us-east-1/year=2026/month=09/day=10/a.log.gz", reason: otherDelivery},
	{key: "AWSLogs/111122223333/CloudTrail/us-east-1/2026/09/10/111122223333_CloudTrail_us-east-1_20260910T0705Z_a.json.gz", reason: otherDelivery},
	{key: "AWSLogs/o-abcde12345/111122223333/elasticloadbalancing/us-east-1/2026/09/10/a.json.gz", want: vended("111122223333", "us-east-1", at("2026-09-10T00:00:00Z"))},
	{key: "backup/2026/09/10/a.gz", reason: OtherObject},
	{key: "123456789012_elasticloadbalancing_us-east-2_my-classic_20200501T0000Z_192.0.2.1_20sg8hgm.log", reason: ClassicLog},
	{key: "", reason: OtherObject},
	{key: "dir/", reason: OtherObject},
	{key: "notes.txt", reason: OtherObject},
	{key: "1234_elasticloadbalancing_x_app.y", reason: OtherObject},
	{key: "conn_log", reason: OtherForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20220230T2340Z_192.0.2.1_a.log.gz", reason: OtherForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_app." + strings.Repeat("a", 33) + ".1_20220215T2340Z_192.0.2.1_a.log.gz", reason: OtherForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_app.a." + strings.Repeat("1", 33) + "_20220215T2340Z_192.0.2.1_a.log.gz", reason: OtherForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-" + strings.Repeat("east-", 10) + "2_app.a.1_20220215T2340Z_192.0.2.1_a.log.gz", reason: OtherForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us_app.a.1_20220215T2340Z_192.0.2.1_a.log.gz", reason: OtherForm},
	{key: "conn_log_12345678901_elasticloadbalancing_us-east-2_app.a.1_20220215T2340Z_192.0.2.1_a.log.gz", reason: OtherForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_net.a.1_20220215T2340Z_192.0.2.1_a.log.gz", reason: OtherForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20220215T2340Z_192.0.2.1_a.log.gz.tmp", reason: OtherForm},
	{key: "conn_log_123456789012_elasticloadbalancing_us-east-2_app.a.1_20220215T2340Z_192.0.2.1_a.parquet", reason: OtherForm},
}

func TestParse(t *testing.T) {
	for _, test := range keyTests {
		got, err := Parse(test.key)
		if d := cmp.Diff(test.want, got, cmp.AllowUnexported(Key{})); d != "" && test.reason == "" {
			t.Errorf("%s: %v -want +got\n%s", test.key, err, d)
		}
		var ke *Error
		if errors.As(err, &ke) != (test.reason != "") || ke != nil && (ke.Reason != test.reason || ke.key != test.key) {
			t.Errorf("%s: got error %v, want %q", test.key, err, test.reason)
		}
	}
}

func TestEnds(t *testing.T) {
	for key, want := range map[string][2]string{
		"x/123456789012_elasticloadbalancing_us-east-2_net.a.1_20200501T0000Z_2.log.gz": {"2020-05-01T00:00:00Z", "2020-05-01T00:00:00Z"},
		"x/us-east-1/2026/09/10/a.gz":    {"2026-09-10T00:00:00Z", "2026-09-11T00:00:00Z"},
		"x/us-east-1/2026/09/10/23/a.gz": {"2026-09-10T23:00:00Z", "2026-09-11T00:00:00Z"},
	} {
		k, err := Parse(key)
		if earliest, latest := k.Ends(); err != nil || !earliest.Equal(at(want[0])) || !latest.Equal(at(want[1])) {
			t.Errorf("%s: %v to %v, %v", key, earliest, latest, err)
		}
	}
}

func TestLearn(t *testing.T) {
	day := at("2026-09-10T00:00:00Z")
	for _, test := range []struct{ newest, want string }{
		{"2026-09-10T07:01:00Z", "2026-09-10T07:05:00Z"},
		{"2026-09-10T07:05:00Z", "2026-09-10T07:10:00Z"},
		{"2026-09-09T23:59:00Z", "2026-09-10T00:00:00Z"},
		{"2099-09-10T07:01:00Z", "2026-09-11T00:00:00Z"}, // a wrong entry
		{"0001-01-01T00:00:00Z", "2026-09-10T00:05:00Z"}, // none
	} {
		k := vended("", "us-east-1", day)
		if k.LearnPeriod(at(test.newest)); !k.PeriodEnd.Equal(at(test.want)) {
			t.Errorf("newest entry %s: period ends at %v", test.newest, k.PeriodEnd)
		}
		if k.LearnPeriod(at("2020-01-01T00:00:00Z")); !k.PeriodEnd.Equal(at(test.want)) {
			t.Error("a period is learned twice")
		}
	}
	k := vended("", "us-east-1", day)
	for _, step := range []struct {
		entry string
		want  string
		err   error
	}{{"", "", nil}, {"app/a/1", "app/a/1", nil}, {"", "app/a/1", nil}, {"app/a/1", "app/a/1", nil}, {"app/b/2", "app/a/1", ErrMixed}} {
		if err := k.Learn(step.entry); !errors.Is(err, step.err) || k.LoadBalancer != step.want {
			t.Errorf("entry of %q: %q, %v", step.entry, k.LoadBalancer, err)
		}
	}
}

func TestLoadBalancerARN(t *testing.T) {
	for region, partition := range map[string]string{
		"eu-west-2": "aws", "cn-north-1": "aws-cn", "us-gov-west-1": "aws-us-gov", "us-iso-east-1": "aws-iso",
		"us-isob-east-1": "aws-iso-b", "eu-isoe-west-1": "aws-iso-e", "us-isof-south-1": "aws-iso-f", "eusc-de-east-1": "aws-eusc",
	} {
		want := "arn:" + partition + ":elasticloadbalancing:" + region + ":123456789012:loadbalancer/app/a/1"
		if got := LoadBalancerARN(region, "123456789012", "app/a/1"); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// FuzzParse: whatever is accepted is rebuilt from its parts.
func FuzzParse(f *testing.F) {
	for _, test := range keyTests {
		f.Add(test.key)
	}
	f.Fuzz(func(t *testing.T, key string) {
		k, err := Parse(key)
		if err != nil {
			var ke *Error
			if !errors.As(err, &ke) || ke.Reason == "" {
				t.Fatalf("%q: error is %#v", key, err)
			}
			return
		}
		dir, base := key[:strings.LastIndexByte(key, '/')+1], key[strings.LastIndexByte(key, '/')+1:]
		elb := strings.HasPrefix(base, "conn_log") || otherLog(base) == tlsLog
		if !elb { // CloudWatch's
			if !strings.Contains(dir, k.Region) || !strings.Contains(dir, k.Account) || k.Region == "" {
				t.Fatalf("%q: %+v", key, k)
			}
			return
		}
		name := k.Account + "_elasticloadbalancing_" + k.Region + "_" + strings.ReplaceAll(k.LoadBalancer, "/", ".") + "_" + k.PeriodEnd.Format(endTime)
		rest, ok := strings.CutPrefix(base, "conn_log_"+name+"_")
		if !ok {
			rest, ok = strings.CutPrefix(base, "conn_log."+name+"_")
		}
		form := regexp.MustCompile(`^[0-9A-Fa-f.:]+_[0-9A-Za-z]+\.log(\.gz)?$`)
		if strings.HasPrefix(k.LoadBalancer, "net/") {
			rest, ok = strings.CutPrefix(base, name+"_")
			form = regexp.MustCompile(`^[0-9A-Za-z]+\.log(\.gz)?$`)
		}
		if !ok || !form.MatchString(rest) {
			t.Fatalf("%q: rebuilt %q, and then %q", key, name, rest)
		}
	})
}
