//go:build unix

package main

import (
	"bufio"
	stdgzip "compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/klauspost/compress/gzip"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/inflate"
	"tlswatch/pkg/rollup"
)

// runJob runs one of the jobs that are measured, each in a process of its own.
func runJob(name string, files []string) error {
	switch name {
	case "data":
		scale, err := strconv.ParseFloat(files[1], 64)
		if err != nil {
			return err
		}
		_, err = (&bench{dir: files[0], scale: scale}).data()
		return err
	case "small":
		return small(files[0])
	case "whole", "pipelined":
		var options []connlog.Option
		if name == "pipelined" {
			options = append(options, connlog.ReadAhead)
		}
		return opened(files, func(f *os.File) error { return whole(f, options...) })
	case "profile":
		return profile(files[0], files[1:])
	case "naive":
		return opened(files, naive)
	case "inflate":
		return opened(files, func(f *os.File) error {
			z := inflate.NewReader(f)
			for {
				if _, err := z.Next(0); err == io.EOF {
					return nil
				} else if err != nil {
					return err
				}
			}
		})
	case "klauspost":
		return opened(files, func(f *os.File) error {
			z, err := gzip.NewReader(bufio.NewReaderSize(f, 1<<16))
			if err != nil {
				return err
			}
			_, err = z.WriteTo(io.Discard)
			return err
		})
	case "standard":
		return opened(files, func(f *os.File) error {
			z, err := stdgzip.NewReader(bufio.NewReaderSize(f, 1<<16))
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, z)
			return err
		})
	}
	return fmt.Errorf("unknown job %q", name)
}

// opened calls read with each file.
func opened(files []string, read func(*os.File) error) error {
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return err
		}
		if err := errors.Join(read(f), f.Close()); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// whole reads and counts a log as the function does. It prints the number of lines,
// of failed connections and of allocations.
func whole(f *os.File, options ...connlog.Option) error {
	r := connlog.NewReader(f, options...)
	s := rollup.New(rollup.Options{IPv6Prefix: 64})
	if err := fold(s, r); err != nil {
		return err
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	fmt.Println(s.Lines, s.Totals.Failed, m.Mallocs)
	return nil
}

// profile writes a CPU profile of ten runs of the whole job over all files.
func profile(to string, files []string) (err error) {
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	if err := pprof.StartCPUProfile(out); err != nil {
		return err
	}
	defer pprof.StopCPUProfile()
	r := connlog.NewReader(nil)
	for range 10 {
		if err := opened(files, func(f *os.File) error {
			r.Reset(f)
			return fold(rollup.New(rollup.Options{IPv6Prefix: 64}), r)
		}); err != nil {
			return err
		}
	}
	return nil
}

// fold counts all entries of a log.
func fold(s *rollup.Summary, r *connlog.Reader) error {
	var e connlog.Entry
	for {
		switch err := r.Read(&e).(type) {
		case nil:
			s.Add(&e)
		case *connlog.ParseError:
			s.AddMalformed()
		default:
			if err == io.EOF {
				return nil
			}
			return err
		}
	}
}

// small counts all logs of a directory, with one worker per core.
func small(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.gz"))
	if err != nil {
		return err
	}
	var (
		next    atomic.Int64
		workers sync.WaitGroup
		sums    = make([]*rollup.Summary, runtime.GOMAXPROCS(0))
		errs    = make([]error, len(sums))
	)
	for n := range sums {
		sums[n] = rollup.New(rollup.Options{IPv6Prefix: 64})
		workers.Go(func() {
			r := connlog.NewReader(nil)
			for {
				i := int(next.Add(1)) - 1
				if i >= len(files) {
					return
				}
				err := opened(files[i:i+1], func(f *os.File) error {
					r.Reset(f)
					return fold(sums[n], r)
				})
				errs[n] = errors.Join(errs[n], err)
			}
		})
	}
	workers.Wait()
	var lines uint64
	for _, s := range sums {
		lines += s.Lines
	}
	fmt.Println(lines)
	return errors.Join(errs...)
}

// naive is the obvious program. It counts by status, by protocol and cipher, by
// client and by minute.
func naive(f *os.File) error {
	debug.SetGCPercent(100)
	z, err := stdgzip.NewReader(f)
	if err != nil {
		return err
	}
	status, suite, client, minute := map[string]int{}, map[string]int{}, map[string]int{}, map[string]int{}
	lines := bufio.NewScanner(z)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		if len(fields) < 11 {
			continue
		}
		status[fields[10]]++
		suite[fields[4]+" "+fields[5]]++
		client[fields[1]]++
		minute[fields[0][:16]]++
	}
	fmt.Println(len(status), len(suite), len(client), len(minute))
	return lines.Err()
}
