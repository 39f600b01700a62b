package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"tlswatch/internal/dev/incidents/world"
)

// What -write writes has the truth about its logs.
func TestWriteWorld(t *testing.T) {
	o := options{write: t.TempDir(), kind: "small", seed: 7}
	var out bytes.Buffer
	if err := o.writeWorld(&out); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(o.write, "truth.json"))
	if err != nil {
		t.Fatal(err)
	}
	var truth world.Truth
	if err := json.Unmarshal(text, &truth); err != nil {
		t.Fatal(err)
	}
	if truth.Kind != "small" || truth.Seed != 7 || truth.Connections == 0 {
		t.Errorf("truth %+v", truth)
	}
	w, err := world.Generate("small", 7)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range w.Logs {
		if _, err := os.Stat(filepath.Join(o.write, l.Key+".gz")); err != nil {
			t.Error(err)
		}
	}
	o.truth = filepath.Join(o.write, "truth.json")
	for report, want := range map[string]string{
		`{"story":{"incidents":[]}}`: "SMALL, SEED 7\n",
		`{"story":{"incidents":[{"causes":[{"kind":"client-rollout","certainty":"certain"}]}]}}`: "is called client-rollout (certain)",
	} {
		out.Reset()
		if err := o.score(strings.NewReader(report), &out); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), want) {
			t.Errorf("%s: got\n%s", report, out.String())
		}
	}
	if err := o.score(strings.NewReader(`{}`), &out); err == nil {
		t.Error("a report without a story is no error")
	}
	o.kind = "flood"
	if err := o.writeWorld(&out); err == nil {
		t.Error("an unknown kind is no error")
	}
}
