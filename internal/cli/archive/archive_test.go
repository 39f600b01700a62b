package archive

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

var members = []struct{ name, text string }{{"a.log", "first\n"}, {"logs/b.log", strings.Repeat("second\n", 10_000)}, {"c", ""}}

func tarOf(t testing.TB) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "logs/", Typeflag: tar.TypeDir, Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		if err := w.WriteHeader(&tar.Header{Name: m.name, Size: int64(len(m.text)), Mode: 0o644}); err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, m.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipOf(t testing.TB) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	if _, err := w.Create("logs/"); err != nil {
		t.Fatal(err)
	}
	for _, m := range members {
		f, err := w.Create(m.name)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(f, m.text)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipOf(data []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write(data)
	w.Close()
	return b.Bytes()
}

func zstdOf(data []byte) []byte {
	w, _ := zstd.NewWriter(nil)
	return w.EncodeAll(data, nil)
}

// read returns "NAME: SIZE" of each file.
func read(data []byte) (list []string, err error) {
	err = Each(bytes.NewReader(data), func(f File) error {
		n, err := io.Copy(io.Discard, f)
		list = append(list, fmt.Sprintf("%s: %d", f.Name, n))
		return err
	})
	return list, err
}

func TestEach(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var all []string
	for _, m := range members {
		all = append(all, fmt.Sprintf("%s: %d", m.name, len(m.text)))
	}
	whole := tarOf(t)
	encrypted := zipOf(t)
	for i := 0; i+10 < len(encrypted); i++ {
		if string(encrypted[i:i+4]) == "PK\x01\x02" { // the flags in the list of files
			encrypted[i+8] |= 1
		}
	}
	for _, test := range []struct {
		name string
		data []byte
		want []string
		err  string
	}{
		{"text", []byte("text"), []string{": 4"}, ""},
		{"nothing", nil, []string{": 0"}, ""},
		{"gzip", gzipOf([]byte("text")), []string{fmt.Sprintf(": %d", len(gzipOf([]byte("text"))))}, ""},
		{"gzip that is cut", gzipOf(whole)[:5], []string{": 5"}, ""},
		{"tar", whole, all, ""},
		{"tar, gzip", gzipOf(whole), all, ""},
		{"tar, zstd", zstdOf(whole), all, ""},
		{"zstd", zstdOf([]byte("text")), []string{": 4"}, ""},
		{"ZIP", zipOf(t), all, ""},
		{"tar that is cut", whole[:2000], []string{"a.log: 6"}, "tar archive: unexpected EOF"},
		{"tar, gzip, cut", gzipOf(whole)[:200], []string{"a.log: 6"}, "unexpected EOF"},
		{"ZIP that is cut", zipOf(t)[:100], nil, "ZIP archive: zip: not a valid zip file"},
		{"ZIP that is encrypted", encrypted, nil, "ZIP archive: a.log is encrypted; unpack it first"},
		{"zstd that is cut", zstdOf(whole)[:100], nil, "unexpected EOF"},
	} {
		got, err := read(test.data)
		if test.err != "" && len(got) > len(test.want) { // the file that is cut counts as far as it goes
			got = got[:len(test.want)]
		}
		if !slices.Equal(got, test.want) || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %q, error %v", test.name, got, err)
		}
	}
	stop := errors.New("stop")
	for _, data := range [][]byte{whole, zipOf(t)} {
		n := 0
		if err := Each(bytes.NewReader(data), func(File) error { n++; return stop }); !errors.Is(err, stop) || n != 1 {
			t.Errorf("%d files after an error, %v", n, err)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(os.TempDir(), "tlswatch-*")); left != nil {
		t.Errorf("temporary files are left: %q", left)
	}
}

// Whatever the bytes are, reading ends without a panic.
func FuzzEach(f *testing.F) {
	f.Add(tarOf(f))
	f.Add(zipOf(f))
	f.Add(gzipOf(tarOf(f)))
	f.Add(zstdOf(tarOf(f)))
	f.Fuzz(func(t *testing.T, data []byte) {
		_ = Each(bytes.NewReader(data), func(f File) error {
			_, err := io.Copy(io.Discard, io.LimitReader(f, 1<<20))
			return err
		})
	})
}
