package text

import (
	"io"
	"strings"
)

// A Screen is where text is shown. The zero value suits files and pipes.
type Screen struct {
	Width  int  // columns; 0 means no limit
	Height int  // lines; 0 means no limit
	Color  bool // ANSI escape sequences
	ASCII  bool // no other characters
}

// Control sequences of terminals (ECMA-48, select graphic rendition).
const (
	bold  = "\x1b[1m"
	red   = "\x1b[31m"
	reset = "\x1b[0m"
)

// Bold makes text bold if the screen has colour.
func (s Screen) Bold(text string) string { return s.colored(bold, text) }

// Red makes text red if the screen has colour.
func (s Screen) Red(text string) string { return s.colored(red, text) }

func (s Screen) colored(color, text string) string {
	if s.Color {
		return color + text + reset
	}
	return text
}

// sequence is the length of the sequence that s begins with, 0 for none.
func sequence(s string) int {
	for _, known := range []string{bold, red, reset} {
		if strings.HasPrefix(s, known) {
			return len(known)
		}
	}
	return 0
}

// A Table aligns cells in columns, and is harmless for a terminal. Rows may have
// different lengths; an empty row is an empty line.
type Table struct {
	// Columns has a letter for each column: l aligns left, r aligns right, and w
	// aligns left and wraps long cells instead of shortening them. Further
	// columns are l.
	Columns string

	rows [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) {
	row := make([]string, len(cells))
	for i, cell := range cells {
		row[i] = Printable(cell)
	}
	t.rows = append(t.rows, row)
}

// Len is the number of rows.
func (t *Table) Len() int { return len(t.rows) }

// Truncate removes the rows after the first n.
func (t *Table) Truncate(n int) { t.rows = t.rows[:min(n, len(t.rows))] }

const (
	columnGap  = 2
	minColumn  = 8  // narrower columns are not shortened
	minWrapped = 24 // narrower columns are not wrapped if others can be shortened
)

// Write writes the table, at most as wide as the screen if its columns can become
// that narrow.
func (t *Table) Write(w io.Writer, s Screen) error {
	widths := t.widths(s.Width)
	var b strings.Builder
	for _, row := range t.rows {
		lines := 1
		cells := make([][]string, len(row))
		for i, cell := range row {
			switch {
			case columns(cell) <= widths[i]:
				cells[i] = []string{cell}
			case t.column(i) == 'w':
				cells[i] = strings.Split(strings.TrimSuffix(Wrap(widths[i], "", cell), "\n"), "\n")
			default:
				cells[i] = []string{s.shorten(cell, widths[i])}
			}
			lines = max(lines, len(cells[i]))
		}
		for n := range lines {
			var line strings.Builder
			for i, cell := range cells {
				text := ""
				if n < len(cell) {
					text = cell[n]
				}
				pad := strings.Repeat(" ", max(widths[i]-columns(text), 0))
				line.WriteString(strings.Repeat(" ", columnGap))
				if t.column(i) == 'r' {
					line.WriteString(pad + text)
				} else {
					line.WriteString(text + pad)
				}
			}
			b.WriteString(strings.TrimRight(line.String(), " ") + "\n")
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) column(i int) byte {
	if i < len(t.Columns) {
		return t.Columns[i]
	}
	return 'l'
}

// widths are the widths of the table's columns: of their widest cells, or less so
// that the table has at most so many columns of the screen.
func (t *Table) widths(most int) []int {
	var widths []int
	total := 0
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
				total += columnGap
			}
			if more := columns(cell) - widths[i]; more > 0 {
				widths[i] += more
				total += more
			}
		}
	}
	for ; most > 0 && total > most; total-- {
		i := t.widest(widths, true, minWrapped)
		if i < 0 {
			i = t.widest(widths, false, minColumn)
		}
		if i < 0 {
			break
		}
		widths[i]--
	}
	return widths
}

// widest is the widest column, or the last of several, that is wider than least,
// and that wraps if so asked; -1 if there is none.
func (t *Table) widest(widths []int, wrapped bool, least int) int {
	widest := -1
	for i, w := range widths {
		if w > least && (!wrapped || t.column(i) == 'w') && (widest < 0 || w >= widths[widest]) {
			widest = i
		}
	}
	return widest
}

// shorten cuts text to so many columns, and marks the cut.
func (s Screen) shorten(text string, columns int) string {
	more := "…"
	if s.ASCII {
		more = "~"
	}
	return text[:cut(text, columns-1)] + more
}
