package command

import (
	"bytes"
	"io"

	"github.com/google/renameio/v2/maybe"
)

// ReplaceFile writes a file: a reader sees the old content or the new. Windows cannot do
// that, so there a reader may see a part.
func ReplaceFile(name string, write func(io.Writer) error) error {
	var b bytes.Buffer
	if err := write(&b); err != nil {
		return err
	}
	return maybe.WriteFile(name, b.Bytes(), 0o644)
}
