package cli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tlswatch/internal/cli/clitest"
)

// Names of files and objects are somebody else's: none steers a terminal or
// makes up a message, whichever command meets it.
func TestHostileNames(t *testing.T) {
	const hostile, harmless = "\x1b]0;owned\a\ntlswatch: all is well\u202e\xff", `\x1b]0;owned\a\ntlswatch: all is well\u202e\xff`
	dir := filepath.Join(t.TempDir(), hostile)
	cut := []byte(clitest.Gzip(strings.Repeat(fmt.Sprintf(clitest.SuccessLine, "192.0.2.1"), 1000))[:150])
	name := filepath.Join(dir, "a.log.gz")
	if err := errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(name, cut, 0o666), os.WriteFile(filepath.Join(dir, "b.txt"), nil, 0o666),
		os.WriteFile(filepath.Join(dir, "c.log"), []byte("broken\n"), 0o666)); err != nil {
		t.Fatal(err)
	}
	b := clitest.NewBucket(t)
	b.Put(t, strings.TrimSuffix(hostile, "\xff")+".log.gz", string(cut))
	bucket := "s3://" + clitest.BucketName
	for _, args := range [][]string{
		{"report", dir}, {"report", dir, "s3://" + clitest.BucketName}, {"report", filepath.Join(dir, "nowhere")}, {"report", "--captures", filepath.Join(dir, "b.txt"), filepath.Join(dir, "c.log")},
		{"report", bucket}, {"report", bucket + "/" + hostile}, {"report", "s3://" + hostile}, {"report", "--policy-file", dir, dir},
		{"whatif", "--to", "TLS13-1-2-2021-06", dir}, {"whatif", "--to", hostile, dir}, {"cost", dir}, {"hello", filepath.Join(dir, "b.txt")},
		{"cipher", hostile}, {"policy", "show", hostile}, {"report", "--" + hostile}, {hostile},
		{"tail", "--for", "1s", "--since", "1h", bucket},
	} {
		_, stdout, stderr := clitest.Run(t.Context(), New(), args...)
		for _, text := range []string{stdout, stderr} {
			if strings.ContainsAny(text, "\x1b\a\u202e") || strings.Contains(text, "\ntlswatch: all") {
				t.Errorf("%q prints %q", args, text)
			}
		}
	}
	if _, _, stderr := clitest.Run(t.Context(), New(), "report", dir, bucket); strings.Count(stderr, harmless) < 1 {
		t.Errorf("the name is not in %s", stderr)
	}
}
