package input

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tlswatch/internal/cli/cloud"
	"tlswatch/internal/cli/command"
	"tlswatch/pkg/logkey"
)

// list calls yield for each log, in order, until yield returns false.
func (in *Logs) list(ctx context.Context, yield func(*Log) bool) {
	index := 0
	next := func(i *Log) bool {
		i.index = index
		index++
		return yield(i)
	}
	for _, path := range in.paths {
		var err error
		switch {
		case ctx.Err() != nil:
			return
		case path == command.StdinPath:
			next(&Log{Name: "standard input", open: func(ctx context.Context) (io.ReadCloser, error) { return command.Interruptible(ctx, in.stdin), nil }})
		case strings.HasPrefix(path, cloud.S3Scheme):
			err = in.listS3(ctx, path, next)
		default:
			err = in.listFiles(ctx, path, next)
		}
		if err != nil && ctx.Err() == nil {
			in.mu.Lock()
			in.seen.failed = append(in.seen.failed, &logError{name: path, index: index, err: err})
			in.mu.Unlock()
			index++
		}
	}
}

// listFiles yields a file, or the files in a directory that have names of logs.
func (in *Logs) listFiles(ctx context.Context, path string, yield func(*Log) bool) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		yield(fileInput(path, info))
		return nil
	}
	root := path + string(filepath.Separator) // follows a symbolic link
	return filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil && name == root:
			return command.WithoutPath(err)
		case err != nil: // an unreadable folder in it: the others are read
			yield(&Log{Name: name, open: func(context.Context) (io.ReadCloser, error) { return nil, command.WithoutPath(err) }})
			return nil
		case d.IsDir():
			return nil
		}
		info, err := os.Stat(name) // of what a symbolic link points to
		switch {
		case err == nil && !info.Mode().IsRegular():
			in.skip(NotFile)
			return nil
		case !in.reads(name):
			return nil
		case err != nil:
			info = nil // said when it is opened
		}
		if !yield(fileInput(name, info)) {
			return filepath.SkipAll
		}
		return nil
	})
}

// NotFile is why something with the name of a log is skipped in a directory.
const NotFile = "not a regular file"

func fileInput(path string, info fs.FileInfo) *Log {
	i := &Log{Name: path, open: func(ctx context.Context) (io.ReadCloser, error) { return command.OpenFile(ctx, path) }}
	if info != nil && info.Mode().IsRegular() {
		i.Size = info.Size()
	}
	return i
}

// Skips returns why a file in a directory, or an object under a prefix, is not read as
// a log, by its name; "" if it is read.
func Skips(name string) string {
	_, err := logkey.Parse(filepath.ToSlash(name))
	ke, ok := errors.AsType[*logkey.Error](err)
	if !ok {
		return ""
	}
	other := ke.Reason == logkey.OtherObject || ke.Reason == logkey.OtherForm
	if other && (strings.HasSuffix(name, ".log.gz") || strings.HasSuffix(name, ".log")) {
		return "" // a renamed log
	}
	return ke.Reason
}

// reads reports whether to read the object or file with a name, and counts it if not.
func (in *Logs) reads(name string) bool {
	reason := Skips(name)
	if in.access {
		switch reason {
		case logkey.AccessLog:
			return true
		case "":
			if _, err := logkey.Parse(filepath.ToSlash(name)); err == nil {
				reason = "connection log"
			}
		}
	}
	if reason != "" {
		in.skip(reason)
		return false
	}
	key, err := logkey.Parse(filepath.ToSlash(name))
	if err != nil {
		return true // a renamed log
	}
	if !in.filter.MatchObject(key) {
		from, to := key.Ends()
		in.filter.cover(Span{from.Add(-logkey.Period), to})
		in.mu.Lock()
		in.seen.outside++
		in.mu.Unlock()
		return false
	}
	return true
}

// skip counts something that is not read, by what it is.
func (in *Logs) skip(what string) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.seen.skipped[what]++
}
