package console

import (
	"io"
	"strings"

	"tlswatch/internal/text"
)

// WrapText writes a paragraph of 79 columns with a label before it, harmless
// for a terminal.
func WrapText(w io.Writer, label, paragraph string) {
	io.WriteString(w, text.Wrap(79, label, text.Printable(strings.Join(strings.Fields(paragraph), " "))))
}
