// Package docpart keeps the parts of documents that are made from code: what
// stands between <!-- name --> and <!-- /name -->.
package docpart

import (
	"fmt"
	"os"
	"strings"

	"github.com/google/go-cmp/cmp"
)

// Check returns an error if a part of a document is not as it should be.
func Check(file, name, want string) error {
	_, got, _, err := read(file, name)
	if err != nil {
		return err
	}
	if d := cmp.Diff(want, got); d != "" {
		return fmt.Errorf("%s, part %s: -code +text\n%s", file, name, d)
	}
	return nil
}

// Write replaces a part of a document.
func Write(file, name, part string) error {
	before, _, after, err := read(file, name)
	if err != nil {
		return err
	}
	return os.WriteFile(file, []byte(before+part+after), 0o666)
}

func read(file, name string) (before, part, after string, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", "", "", err
	}
	begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
	before, rest, ok1 := strings.Cut(string(text), begin)
	part, after, ok2 := strings.Cut(rest, end)
	if !ok1 || !ok2 {
		return "", "", "", fmt.Errorf("%s has no %s and %s", file, strings.TrimSpace(begin), end)
	}
	return before + begin, part, end + after, nil
}
