// Package console writes to a terminal: its width and colors, tables, and how
// far a long command has come.
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

// TableRows is how many rows a table has of clients, negotiations or
// certificates.
const TableRows = 10

// Screen says how to write text to w: as wide as the terminal and in colour if it
// is one, else plain and as wide as lines come.
//
// https://no-color.org
func Screen(w io.Writer) text.Screen {
	var o text.Screen
	locale := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG"))
	o.ASCII = locale == "C" || locale == "POSIX" || strings.Contains(locale, ".") && !strings.Contains(strings.ReplaceAll(strings.ToUpper(locale), "-", ""), "UTF8")
	if f, ok := terminal(w); ok {
		o.Width, _, _ = term.GetSize(int(f.Fd()))
		o.Color = os.Getenv("NO_COLOR") == "" && movesCursor()
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		o.Width = n
	}
	return o
}

// terminal returns the terminal that w is, if it is one.
func terminal(w io.Writer) (*os.File, bool) {
	f, ok := w.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// movesCursor reports whether terminals understand control sequences.
func movesCursor() bool { return os.Getenv("TERM") != "dumb" }
