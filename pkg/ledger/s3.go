package ledger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
)

// A Client is what S3 needs of *s3.Client.
type Client interface {
	s3.ListObjectsV2APIClient
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// S3 is the Store in a bucket. The function's role must allow s3:GetObject and
// s3:PutObject on its objects, and s3:ListBucket on the bucket, without which a
// missing object looks like a forbidden one.
type S3 struct {
	Client Client
	Bucket string
}

var _ Store = S3{}

// maxRecord bounds a record, in bytes. Those written here are far smaller.
const maxRecord = 1 << 20

// Get implements [Store].
func (s S3) Get(ctx context.Context, key string) ([]byte, string, error) {
	out, err := s.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key})
	if err != nil {
		return nil, "", s.explain(err, "s3:GetObject", key, ErrChanged)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxRecord+1))
	if err != nil {
		return nil, "", fmt.Errorf("reading s3://%s/%s: %w", s.Bucket, key, err)
	}
	if len(body) > maxRecord {
		return nil, "", fmt.Errorf("s3://%s/%s is no record of tlswatch: it is larger than %d bytes", s.Bucket, key, maxRecord)
	}
	return body, aws.ToString(out.ETag), nil
}

// Create implements [Store].
func (s S3) Create(ctx context.Context, key string, body []byte) (string, error) {
	out, err := s.Client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.Bucket, Key: &key, Body: bytes.NewReader(body), ContentType: contentType, IfNoneMatch: aws.String("*"),
	})
	if err != nil {
		return "", s.explain(err, "s3:PutObject", key, ErrExists)
	}
	return aws.ToString(out.ETag), nil
}

// Replace implements [Store].
func (s S3) Replace(ctx context.Context, key string, body []byte, etag string) (string, error) {
	out, err := s.Client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.Bucket, Key: &key, Body: bytes.NewReader(body), ContentType: contentType, IfMatch: &etag,
	})
	if err != nil {
		return "", s.explain(err, "s3:PutObject and s3:GetObject", key, ErrChanged)
	}
	return aws.ToString(out.ETag), nil
}

var contentType = aws.String("application/json")

// List implements [Store].
func (s S3) List(ctx context.Context, prefix, after string, yield func(string, int64) bool) error {
	in := &s3.ListObjectsV2Input{Bucket: &s.Bucket, Prefix: &prefix}
	if after != "" {
		in.StartAfter = &after
	}
	for pages := s3.NewListObjectsV2Paginator(s.Client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.explain(err, "s3:ListBucket", prefix, ErrChanged)
		}
		for _, o := range page.Contents {
			if !yield(aws.ToString(o.Key), aws.ToInt64(o.Size)) {
				return nil
			}
		}
	}
	return nil
}

// folders returns the prefixes that end with the first slash after prefix.
func (s S3) folders(ctx context.Context, prefix string) ([]string, error) {
	var list []string
	in := &s3.ListObjectsV2Input{Bucket: &s.Bucket, Prefix: &prefix, Delimiter: aws.String("/")}
	for pages := s3.NewListObjectsV2Paginator(s.Client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.explain(err, "s3:ListBucket", prefix, ErrChanged)
		}
		for _, p := range page.CommonPrefixes {
			list = append(list, aws.ToString(p.Prefix))
		}
	}
	return list, nil
}

// explain turns the status of an answer into the words of Store.
func (s S3) explain(err error, permission, key string, failedPrecondition error) error {
	re, ok := errors.AsType[*awshttp.ResponseError](err)
	if !ok {
		return fmt.Errorf("s3://%s/%s: %w", s.Bucket, key, err)
	}
	switch re.HTTPStatusCode() {
	case http.StatusNotFound:
		if api, ok := errors.AsType[interface {
			error
			ErrorCode() string
		}](err); ok && api.ErrorCode() == "NoSuchBucket" {
			return fmt.Errorf("there is no state bucket %q: %w", s.Bucket, err)
		}
		return fmt.Errorf("s3://%s/%s: %w: %w", s.Bucket, key, ErrNotFound, err)
	case http.StatusPreconditionFailed:
		return fmt.Errorf("s3://%s/%s: %w: %w", s.Bucket, key, failedPrecondition, err)
	case http.StatusConflict:
		return fmt.Errorf("s3://%s/%s: %w: %w", s.Bucket, key, ErrConflict, err)
	case http.StatusForbidden:
		return fmt.Errorf("access to the state bucket denied: the function's role must allow %s for %q in bucket %q: %w", permission, key, s.Bucket, err)
	}
	return fmt.Errorf("s3://%s/%s: %w", s.Bucket, key, err)
}
