// Package s3source opens log objects in Amazon S3.
package s3source

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"

	"tlswatch/pkg/pipeline"
)

// An API is what Source needs of *s3.Client.
type API interface {
	GetObject(context.Context, *s3.GetObjectInput, ...func(*s3.Options)) (*s3.GetObjectOutput, error)
}

// Source is a [pipeline.Source].
//
// The bodies are streams: the SDK does not retry once a body has begun. At its end the
// SDK verifies the checksum that S3 may have sent, so a body must not be trusted before
// its io.EOF.
type Source struct {
	Client API

	// Resumes is the maximum number of consecutive attempts, without any data in
	// between, to continue a body that broke off. A resumed body is not compared with
	// S3's checksum of the object; gzip has its own.
	Resumes int

	stall time.Duration // for tests; default maxStall
}

// maxStall is the longest wait for the next bytes of a body. After that, the
// transfer counts as broken off. It is far longer than S3 takes, and short enough
// for a retry before the function's deadline.
const maxStall = 15 * time.Second

var _ pipeline.Source = Source{}

// Open opens the version of the object that the event announced: by its version if it
// has one, otherwise only if its ETag is still the same. The returned object has the key
// and the ETag in S3.
func (s Source) Open(ctx context.Context, o pipeline.Object) (pipeline.Object, io.ReadCloser, error) {
	opened, body, err := s.open(ctx, o, 0)
	if errors.Is(err, pipeline.ErrGone) && o.AltKey != "" {
		o.Key, o.AltKey = o.AltKey, ""
		opened, body, err = s.open(ctx, o, 0)
	}
	if err == nil && s.Resumes > 0 {
		body = &resumer{source: s, ctx: ctx, object: opened, body: body, left: s.Resumes}
	}
	return opened, body, err
}

// open opens the object at an offset in bytes.
func (s Source) open(ctx context.Context, o pipeline.Object, offset int64) (pipeline.Object, io.ReadCloser, error) {
	in := &s3.GetObjectInput{Bucket: aws.String(o.Bucket), Key: aws.String(o.Key)}
	if offset > 0 {
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", offset))
	}
	switch {
	case o.VersionID != "":
		in.VersionId = aws.String(o.VersionID)
	case o.ETag != "":
		in.IfMatch = aws.String(`"` + o.ETag + `"`)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	out, err := s.Client.GetObject(ctx, in)
	if err != nil {
		cancel(nil)
		return o, nil, explain(o, err)
	}
	if offset > 0 && !strings.HasPrefix(aws.ToString(out.ContentRange), fmt.Sprintf("bytes %d-", offset)) {
		out.Body.Close()
		cancel(nil)
		return o, nil, errors.New("the server does not send ranges")
	}
	o.ETag = strings.Trim(aws.ToString(out.ETag), `"`)
	if out.ContentLength != nil && offset == 0 {
		o.Size = *out.ContentLength
	}
	return o, newBody(ctx, cancel, out.Body, cmp.Or(s.stall, maxStall)), nil
}

// explain translates an error of GetObject to those of package pipeline, or says what to
// do about it. The caller adds the name of the object.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func explain(o pipeline.Object, err error) error {
	status := 0
	if re, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = re.HTTPStatusCode()
	}
	code := ""
	if ae, ok := errors.AsType[smithy.APIError](err); ok {
		code = ae.ErrorCode()
	}
	switch {
	case code == "NoSuchBucket":
		return fmt.Errorf("there is no bucket %q: %w", o.Bucket, err)
	case code == "InvalidObjectState":
		return fmt.Errorf("the object is archived; restore it first: %w", err)
	case status == http.StatusNotFound, code == "MethodNotAllowed": // the latter for a delete marker
		return fmt.Errorf("%w: %w", pipeline.ErrGone, err)
	case status == http.StatusPreconditionFailed:
		return fmt.Errorf("%w: %w", pipeline.ErrReplaced, err)
	case status == http.StatusForbidden:
		permission := "s3:GetObject"
		if o.VersionID != "" {
			permission = "s3:GetObjectVersion"
		}
		return fmt.Errorf("access denied: the caller's policies, and the bucket's if it is another account's, must allow %s for key %q in bucket %q: %w",
			permission, o.Key, o.Bucket, err)
	}
	return err
}

// A body is the content of an object. Reading fails if the sender stalls.
type body struct {
	io.ReadCloser
	ctx    context.Context // of the request; canceled when the sender stalls
	cancel context.CancelCauseFunc
	stall  time.Duration
	timer  *time.Timer
}

func newBody(ctx context.Context, cancel context.CancelCauseFunc, r io.ReadCloser, stall time.Duration) *body {
	stalled := fmt.Errorf("no bytes for %v", stall)
	timer := time.AfterFunc(stall, func() { cancel(stalled) })
	timer.Stop()
	return &body{r, ctx, cancel, stall, timer}
}

func (b *body) Read(p []byte) (int, error) {
	b.timer.Reset(b.stall) // the reader's own pauses do not count
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && err != io.EOF && b.ctx.Err() != nil {
		err = context.Cause(b.ctx)
	}
	return n, err
}

func (b *body) Close() error {
	b.timer.Stop()
	b.cancel(nil)
	return b.ReadCloser.Close()
}
