// Package s3store keeps the records of the ledger in an S3 bucket.
package s3store

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

	"tlswatch/pkg/ledger"
)

// An API is the part of *s3.Client that a Store needs.
type API interface {
	s3.ListObjectsV2APIClient
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
	PutObject(context.Context, *s3.PutObjectInput, ...func(*s3.Options)) (*s3.PutObjectOutput, error)
}

// Store is a [ledger.Store] in a bucket. The function's role must allow
// s3:GetObject and s3:PutObject on its objects, and s3:ListBucket on the bucket:
// without it S3 reports a missing object as a forbidden one. To read, PutObject
// is not needed.
type Store struct {
	Client API
	Bucket string
}

var (
	_ ledger.Store     = Store{}
	_ ledger.ReadStore = Store{}
)

// maxRecord limits the size of a record, in bytes. The ledger's are far smaller.
const maxRecord = 1 << 20

// Get implements [ledger.Store].
func (s Store) Get(ctx context.Context, key string) ([]byte, string, error) {
	out, err := s.Client.GetObject(ctx, &s3.GetObjectInput{Bucket: &s.Bucket, Key: &key})
	if err != nil {
		return nil, "", s.explain(err, "s3:GetObject", key, ledger.ErrChanged)
	}
	defer out.Body.Close()
	body, err := io.ReadAll(io.LimitReader(out.Body, maxRecord+1))
	if err != nil {
		return nil, "", fmt.Errorf("reading s3://%s/%s: %w", s.Bucket, key, err)
	}
	if len(body) > maxRecord {
		return nil, "", fmt.Errorf("s3://%s/%s is not a record of tlswatch: it is larger than %d bytes", s.Bucket, key, maxRecord)
	}
	return body, aws.ToString(out.ETag), nil
}

// Create implements [ledger.Store].
func (s Store) Create(ctx context.Context, key string, body []byte) (string, error) {
	out, err := s.Client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.Bucket, Key: &key, Body: bytes.NewReader(body), ContentType: contentType, IfNoneMatch: aws.String("*"),
	})
	if err != nil {
		return "", s.explain(err, "s3:PutObject", key, ledger.ErrExists)
	}
	return aws.ToString(out.ETag), nil
}

// Replace implements [ledger.Store].
func (s Store) Replace(ctx context.Context, key string, body []byte, etag string) (string, error) {
	out, err := s.Client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &s.Bucket, Key: &key, Body: bytes.NewReader(body), ContentType: contentType, IfMatch: &etag,
	})
	if err != nil {
		return "", s.explain(err, "s3:PutObject and s3:GetObject", key, ledger.ErrChanged)
	}
	return aws.ToString(out.ETag), nil
}

var contentType = aws.String("application/json")

// List implements [ledger.Store].
func (s Store) List(ctx context.Context, prefix, after string, yield func(string, int64) bool) error {
	in := &s3.ListObjectsV2Input{Bucket: &s.Bucket, Prefix: &prefix}
	if after != "" {
		in.StartAfter = &after
	}
	for pages := s3.NewListObjectsV2Paginator(s.Client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return s.explain(err, "s3:ListBucket", prefix, ledger.ErrChanged)
		}
		for _, o := range page.Contents {
			if !yield(aws.ToString(o.Key), aws.ToInt64(o.Size)) {
				return nil
			}
		}
	}
	return nil
}

// Folders implements [ledger.ReadStore].
func (s Store) Folders(ctx context.Context, prefix string) ([]string, error) {
	var list []string
	in := &s3.ListObjectsV2Input{Bucket: &s.Bucket, Prefix: &prefix, Delimiter: aws.String("/")}
	for pages := s3.NewListObjectsV2Paginator(s.Client, in); pages.HasMorePages(); {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, s.explain(err, "s3:ListBucket", prefix, ledger.ErrChanged)
		}
		for _, p := range page.CommonPrefixes {
			list = append(list, aws.ToString(p.Prefix))
		}
	}
	return list, nil
}

// explain turns the status of a reply into an error of package ledger, and says
// what is wrong with the bucket or the permissions.
func (s Store) explain(err error, permission, key string, failedPrecondition error) error {
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
		return fmt.Errorf("s3://%s/%s: %w: %w", s.Bucket, key, ledger.ErrNotFound, err)
	case http.StatusPreconditionFailed:
		return fmt.Errorf("s3://%s/%s: %w: %w", s.Bucket, key, failedPrecondition, err)
	case http.StatusConflict:
		return fmt.Errorf("s3://%s/%s: %w: %w", s.Bucket, key, ledger.ErrConflict, err)
	case http.StatusForbidden:
		return fmt.Errorf("access to the state bucket denied: the function's role must allow %s for %q in bucket %q: %w", permission, key, s.Bucket, err)
	}
	return fmt.Errorf("s3://%s/%s: %w", s.Bucket, key, err)
}
