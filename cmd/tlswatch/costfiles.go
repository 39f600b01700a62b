package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"tlswatch/internal/estimate"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/rollup"
)

const inputsHelp = `PATH is a log file (.log.gz or .log) or a directory of them.
`

// estimateFiles reads log objects into an estimate and returns how many others
// were passed over.
func estimateFiles(ctx context.Context, paths []string, e *estimate.Estimator, stderr io.Writer) (skipped int, err error) {
	reader := connlog.NewReader(nil)
	read := 0
	for _, path := range paths {
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			switch {
			case err != nil || d.IsDir():
				return err
			case ctx.Err() != nil:
				return &failure{exitInterrupted, errors.New("interrupted")}
			}
			key, err := connlog.ParseObjectKey(filepath.ToSlash(name))
			if err != nil {
				skipped++
				return nil
			}
			o, err := estimateFile(name, key, e.IPv6Prefix(), reader)
			if err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
			read++
			return e.Add(o)
		})
		if err != nil {
			return skipped, err
		}
	}
	if read == 0 {
		return skipped, fmt.Errorf("no connection logs under their own names (conn_log_...) in %s", strings.Join(paths, ", "))
	}
	return skipped, nil
}

func estimateFile(name string, key connlog.ObjectKey, prefix int, r *connlog.Reader) (estimate.Object, error) {
	o := estimate.Object{Key: key, Summary: rollup.New(rollup.Options{IPv6Prefix: prefix})}
	f, err := os.Open(name)
	if err != nil {
		return o, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return o, err
	}
	o.StoredBytes = info.Size()
	r.Reset(f)
	var entry connlog.Entry
	for {
		switch err := r.Read(&entry); {
		case err == nil:
			o.Summary.Add(&entry)
		case err == io.EOF:
			o.Bytes = r.Bytes()
			return o, nil
		case errors.As(err, new(*connlog.ParseError)):
			o.Summary.AddMalformed()
		default:
			return o, err
		}
	}
}
