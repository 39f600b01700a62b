package input

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"tlswatch/internal/cli/cloud"
	"tlswatch/pkg/pipeline"
	"tlswatch/pkg/s3source"
)

// listS3 yields the logs under a prefix. If the argument is the full key of an object,
// it may have any name.
func (in *Logs) listS3(ctx context.Context, uri string, yield func(*Log) bool) error {
	bucket, prefix, err := cloud.ParseS3(uri)
	if err != nil {
		return err
	}
	lister := Lister{&in.s3, bucket, in.filter.times()}
	any := false
	err = lister.List(ctx, prefix, func(page []Object) error {
		any = any || len(page) > 0
		for _, o := range page {
			if o.Key != prefix && (strings.HasSuffix(o.Key, "/") || !in.reads(o.Key)) {
				continue
			}
			if !yield(in.s3Log(bucket, o)) {
				return context.Cause(ctx)
			}
		}
		return nil
	})
	if err == nil && !any && lister.Span != (Span{}) {
		// To explain why. If it fails, the error about no logs is all there is to say.
		if covered, err := lister.covered(ctx, prefix); err == nil {
			in.filter.cover(covered)
		}
	}
	return err
}

func (in *Logs) s3Log(bucket string, o Object) *Log {
	object := pipeline.Object{Bucket: bucket, Key: o.Key, ETag: o.ETag, Size: o.Size}
	return &Log{Name: object.URI(), Size: o.Size, remote: true, open: func(ctx context.Context) (io.ReadCloser, error) {
		body, err := OpenObject(ctx, &in.s3, object)
		if errors.Is(err, pipeline.ErrReplaced) {
			return nil, errors.New("the object was replaced while the logs were read; run the command again")
		}
		return body, err
	}}
}

// resumes is how often reading an object resumes after a lost connection; see
// [s3source.Source].
const resumes = 4

// OpenObject opens an object and fetches its first part.
func OpenObject(ctx context.Context, buckets *cloud.Buckets, o pipeline.Object) (body io.ReadCloser, err error) {
	err = buckets.InRegion(ctx, o.Bucket, func(client *s3.Client) error {
		_, body, err = s3source.Source{Client: client, Resumes: resumes}.Open(ctx, o)
		return err
	})
	if err != nil {
		return nil, cloud.ExplainS3(o.Bucket, err)
	}
	return fetchAhead(body), nil
}

// fetchBytes is how much of an object is fetched before a worker reads it. Most objects
// are smaller.
const fetchBytes = 256 << 10

var fetchBuffers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, fetchBytes) }}

// A fetched is an object's content, with the first part in memory.
type fetched struct {
	*bufio.Reader
	body io.Closer
}

func fetchAhead(body io.ReadCloser) *fetched {
	b := fetchBuffers.Get().(*bufio.Reader)
	b.Reset(body)
	b.Peek(fetchBytes) // Read returns its error
	return &fetched{b, body}
}

func (f *fetched) Close() error {
	f.Reader.Reset(nil)
	fetchBuffers.Put(f.Reader)
	return f.body.Close()
}
