package cloud

import (
	"context"
	"fmt"
	"net/url"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"tlswatch/pkg/logkey"
)

// A Queue is an SQS queue and a client for its Region.
type Queue struct {
	*sqs.Client
	URL    string
	ARN    string
	Region string
}

var (
	queuePath = regexp.MustCompile(`^/(\d{12})/([0-9A-Za-z_-]+)$`)

	// queueHost matches the host of a queue URL, which contains the Region.
	queueHost = regexp.MustCompile(`^(?:sqs\.([a-z0-9-]+)|([a-z0-9-]+)\.queue)\.`)
)

// CheckQueueURL returns an error if the value of a flag is not the URL of a
// queue.
func CheckQueueURL(flag, value string) error {
	u, err := url.Parse(value)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || !queuePath.MatchString(u.Path) {
		return fmt.Errorf("--%s must be a URL such as https://sqs.eu-west-2.amazonaws.com/123456789012/NAME, not %q", flag, value)
	}
	return nil
}

// OpenQueue opens a queue in the Region that its URL names, else in the environment's.
// The URL must have passed [CheckQueueURL].
func OpenQueue(ctx context.Context, queueURL string) (*Queue, error) {
	u, err := url.Parse(queueURL)
	if err != nil {
		return nil, err
	}
	region := ""
	if m := queueHost.FindStringSubmatch(u.Host); m != nil {
		region = m[1] + m[2]
	}
	cfg, err := Config(ctx, region)
	if err != nil {
		return nil, err
	}
	q := &Queue{Client: sqs.NewFromConfig(cfg), URL: queueURL, Region: cfg.Region}
	if m := queuePath.FindStringSubmatch(u.Path); m != nil {
		q.ARN = fmt.Sprintf("arn:%s:sqs:%s:%s:%s", logkey.Partition(q.Region), q.Region, m[1], m[2])
	}
	return q, nil
}
