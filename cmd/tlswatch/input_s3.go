package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/s3source"
)

const s3Scheme = "s3://"

// parseS3 takes s3://BUCKET/PREFIX apart.
func parseS3(uri string) (bucket, prefix string, err error) {
	rest, ok := strings.CutPrefix(uri, s3Scheme)
	bucket, prefix, _ = strings.Cut(rest, "/")
	if !ok || !bucketName.MatchString(bucket) {
		return "", "", fmt.Errorf("%q: want s3://BUCKET/PREFIX", uri)
	}
	return bucket, prefix, nil
}

// s3Clients are clients for buckets in whatever regions, by the standard chain
// of credentials, profiles, regions and endpoints. The zero value is ready for
// use.
type s3Clients struct {
	load sync.Once
	cfg  aws.Config
	err  error

	mu      sync.Mutex            // guards what follows
	regions map[string]string     // by bucket, if it is not in the configured one
	clients map[string]*s3.Client // by bucket
}

// Attempts of a request and the longest wait between two: S3 asks clients to
// slow down rather than to give up.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance-design-patterns.html
const (
	s3Attempts   = 8
	s3MaxBackoff = 20 * time.Second

	s3Resumes = 4 // see s3source.Source
)

// bucket returns a client for the region that the bucket is known to be in.
func (c *s3Clients) bucket(ctx context.Context, name string) (*s3.Client, error) {
	c.load.Do(func() {
		web := awshttp.NewBuildableClient().WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = openAhead })
		if c.cfg, c.err = awsconfig.LoadDefaultConfig(ctx, awsconfig.WithHTTPClient(web)); c.err != nil {
			return
		}
		c.regions, c.clients = make(map[string]string), make(map[string]*s3.Client)
		c.cfg.Region = cmp.Or(c.cfg.Region, "us-east-1") // which knows where every bucket is
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
		})
	}
	return c.clients[name], nil
}

// moved notes the region that a refusal names, and reports whether it is news.
//
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingRouting.html
func (c *s3Clients) moved(bucket string, err error) bool {
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

// inRegion calls f with a client for the bucket, again if the bucket turns out
// to be in another region.
func (c *s3Clients) inRegion(ctx context.Context, bucket string, f func(*s3.Client) error) error {
	for {
		client, err := c.bucket(ctx, bucket)
		if err != nil {
			return err
		}
		if err = f(client); err == nil || !c.moved(bucket, err) {
			return err
		}
	}
}

// explainS3 says what to do about an error.
func explainS3(bucket string, err error) error {
	if err == nil {
		return nil
	}
	status, code := 0, ""
	if re, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = re.HTTPStatusCode()
	}
	if ae, ok := errors.AsType[smithy.APIError](err); ok {
		code = ae.ErrorCode()
	}
	switch {
	case code == "NoSuchBucket":
		return fmt.Errorf("there is no bucket %q", bucket)
	case status == http.StatusForbidden && (code == "AccessDenied" || code == "Forbidden"):
		return fmt.Errorf("access denied: the caller needs s3:ListBucket for bucket %q and s3:GetObject for its objects: %w", bucket, err)
	case status == 0 && strings.Contains(err.Error(), "failed to refresh cached credentials"):
		return fmt.Errorf("no usable AWS credentials; set AWS_PROFILE, or sign in with 'aws sso login': %w", err)
	}
	return err
}

// listS3 yields the logs under a prefix. An object that the argument names in
// full is read whatever it is called.
func (in *inputs) listS3(ctx context.Context, uri string, yield func(*input) bool) error {
	bucket, prefix, err := parseS3(uri)
	if err != nil {
		return err
	}
	err = in.s3.inRegion(ctx, bucket, func(client *s3.Client) error {
		return s3Lister{client, bucket, in.filter.times()}.list(ctx, prefix, func(page []s3Object) error {
			for _, o := range page {
				if o.key != prefix && (strings.HasSuffix(o.key, "/") || !in.wanted(o.key)) {
					continue
				}
				if !yield(in.s3Input(bucket, o)) {
					return context.Cause(ctx)
				}
			}
			return nil
		})
	})
	if err != nil {
		return fmt.Errorf("list: %w", explainS3(bucket, err))
	}
	return nil
}

func (in *inputs) s3Input(bucket string, o s3Object) *input {
	object := pipeline.Object{Bucket: bucket, Key: o.key, ETag: o.etag, Size: o.size}
	return &input{name: object.URI(), size: o.size, remote: true, open: func(ctx context.Context) (body io.ReadCloser, err error) {
		err = in.s3.inRegion(ctx, bucket, func(client *s3.Client) error {
			_, body, err = s3source.Source{Client: client, Resumes: s3Resumes}.Open(ctx, object)
			return err
		})
		if errors.Is(err, pipeline.ErrReplaced) {
			return nil, errors.New("the object was replaced while the logs were read; run the command again")
		}
		if err != nil {
			return nil, err
		}
		return fetchAhead(body), nil
	}}
}

// fetchBytes is how much of an object is fetched before a worker asks for it:
// all of most objects.
const fetchBytes = 256 << 10

var fetchBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, fetchBytes) }}

// A fetched is an object's content, its first part in memory.
type fetched struct {
	*bufio.Reader
	body io.Closer
}

func fetchAhead(body io.ReadCloser) *fetched {
	b := fetchBuffers.Get().(*bufio.Reader)
	b.Reset(body)
	b.Peek(fetchBytes) // whose error comes again when it is met
	return &fetched{b, body}
}

func (f *fetched) Close() error {
	f.Reader.Reset(nil)
	fetchBuffers.Put(f.Reader)
	return f.body.Close()
}
