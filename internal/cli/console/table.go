package console

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"tlswatch/internal/text"
)

// A Table aligns columns and is harmless for a terminal. Short rows are allowed.
type Table struct {
	Right []bool // columns that are aligned on the right
	rows  [][]string
}

func (t *Table) Add(cells ...string) {
	for i, cell := range cells {
		cells[i] = text.Printable(cell)
	}
	t.rows = append(t.rows, cells)
}

func (t *Table) Write(w io.Writer) {
	widths := make([]int, len(t.Right))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
			if t.Right[i] {
				cell = pad + cell
			} else {
				cell += pad
			}
			line.WriteString("  " + cell)
		}
		fmt.Fprintln(w, strings.TrimRight(line.String(), " "))
	}
}
