package console

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestWrapText(t *testing.T) {
	var b bytes.Buffer
	WrapText(&b, "  why: ", strings.TrimSpace(strings.Repeat("Zoë\x1b ", 20)))
	lines := strings.Split(b.String(), "\n")
	// Nine words of seven columns, and spaces, beside the label: one more would
	// be too many.
	word := `Zoë\x1b`
	want := []string{"  why: " + strings.Repeat(word+" ", 8) + word, "       " + strings.Repeat(word+" ", 8) + word, "       " + word + " " + word, ""}
	if !slices.Equal(lines, want) {
		t.Errorf("got\n%s", &b)
	}
}
