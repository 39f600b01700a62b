package text

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	for _, test := range []struct {
		name    string
		columns string
		rows    [][]string
		screen  Screen
		want    string
	}{
		{"empty", "", nil, Screen{}, ""},
		{"aligned", "rl", [][]string{{"count", "name"}, {"1", "a"}, {"1,000"}, {}, {"10", "b", "more"}}, Screen{}, `
  count  name
      1  a
  1,000

     10  b     more
`},
		{"harmless", "", [][]string{{"\x1b[31mred\n"}}, Screen{Color: true}, `
  \x1b[31mred\n
`},
		{"wide", "lr", [][]string{{"日本", "1"}, {"abc", "22"}}, Screen{}, `
  日本   1
  abc   22
`},
		{"fits", "r", [][]string{{"1", "0123456789"}}, Screen{Width: 15}, `
  1  0123456789
`},
		{"shortened, the last of the widest first", "r", [][]string{{"1", "0123456789", "0123456789"}, {"20", "short", "日本日本日本日本"}}, Screen{Width: 25}, `
   1  01234567…  0123456…
  20  short      日本日…
`},
		{"ASCII", "r", [][]string{{"1", "0123456789"}}, Screen{Width: 14, ASCII: true}, `
  1  01234567~
`},
		{"narrow columns stay", "", [][]string{{"01234567", "012345678"}}, Screen{Width: 5}, `
  01234567  0123456…
`},
		{"wrapped", "rwl", [][]string{{"2", "words that need more than one line", "end"}, {"10", "short", "end"}}, Screen{Width: 35}, `
   2  words that need more      end
      than one line
  10  short                     end
`},
		{"wrapped more, since nothing else gives way", "rw", [][]string{{"2", "words that need more than one line"}}, Screen{Width: 17}, `
  2  words that
     need more
     than one
     line
`},
	} {
		t.Run(test.name, func(t *testing.T) {
			table := Table{Columns: test.columns}
			for _, row := range test.rows {
				table.Add(row...)
			}
			var b bytes.Buffer
			if err := table.Write(&b, test.screen); err != nil {
				t.Fatal(err)
			}
			if want := strings.TrimPrefix(test.want, "\n"); b.String() != want {
				t.Errorf("got\n%s\nwant\n%s", b.String(), want)
			}
		})
	}
}

func TestTableKeepsCells(t *testing.T) {
	cells := []string{"a\tb"}
	var table Table
	table.Add(cells...)
	table.Add("second")
	if cells[0] != "a\tb" {
		t.Error("Add changes the cells of its caller")
	}
	table.Truncate(1)
	table.Truncate(5)
	if table.Len() != 1 {
		t.Errorf("%d rows after Truncate, want 1", table.Len())
	}
	if err := table.Write(failing{}, Screen{}); !errors.Is(err, errFailing) {
		t.Errorf("got %v, want the writer's error", err)
	}
}

type failing struct{}

var errFailing = errors.New("failing")

func (failing) Write([]byte) (int, error) { return 0, errFailing }
