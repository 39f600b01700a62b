// Package archive reads the files in tar and ZIP archives, one after the other, and
// decompresses zstd.
package archive

import (
	"archive/tar"
	"archive/zip"
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"
)

// A File is a file in an archive, or a file that is not an archive, which has no name.
// Its content can be read until the next one begins.
type File struct {
	Name string
	io.Reader
}

const (
	tarMagic   = "ustar" // POSIX.1-2001, ustar and pax; GNU's format has it too
	tarMagicAt = 257
	zipMagic   = "PK\x03\x04"
	zipEmpty   = "PK\x05\x06"
	zstdMagic  = "\x28\xb5\x2f\xfd" // RFC 8878, section 3.1.1
	gzipMagic  = "\x1f\x8b"

	// maxWindow is the most memory that zstd data can ask for, in bytes. The zstd
	// command takes 128 MiB unless told otherwise, and uses 8 MiB by default.
	maxWindow = 128 << 20
)

// Each calls read for each regular file in r, in their order. If r is not an archive, it
// calls read once. It returns the first error of read, and an error if the archive is
// broken.
func Each(r io.Reader, read func(File) error) error {
	peek := bufio.NewReaderSize(r, 1<<16)
	start, err := peek.Peek(tarMagicAt + len(tarMagic))
	switch {
	case err != nil && err != io.EOF:
		return err
	case bytes.HasPrefix(start, []byte(zstdMagic)):
		z, err := zstd.NewReader(peek, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return err
		}
		defer z.Close()
		return Each(z, read)
	case bytes.HasPrefix(start, []byte(zipMagic)) || bytes.HasPrefix(start, []byte(zipEmpty)):
		return eachZIP(peek, read)
	case isTar(start):
		return eachTar(peek, read)
	case bytes.HasPrefix(start, []byte(gzipMagic)) && isTar(unpacked(peek)):
		z, err := gzip.NewReader(peek)
		if err != nil {
			return err
		}
		return eachTar(z, read)
	}
	return read(File{Reader: peek})
}

func isTar(start []byte) bool {
	return len(start) >= tarMagicAt+len(tarMagic) && string(start[tarMagicAt:tarMagicAt+len(tarMagic)]) == tarMagic
}

// unpacked returns the start of gzip data, as far as peek has it.
func unpacked(peek *bufio.Reader) []byte {
	packed, _ := peek.Peek(peek.Buffered())
	z, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil
	}
	start := make([]byte, tarMagicAt+len(tarMagic))
	n, _ := io.ReadFull(z, start)
	return start[:n]
}

func eachTar(r io.Reader, read func(File) error) error {
	t := tar.NewReader(r)
	for {
		h, err := t.Next()
		switch {
		case err == io.EOF:
			return nil
		case err != nil:
			return fmt.Errorf("tar archive: %w", err)
		case h.Typeflag != tar.TypeReg:
			continue
		}
		if err := read(File{h.Name, t}); err != nil {
			return err
		}
	}
}

// eachZIP reads a ZIP archive. Its list of files is at its end, so it is copied to a
// temporary file.
func eachZIP(r io.Reader, read func(File) error) (err error) {
	f, err := os.CreateTemp("", "tlswatch-*.zip")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close(), os.Remove(f.Name())) }()
	size, err := io.Copy(f, r)
	if err != nil {
		return err
	}
	z, err := zip.NewReader(f, size)
	if err != nil {
		return fmt.Errorf("ZIP archive: %w", err)
	}
	for _, m := range z.File {
		if !m.Mode().IsRegular() {
			continue
		}
		if m.Flags&1 != 0 { // APPNOTE.TXT, section 4.4.4
			return fmt.Errorf("ZIP archive: %s is encrypted; unpack it first", m.Name)
		}
		body, err := m.Open()
		if err != nil {
			return fmt.Errorf("ZIP archive: %s: %w", m.Name, err)
		}
		if err := errors.Join(read(File{m.Name, body}), body.Close()); err != nil {
			return err
		}
	}
	return nil
}
