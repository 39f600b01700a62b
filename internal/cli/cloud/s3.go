package cloud

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/text"
)

// S3Scheme is the beginning of the URI of an object.
const S3Scheme = "s3://"

// accessPoint matches the ARN of an access point, with which a URI may name the bucket.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-points-naming.html
var accessPoint = regexp.MustCompile(`^arn:aws[a-z-]*:s3:[a-z0-9-]+:\d{12}:accesspoint[/:][a-z0-9-]{3,50}`)

// ParseS3 splits s3://BUCKET/PREFIX. The bucket may be the alias or the ARN of an access
// point.
func ParseS3(uri string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(uri, S3Scheme)
	if strings.HasPrefix(rest, "arn:") {
		arn := accessPoint.FindString(rest)
		after, slash := strings.CutPrefix(rest[len(arn):], "/")
		if arn == "" || !slash && after != "" {
			return "", "", fmt.Errorf("%q does not begin with the ARN of an access point\nit must be %sarn:aws:s3:REGION:ACCOUNT:accesspoint/NAME/PREFIX", uri, S3Scheme)
		}
		return arn, after, nil
	}
	bucket, prefix, _ = strings.Cut(rest, "/")
	switch {
	case !ok || bucket == "":
		return "", "", fmt.Errorf("%q must be s3://BUCKET/PREFIX", uri)
	case len(bucket) < 3 || len(bucket) > 63:
		return "", "", fmt.Errorf("the bucket's name in %q has %s; AWS allows 3 to 63\nit must be s3://BUCKET/PREFIX, such as s3://my-logs/AWSLogs/", uri, text.Plural(len(bucket), "character"))
	case !bucketName.MatchString(bucket):
		return "", "", fmt.Errorf("the bucket's name in %q must have lower-case letters, digits, hyphens and periods only, and begin and end with a letter or digit\nit must be s3://BUCKET/PREFIX, such as s3://my-logs/AWSLogs/", uri)
	}
	return bucket, prefix, nil
}

// MaxOpen is how many objects of a bucket may be read at the same time.
const MaxOpen = 16

// Buckets are clients for buckets in any Region, with the SDK's standard chain of
// credentials, profiles, Regions and endpoints. The zero value is ready for use.
type Buckets struct {
	load sync.Once
	cfg  aws.Config
	err  error

	mu      sync.Mutex            // guards what follows
	regions map[string]string     // by bucket, if it is not in the configured one
	clients map[string]*s3.Client // by bucket
}

// Attempts of a request, and the longest wait between two: S3 asks clients to slow
// down, not to give up.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html
const (
	s3Attempts   = 8
	s3MaxBackoff = 20 * time.Second
)

// client returns a client for the Region of the bucket, as far as it is known.
func (c *Buckets) client(ctx context.Context, name string) (*s3.Client, error) {
	c.load.Do(func() {
		web := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = MaxOpen })
		if c.cfg, c.err = load(ctx, awsconfig.WithHTTPClient(web)); c.err != nil {
			return
		}
		c.regions, c.clients = make(map[string]string), make(map[string]*s3.Client)
		c.cfg.Region = cmp.Or(c.cfg.Region, "us-east-1") // S3 there knows the Region of every bucket
		attempts := cmp.Or(c.cfg.RetryMaxAttempts, s3Attempts)
		if c.cfg.Retryer == nil {
			c.cfg.RetryMaxAttempts = 0
			c.cfg.Retryer = func() aws.Retryer {
				return retry.NewStandard(func(o *retry.StandardOptions) {
					o.MaxAttempts = attempts
					o.MaxBackoff = s3MaxBackoff
					o.RateLimiter = ratelimit.None // a quota for all objects would let some fail for the others
				})
			}
		}
	})
	if c.err != nil {
		return nil, c.err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.clients[name] == nil {
		c.clients[name] = s3.NewFromConfig(c.cfg, func(o *s3.Options) {
			o.Region = cmp.Or(c.regions[name], o.Region)
			o.DisableLogOutputChecksumValidationSkipped = true
			o.UseARNRegion = true
			if command.AWSOf(ctx).RequesterPays {
				o.APIOptions = append(o.APIOptions, smithyhttp.SetHeaderValue("X-Amz-Request-Payer", "requester"))
			}
		})
	}
	return c.clients[name], nil
}

// moved records the Region that a redirect names, and reports whether it is a new one.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingRouting.html
func (c *Buckets) moved(bucket string, err error) bool {
	re, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok || re.HTTPStatusCode() != http.StatusMovedPermanently && re.HTTPStatusCode() != http.StatusTemporaryRedirect && re.HTTPStatusCode() != http.StatusBadRequest {
		return false
	}
	region := re.Response.Header.Get("X-Amz-Bucket-Region")
	c.mu.Lock()
	defer c.mu.Unlock()
	if region == "" || region == cmp.Or(c.regions[bucket], c.cfg.Region) {
		return false
	}
	c.regions[bucket] = region
	delete(c.clients, bucket)
	return true
}

// InRegion calls f with a client for the bucket, and again if S3 replies that the
// bucket is in another Region.
func (c *Buckets) InRegion(ctx context.Context, bucket string, f func(*s3.Client) error) error {
	for {
		client, err := c.client(ctx, bucket)
		if err != nil {
			return err
		}
		if err = f(client); err == nil || !c.moved(bucket, err) {
			return err
		}
	}
}

// bucketName matches bucket names and access point aliases, of any length.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html
var bucketName = regexp.MustCompile(`^[0-9a-z][0-9a-z.-]*[0-9a-z]$`)
