package docpart

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "doc.md")
	if err := os.WriteFile(file, []byte("a\n<!-- x -->\nold\n<!-- /x -->\nz\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := Check(file, "x", "old\n"); err != nil {
		t.Error(err)
	}
	if err := Check(file, "x", "new\n"); err == nil {
		t.Error("a part that differs passes")
	}
	if err := Write(file, "x", "new\n"); err != nil {
		t.Error(err)
	}
	if got, _ := os.ReadFile(file); string(got) != "a\n<!-- x -->\nnew\n<!-- /x -->\nz\n" {
		t.Errorf("got %q", got)
	}
	if err := Write(file, "y", ""); err == nil {
		t.Error("a part that is missing is written")
	}
}
