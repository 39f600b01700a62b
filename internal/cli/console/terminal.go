// Package console writes to a terminal: tables that fit its width, and the progress of
// long commands.
package console

import (
	"cmp"
	"io"
	"os"
	"strconv"
	"strings"

	"golang.org/x/term"

	"tlswatch/internal/text"
)

// TableRows is the number of clients, negotiations or certificates that a table lists.
const TableRows = 10

// Screen returns how to write text to w: on a terminal in color and no wider than it,
// else plain and of any width.
//
// https://no-color.org
func Screen(w io.Writer) text.Screen {
	var o text.Screen
	locale := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG"))
	o.ASCII = locale == "C" || locale == "POSIX" || strings.Contains(locale, ".") && !strings.Contains(strings.ReplaceAll(strings.ToUpper(locale), "-", ""), "UTF8")
	if f, ok := terminal(w); ok {
		o.Width, o.Height, _ = term.GetSize(int(f.Fd()))
		o.Color = os.Getenv("NO_COLOR") == "" && movesCursor()
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		o.Width = n
	}
	return o
}

// terminal returns w as a terminal, if it is one.
func terminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// movesCursor reports whether the terminal understands control sequences.
func movesCursor() bool { return os.Getenv("TERM") != "dumb" }
