package cloud

import (
	"context"
	"regexp"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
)

var (
	QueuePath = regexp.MustCompile(`^/(\d{12})/([0-9A-Za-z_-]+)$`)

	// QueueHost has the region of a queue in the URLs that SQS hands out.
	QueueHost = regexp.MustCompile(`^(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.`)
)

// QueuePathOf returns the path of a queue's URL, /ACCOUNT/NAME.
func QueuePathOf(queueURL string) string {
	_, rest, _ := strings.Cut(queueURL, "://")
	if i := strings.IndexByte(rest, '/'); i >= 0 {
		return rest[i:]
	}
	return ""
}

// QueueConfig is the configuration for the region that a queue is in, whatever
// the environment says.
func QueueConfig(ctx context.Context, queueURL string) (cfg aws.Config, region string, err error) {
	var load []func(*awsconfig.LoadOptions) error
	host, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(queueURL, "https://"), "http://"), "/")
	if m := QueueHost.FindStringSubmatch(host); m != nil {
		load = append(load, awsconfig.WithRegion(m[1]+m[2]))
	}
	cfg, err = awsconfig.LoadDefaultConfig(ctx, load...)
	return cfg, cfg.Region, err
}
