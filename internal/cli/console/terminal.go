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

// TextOptions says how tables are to be written to w: wide and in colour on a
// terminal, plain and 80 columns wide anywhere else.
//
// https://no-color.org
func TextOptions(w io.Writer) text.Screen {
	var o text.Screen
	locale := cmp.Or(os.Getenv("LC_ALL"), os.Getenv("LC_CTYPE"), os.Getenv("LANG"))
	o.ASCII = locale == "C" || locale == "POSIX" || strings.Contains(locale, ".") && !strings.Contains(strings.ReplaceAll(strings.ToUpper(locale), "-", ""), "UTF8")
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		o.Width, _, _ = term.GetSize(int(f.Fd()))
		o.Color = os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
	}
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		o.Width = n
	}
	return o
}
