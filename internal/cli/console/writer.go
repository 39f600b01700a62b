package console

import (
	"bufio"
	"io"

	"tlswatch/internal/text"
)

// A Writer is the standard output of a command, buffered. Its Flush returns the
// first error of any call.
type Writer struct {
	*bufio.Writer
	screen text.Screen
}

// NewWriter returns a Writer whose tables fit the terminal, if w is one.
func NewWriter(w io.Writer) *Writer { return &Writer{bufio.NewWriter(w), Screen(w)} }

// Table writes a table.
func (w *Writer) Table(t *text.Table) {
	t.Write(w, w.screen) // Flush returns its error
}
