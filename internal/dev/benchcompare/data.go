//go:build unix

package main

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"tlswatch/internal/dev/connlogtest"
)

// data are the files that the programs read. The same scale and the same version of
// gzip(1) give the same files.
type data struct {
	medium, large file   // a log of 50,000 clients with few heavy ones, and of scanners seen once
	uniform       file   // 50,000 clients with the same number of lines each
	unique        file   // 5 million clients with one line each
	blank         file   // line feeds alone: the most lines that bytes can be
	small         string // a directory of many small logs
	smallFiles    int
}

type file struct {
	path  string
	lines int
	size  int64 // uncompressed
	label string
}

// lineBytes is the approximate size of a line.
const lineBytes = 148

// Most archived logs have 12 fields.
const fields = 12

func (b *bench) data() (*data, error) {
	if err := os.MkdirAll(b.dir, 0o755); err != nil {
		return nil, err
	}
	d := new(data)
	for _, log := range []struct {
		to    *file
		name  string
		bytes float64
		write func(w io.Writer, lines int) error
	}{
		{&d.medium, "medium", 200e6, population},
		{&d.large, "large", 1e9, population},
		{&d.uniform, "uniform", 1e9, func(w io.Writer, lines int) error { return evenly(w, lines, 50_000) }},
		{&d.unique, "unique", 5e6 * lineBytes, func(w io.Writer, lines int) error { return evenly(w, lines, lines) }},
		{&d.blank, "blank", 1e9, lineFeeds},
	} {
		lines := max(int(log.bytes*b.scale/lineBytes), 1)
		path := filepath.Join(b.dir, fmt.Sprintf("%s-%d.log.gz", log.name, lines))
		size, err := pack(path, func(w io.Writer) error { return log.write(w, lines) })
		if err != nil {
			return nil, err
		}
		*log.to = file{path, lines, size, megabytes(size)}
	}
	d.small, d.smallFiles = filepath.Join(b.dir, fmt.Sprintf("small-%g", b.scale)), max(int(2000*b.scale), 4)
	if err := os.MkdirAll(d.small, 0o755); err != nil {
		return nil, err
	}
	for i := range d.smallFiles {
		path := filepath.Join(d.small, fmt.Sprintf("%04d.log.gz", i))
		if _, err := pack(path, func(w io.Writer) error {
			return connlogtest.Write(w, connlogtest.Options{Seed: uint64(i + 1), Lines: 1400, Clients: 50_000, Fields: fields})
		}); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// megabytes labels a file by its size.
func megabytes(size int64) string {
	if size < 10e6 {
		return fmt.Sprintf("%.2g MB", float64(size)/1e6)
	}
	return fmt.Sprintf("%.0f MB", float64(size)/1e6)
}

// traffic returns a packet capture of 1 GB. A test of pkg/clienthello writes it, with
// real TLS clients and servers.
func (b *bench) traffic() (string, error) {
	dir, err := filepath.Abs(b.dir)
	if err != nil {
		return "", err
	}
	megabytes := max(int(1000*b.scale), 1)
	path := filepath.Join(dir, fmt.Sprintf("traffic-%d.pcap", megabytes))
	if _, err := os.Stat(path); err == nil {
		return path, nil
	}
	part := path + ".part"
	write := exec.Command("go", "test", "-run", "^TestWriteTraffic$", "tlswatch/pkg/clienthello")
	write.Env = append(os.Environ(), "TLSWATCH_TRAFFIC="+part, fmt.Sprintf("TLSWATCH_TRAFFIC_MB=%d", megabytes))
	if out, err := write.CombinedOutput(); err != nil {
		return "", fmt.Errorf("making %s: %w\n%s", path, err, out)
	}
	return path, os.Rename(part, path)
}

// population writes a log in which few clients make most connections.
func population(w io.Writer, lines int) error {
	return connlogtest.Write(w, connlogtest.Options{Seed: 1, Lines: lines, Clients: 50_000, Fields: fields})
}

// evenly writes a log of clients that take turns. Every tenth client fails.
func evenly(w io.Writer, lines, clients int) error {
	start := time.Date(2026, 11, 23, 10, 0, 0, 0, time.UTC)
	bw := bufio.NewWriterSize(w, 1<<16)
	for i := range lines {
		at := start.Add(time.Duration(float64(5*time.Minute) * float64(i) / float64(lines)))
		latency, status := "0.012", "Success"
		if i%clients%10 == 0 {
			latency, status = "-", "Failed:UnmappedConnectionError"
		}
		n := uint32(i%clients) * 2654435761 // unique per client
		fmt.Fprintf(bw, "%s %d.%d.%d.%d %d 443 TLSv1.2 ECDHE-RSA-AES128-GCM-SHA256 %s \"-\" - - %s TID_%016x%016x\n",
			at.Format("2006-01-02T15:04:05.000000Z"), n>>24, n>>16&255, n>>8&255, n&255, 1024+i%60_000, latency, status, uint64(n)*0x9e3779b97f4a7c15, uint64(i)*0xbf58476d1ce4e5b9)
	}
	return bw.Flush()
}

// lineFeeds writes line feeds alone, as many as a log of that many lines has bytes.
func lineFeeds(w io.Writer, lines int) error {
	feeds := bytes.Repeat([]byte{'\n'}, lineBytes)
	for range lines {
		if _, err := w.Write(feeds); err != nil {
			return err
		}
	}
	return nil
}

// pack writes a file compressed by gzip(1), unless it exists, and returns its
// uncompressed size.
func pack(path string, write func(io.Writer) error) (size int64, err error) {
	sizePath := path + ".size"
	if text, err := os.ReadFile(sizePath); err == nil {
		if _, err := fmt.Sscan(string(text), &size); err == nil {
			return size, nil
		}
	}
	out, err := os.Create(path)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	gzip := exec.Command("gzip", "-n", "-6")
	gzip.Stdout, gzip.Stderr = out, os.Stderr
	in, err := gzip.StdinPipe()
	if err != nil {
		return 0, err
	}
	if err := gzip.Start(); err != nil {
		return 0, err
	}
	counted := &counter{w: in}
	err = cmp.Or(write(counted), in.Close())
	if err = cmp.Or(err, gzip.Wait()); err != nil {
		return 0, fmt.Errorf("making %s: %w", path, err)
	}
	return counted.n, os.WriteFile(sizePath, []byte(fmt.Sprintln(counted.n)), 0o644)
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
