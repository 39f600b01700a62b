package cloud

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
)

func TestParseS3(t *testing.T) {
	const arn = "arn:aws:s3:eu-central-1:123456789012:accesspoint/my-logs"
	for uri, want := range map[string][2]string{
		"s3://my-logs":                 {"my-logs", ""},
		"s3://my-logs/":                {"my-logs", ""},
		"s3://my-logs/a/b.log.gz":      {"my-logs", "a/b.log.gz"},
		"s3://my-ap-4x7k-s3alias/a":    {"my-ap-4x7k-s3alias", "a"},
		"s3://" + arn:                  {arn, ""},
		"s3://" + arn + "/":            {arn, ""},
		"s3://" + arn + "/AWSLogs/1/x": {arn, "AWSLogs/1/x"},
		"s3://arn:aws-us-gov:s3:us-gov-west-1:123456789012:accesspoint:my-logs/a": {"arn:aws-us-gov:s3:us-gov-west-1:123456789012:accesspoint:my-logs", "a"},
	} {
		if bucket, prefix, err := ParseS3(uri); err != nil || bucket != want[0] || prefix != want[1] {
			t.Errorf("%s: %s, %s, %v", uri, bucket, prefix, err)
		}
	}
	for uri, want := range map[string]string{
		"s3://":                                "must be s3://BUCKET/PREFIX",
		"my-logs/a":                            "must be s3://BUCKET/PREFIX",
		"s3://My-Logs":                         "lower-case",
		"s3://arn:aws:s3:::my-logs/a":          "ARN of an access point",
		"s3://" + arn + "_x":                   "ARN of an access point",
		"s3://arn:aws:s3:eu:1:accesspoint/log": "ARN of an access point",
	} {
		if _, _, err := ParseS3(uri); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestExplainS3(t *testing.T) {
	const key = "arn:aws:kms:eu-central-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"
	denied := errors.New("AccessDenied: User: arn:aws:sts::123456789012:assumed-role/sre/me is not authorized to perform: kms:Decrypt on resource: " + key + " because no identity-based policy allows the kms:Decrypt action")
	if err := ExplainS3("my-logs", denied); !errors.Is(err, denied) || !strings.HasPrefix(err.Error(), `access denied: the objects in bucket "my-logs" are encrypted with a key that the caller may not use; allow kms:Decrypt on `+key+":") {
		t.Error(err)
	}
	if ExplainS3("my-logs", nil) != nil {
		t.Error("an error without one")
	}
}

// The flags reach every request, also its signature.
func TestFlags(t *testing.T) {
	var payer, host, credential string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		payer, host, credential = r.Header.Get("X-Amz-Request-Payer"), r.Host, r.Header.Get("Authorization")
		w.WriteHeader(http.StatusNotFound)
	}))
	defer server.Close()
	for name, value := range map[string]string{"AWS_ENDPOINT_URL": server.URL, "AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"} {
		t.Setenv(name, value)
	}
	run := func(args ...string) {
		t.Helper()
		cmd := &cobra.Command{Use: "test", RunE: func(cmd *cobra.Command, _ []string) error {
			var b Buckets
			return b.InRegion(cmd.Context(), "my-logs", func(client *s3.Client) error {
				name := "my-logs"
				_, err := client.ListObjectsV2(cmd.Context(), &s3.ListObjectsV2Input{Bucket: &name})
				if err == nil {
					t.Error("no error")
				}
				return nil
			})
		}}
		command.AddAWS(cmd)
		command.AddRequesterPays(cmd)
		if status := command.Run(t.Context(), cmd, args, nil, nil, nil); status != command.ExitOK {
			t.Errorf("%q: exit status %d", args, status)
		}
	}
	run()
	if payer != "" || !strings.Contains(credential, "/eu-central-1/s3/") {
		t.Errorf("payer %q, %s, %s", payer, host, credential)
	}
	run("--requester-pays", "--region", "eu-west-2")
	if payer != "requester" || !strings.Contains(credential, "/eu-west-2/s3/") || !strings.Contains(credential, "x-amz-request-payer") {
		t.Errorf("payer %q, %s, %s", payer, host, credential)
	}
}
