package tlswatch_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestPackageComments(t *testing.T) {
	for _, p := range modulePackages(t) {
		var comments []string
		for _, name := range p.GoFiles {
			file, err := parser.ParseFile(token.NewFileSet(), name, nil,
				parser.PackageClauseOnly|parser.ParseComments)
			if err != nil {
				t.Fatal(err)
			}
			if file.Doc.Text() != "" {
				comments = append(comments, file.Doc.Text())
			}
		}
		switch {
		case len(comments) != 1:
			t.Errorf("%s: %d package comments, want 1", p.PkgPath, len(comments))
		case p.Name != "main" && !strings.HasPrefix(comments[0], "Package "+p.Name+" "):
			t.Errorf("%s: the package comment begins %.40q, want %q", p.PkgPath, comments[0], "Package "+p.Name)
		}
	}
}

// The make commands in the documents are targets of the Makefile.
func TestDocsMakeCommands(t *testing.T) {
	makefile := readFile(t, "Makefile")
	commands := 0
	for _, name := range documents(t) {
		for _, target := range makeCommands(readFile(t, name)) {
			commands++
			if !hasTarget(makefile, target) {
				t.Errorf("%s says make %s, which the Makefile does not know", name, target)
			}
		}
	}
	if commands < 10 {
		t.Errorf("only %d make commands found", commands)
	}
}

func TestMakeCommands(t *testing.T) {
	markdown := "To make sure, run `make test lint` or\n```sh\n$ FUZZTIME=1m make fuzz && ls\ncd x; make run LOGS=dir # make it\n```\nmake love"
	want := []string{"test", "lint", "fuzz", "run"}
	if got := makeCommands(markdown); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

var (
	code    = regexp.MustCompile("(?s)```.*?```|`[^`]+`")
	comment = regexp.MustCompile(`#.*`)
	command = regexp.MustCompile(`\bmake((?: +[\w=./-]+)+)`)
)

// makeCommands returns the targets that the code in a Markdown text makes.
func makeCommands(markdown string) []string {
	var targets []string
	for _, span := range code.FindAllString(markdown, -1) {
		for _, match := range command.FindAllStringSubmatch(comment.ReplaceAllString(span, ""), -1) {
			for _, word := range strings.Fields(match[1]) {
				if !strings.ContainsAny(word, "=") && !strings.HasPrefix(word, "-") {
					targets = append(targets, word)
				}
			}
		}
	}
	return targets
}

func hasTarget(makefile, target string) bool {
	return regexp.MustCompile(`(?m)^` + regexp.QuoteMeta(target) + `:`).MatchString(makefile)
}

func TestLineEnds(t *testing.T) {
	var files int
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", ".aws-sam", "build"}, path):
			return fs.SkipDir
		case !entry.Type().IsRegular():
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		files++
		if text := utf8.Valid(data) && !bytes.ContainsRune(data, 0); text && bytes.Contains(data, []byte("\r\n")) {
			t.Errorf("%s holds a line that ends in CR LF", path)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Fatalf("read %d files: %v", files, err)
	}
}

func TestLicense(t *testing.T) {
	const apache2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30" // www.apache.org/licenses/LICENSE-2.0.txt
	if got := fmt.Sprintf("%x", sha256.Sum256([]byte(readFile(t, "LICENSE")))); got != apache2 {
		t.Errorf("LICENSE is not the text of the Apache License 2.0: sha256 %s", got)
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
