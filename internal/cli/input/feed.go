package input

import (
	"context"
	"io"
	"sync"
	"time"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/console"
)

// Limits of work in progress.
const (
	listAhead = 10_000        // logs that are listed and not opened
	openAhead = cloud.MaxOpen // objects that are opened and not read to their end

	largeLog = 4 << 20 // bytes in storage: a larger log may use two cores

	// listPatience is how long a large log waits for the next log to be listed. A
	// directory or a page of S3 takes less.
	listPatience = 20 * time.Millisecond
)

// An opening is a log on its way to a worker.
type opening struct {
	*Log
	last    bool // large, and no other log follows
	body    io.ReadCloser
	err     error
	release func() // allows another object to be opened; nil if the worker opens the log
}

// take returns the content of the log.
func (o *opening) take(ctx context.Context) (io.ReadCloser, error) {
	switch {
	case o.release != nil:
		return o.body, o.err
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return o.open(ctx)
}

// feed passes logs to the workers. It opens objects in S3 ahead of time and passes them
// on as soon as they are open, so that a slow one delays no other. Files keep their
// order.
func (in *Logs) feed(ctx context.Context, queue chan<- *opening) {
	var ahead sync.WaitGroup
	defer func() {
		ahead.Wait()
		close(queue)
	}()
	listed := make(chan *Log, listAhead)
	go func() {
		defer close(listed)
		in.list(ctx, func(i *Log) bool {
			select {
			case listed <- i:
				in.progress.Expect(1, i.Size)
				return true
			case <-ctx.Done():
				return false
			}
		})
		in.progress.Complete()
	}()
	slots := make(chan struct{}, openAhead)
	for i, ok := <-listed; ok; {
		o := &opening{Log: i}
		var next *Log
		if i.large() { // the last large log may use more cores
			select {
			case next, ok = <-listed:
			case <-time.After(listPatience):
			}
			o.last = next == nil
		}
		if i.remote {
			slots <- struct{}{}
			o.release = func() { <-slots }
			ahead.Go(func() {
				o.body, o.err = o.open(ctx)
				queue <- o
			})
		} else {
			queue <- o
		}
		if i = next; i == nil && ok {
			i, ok = <-listed
		}
	}
}

// A logReader reads a log until ctx ends, even within a line that has no end, and counts
// what it reads.
type logReader struct {
	io.Reader
	ctx      context.Context
	progress *console.Progress
}

func (r *logReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.Reader.Read(p)
	r.progress.Add(0, int64(n))
	return n, err
}
