package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// OpenFile opens a file. Its errors do not name the file. Opening a named pipe waits for
// a writer, and reading from it for data: both end with ctx.
func OpenFile(ctx context.Context, path string) (io.ReadCloser, error) {
	switch info, err := os.Stat(path); {
	case err != nil:
		return nil, WithoutPath(err)
	case info.Mode().IsRegular():
		f, err := os.Open(path)
		if err != nil {
			return nil, WithoutPath(err)
		}
		return f, nil
	}
	type result struct {
		f   *os.File
		err error
	}
	opened := make(chan result, 1)
	go func() {
		f, err := os.Open(path)
		opened <- result{f, err}
	}()
	select {
	case r := <-opened:
		if r.err != nil {
			return nil, WithoutPath(r.err)
		}
		return &pipeFile{Interruptible(ctx, r.f), r.f}, nil
	case <-ctx.Done():
		go func() { // the file may still open
			if r := <-opened; r.err == nil {
				r.f.Close()
			}
		}()
		return nil, context.Cause(ctx)
	}
}

// A pipeFile reads from a named pipe or a device.
type pipeFile struct {
	io.ReadCloser
	file *os.File
}

func (p *pipeFile) Close() error { return errors.Join(p.ReadCloser.Close(), p.file.Close()) }

// Interruptible reads r in another goroutine, so that waiting for input ends with ctx.
// Closing the reader that it returns does not close r.
func Interruptible(ctx context.Context, r io.Reader) io.ReadCloser {
	in, out := io.Pipe()
	stop := context.AfterFunc(ctx, func() { out.CloseWithError(context.Cause(ctx)) })
	go func() {
		defer stop()
		_, err := io.CopyBuffer(out, struct{ io.Reader }{r}, make([]byte, 1<<16))
		out.CloseWithError(err)
	}()
	return in
}

// ReadFile reads a whole file, unless ctx ends before.
func ReadFile(ctx context.Context, path string) ([]byte, error) {
	f, err := OpenFile(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	defer f.Close()
	data, err := io.ReadAll(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, WithoutPath(err))
	}
	return data, nil
}

// WithoutPath removes the path from an error: messages begin with it anyway.
func WithoutPath(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}
