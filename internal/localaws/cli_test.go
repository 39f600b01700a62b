package localaws_test

import (
	"os/exec"
	"strings"
	"testing"

	"tlswatch/internal/localaws"
	"tlswatch/internal/localaws/awstest"
)

// TestAWSCommandLine uses the aws CLI, if installed, as a client that shares no
// code with the SDK for Go.
func TestAWSCommandLine(t *testing.T) {
	if testing.Short() {
		t.Skip("slow")
	}
	aws, err := exec.LookPath("aws")
	if err != nil {
		t.Skip("SKIPPED: aws is not on PATH: no client but the SDK for Go was tried")
	}
	h := awstest.Start(t, localaws.Options{}, "logs")
	topic := h.SNS.CreateTopic("alerts")
	run := func(args ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), aws, args...).CombinedOutput()
		return string(out), err
	}
	if out, err := run("cloudwatch", "put-metric-data", "--namespace", "cli", "--metric-data",
		`[{"MetricName":"m","Dimensions":[{"Name":"LoadBalancer","Value":"app/a/1"}],"Unit":"Count","Values":[0,1],"Counts":[9,1]}]`); err != nil {
		if strings.Contains(out, "Action=PutMetricData") || strings.Contains(out, "404") {
			t.Skip("SKIPPED: this aws speaks the old query protocol: no client but the SDK for Go was tried")
		}
		t.Fatalf("%v: %s", err, out)
	}
	points := h.CloudWatch.Points()
	if len(points) != 1 || points[0].Sum != 1 || points[0].Samples != 10 || points[0].Dimensions["LoadBalancer"] != "app/a/1" {
		t.Errorf("points %+v", points)
	}
	if out, err := run("cloudwatch", "put-metric-data", "--namespace", "AWS/cli", "--metric-name", "m", "--value", "1"); err == nil || !strings.Contains(out, "(InvalidParameterValue)") {
		t.Errorf("namespace of AWS: %v: %s", err, out)
	}
	if out, err := run("sns", "publish", "--topic-arn", topic, "--message", "hello", "--subject", "from the command line"); err != nil || len(h.SNS.Messages()) != 1 {
		t.Errorf("%v: %s", err, out)
	}
	if out, err := run("s3api", "put-object", "--bucket", "logs", "--key", "cli", "--body", "localaws.go"); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if got, err := h.S3.Get("logs", "cli"); err != nil || !strings.HasPrefix(string(got), "// Package localaws") {
		t.Errorf("stored %.40q, %v", got, err)
	}
}
