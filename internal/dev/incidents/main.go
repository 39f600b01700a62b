// Command incidents measures how well package incident tells the story of logs whose
// truth is known, beside simpler ways. Package world makes the logs.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"tlswatch/internal/dev/incidents/world"
)

func main() {
	var (
		write = flag.String("write", "", "write the logs of one seed and truth.json into this `directory`")
		kind  = flag.String("kind", "policy", "`kind` of incident: "+strings.Join(world.Kinds(), ", "))
		seed  = flag.Uint64("seed", 1, "`seed` of the logs to write")
	)
	flag.Parse()
	if flag.NArg() > 0 || *write == "" {
		flag.Usage()
		os.Exit(2)
	}
	if err := writeWorld(*write, *kind, *seed); err != nil {
		fmt.Fprintln(os.Stderr, "incidents:", err)
		os.Exit(1)
	}
}

// writeWorld writes one seed's logs, compressed, and the truth beside them.
func writeWorld(dir, kind string, seed uint64) error {
	w, err := world.Generate(kind, seed)
	if err != nil {
		return err
	}
	for _, l := range w.Logs {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		z.Write(l.Text) // a Buffer does not fail
		z.Close()
		if err := writeFile(filepath.Join(dir, l.Key+".gz"), b.Bytes()); err != nil {
			return err
		}
	}
	truth, err := json.MarshalIndent(w.Truth, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(dir, "truth.json"), append(truth, '\n'))
}

func writeFile(name string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return err
	}
	return os.WriteFile(name, text, 0o644)
}
