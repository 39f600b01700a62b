package main

import (
	"os"
	"strings"
	"testing"
)

// docs/scale.md has the rows that the simulation gives. Only those that take less
// than a second are simulated here.
func TestTables(t *testing.T) {
	text, err := os.ReadFile("../../../docs/scale.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range loads(1000) {
		if row := s.row(); !strings.Contains(string(text), "\n"+row+"\n") {
			t.Errorf("docs/scale.md does not have this row; 'make simulate' prints all:\n%s", row)
		}
	}
	for _, s := range append(loads(100_000), settings()...) {
		if start := "\n| " + s.name + " | "; !strings.Contains(string(text), start) {
			t.Errorf("docs/scale.md has no row of %s", s.name)
		}
	}
}
