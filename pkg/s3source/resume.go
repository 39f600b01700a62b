package s3source

import (
	"context"
	"fmt"
	"io"
	"time"

	"tlswatch/pkg/pipeline"
)

// resumePause is the wait before a body is resumed. It doubles after each attempt without
// any data.
const resumePause = 200 * time.Millisecond

// A resumer is the content of an object. If the transfer breaks off, it continues with a
// ranged request for the same ETag.
//
// Source: https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
type resumer struct {
	source Source
	ctx    context.Context
	object pipeline.Object // as in S3
	body   io.ReadCloser   // nil between two requests
	offset int64
	left   int   // remaining attempts
	err    error // why the last body ended
}

func (r *resumer) Read(p []byte) (int, error) {
	for {
		if r.err != nil {
			if err := r.resume(); err != nil {
				return 0, err
			}
		}
		n, err := r.body.Read(p)
		r.offset += int64(n)
		if n > 0 {
			r.left = r.source.Resumes
		}
		if err == io.EOF || r.offset == r.object.Size { // complete: resuming cannot help
			return n, err
		}
		r.err = err
		if n > 0 {
			return n, nil
		}
	}
}

// resume opens the next body, or returns the reason why it cannot.
func (r *resumer) resume() error {
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
	switch {
	case r.ctx.Err() != nil:
		return context.Cause(r.ctx)
	case r.left == 0:
		return r.err
	}
	pause := time.NewTimer(resumePause << (r.source.Resumes - r.left))
	defer pause.Stop()
	r.left--
	select {
	case <-pause.C:
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
	_, body, err := r.source.open(r.ctx, r.object, r.offset)
	if err != nil {
		return fmt.Errorf("%w; resuming at byte %d: %w", r.err, r.offset, err)
	}
	r.body, r.err = body, nil
	return nil
}

func (r *resumer) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}
