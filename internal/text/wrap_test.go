package text

import (
	"strings"
	"testing"
	"unicode"
)

func TestColumns(t *testing.T) {
	for s, want := range map[string]int{
		"":                                    0,
		"abc":                                 3,
		"Zoë":                                 3,
		"Zoe\u0308":                           3,
		"日本":                                  4,
		"ｶﾅ":                                  2, // half-width
		"Ａ":                                   2, // full-width
		"…▁█":                                 3, // ambiguous: narrow outside of East Asian locales
		"😀":                                   2,
		"soft\u00adhyphen":                    10,
		"a\x00\x7f":                           1,
		"\xff":                                1,
		Screen{Color: true}.Bold("b") + "c":   2,
		Screen{Color: true}.Red("日") + "\x1b": 2,
	} {
		if got := columns(s); got != want {
			t.Errorf("%q is %d wide, want %d", s, got, want)
		}
	}
}

func TestWrap(t *testing.T) {
	red := Screen{Color: true}.Red
	for _, test := range []struct {
		name     string
		width    int
		label, s string
		want     string
	}{
		{"nothing", 10, "  ", " \n", ""},
		{"label alone", 10, "Who    ", "", ""},
		{"one line", 10, "", "a b", "a b\n"},
		{"exact", 5, "", "ab cd ef", "ab cd\nef\n"},
		{"no bound", 0, "- ", strings.Repeat("word ", 100), "- " + strings.TrimSuffix(strings.Repeat("word ", 100), " ") + "\n"},
		{"indent", 8, "  ", "one two three", "  one\n  two\n  three\n"},
		{"hanging", 12, "why: ", "one two three", "why: one two\n     three\n"},
		{"wide label", 6, "日本 ", "ab c", "日本 a\n     b\n     c\n"},
		{"white space", 20, "", "a\t b\r\n\n c ", "a b c\n"},
		{"long word", 5, "", "a bcdefghij k", "a\nbcdef\nghij\nk\n"},
		{"long word, then room", 5, "", "abcdefg h", "abcde\nfg h\n"},
		{"long word with label", 6, "- ", "abcdefg", "- abcd\n  efg\n"},
		{"wide characters", 5, "", "日本語", "日本\n語\n"},
		{"wider than a line", 1, "", "日a", "日\na\n"},
		{"combining", 2, "", "ae\u0308io", "ae\u0308\nio\n"},
		{"unit", 9, "", "rose by 5 %, then", "rose by\n5 %, then\n"},
		{"unit first", 9, "", "% of all", "% of all\n"},
		{"glue", 9, "", "one " + Glue("two three") + " four", "one\ntwo three\nfour\n"},
		{"glued longer than a line", 4, "", Glue("two three"), "two\nthre\ne\n"},
		{"colour", 7, "", red("one two") + " three", red("one two") + "\nthree\n"},
		{"colour broken", 2, "", red("abcd"), "\x1b[31mab\ncd\x1b[0m\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := Wrap(test.width, test.label, test.s); got != test.want {
				t.Errorf("got\n%q, want\n%q", got, test.want)
			}
		})
	}
}

func TestReflow(t *testing.T) {
	const help = `
First line
and second of one paragraph.
  tlswatch report   --failed
  tlswatch policy
Behind it
goes on.

Last.
`
	const want = `First line and
second of one
paragraph.
  tlswatch report   --failed
  tlswatch policy
Behind it goes on.

Last.
`
	if got := Reflow(18, help); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzWrap(f *testing.F) {
	f.Add(10, 2, "a few words, 5 % of them longer than a line")
	f.Add(3, 0, "日本語 e\u0308\u0308\u0308 \x1b[31mred\x1b[0m \u00a0glued\u00a0words")
	f.Add(64, 63, "0 % %")
	f.Add(59, 58, "日\u2b2f語 \u0308")
	f.Add(0, 5, "\xff\x00 % \t %\n\u2028")
	f.Fuzz(func(t *testing.T, width, indent int, s string) {
		if width < 0 || width > 1000 || indent < 0 || indent > 1000 || width > 0 && indent >= width {
			t.Skip()
		}
		got := Wrap(width, strings.Repeat(" ", indent), s)
		if want := bare(s); bare(got) != want {
			t.Fatalf("%q becomes %q: characters are lost or added", s, got)
		}
		if got != "" && !strings.HasSuffix(got, "\n") {
			t.Errorf("%q ends within a line", got)
		}
		var whole []string
		for line := range strings.Lines(got) {
			line = strings.TrimSuffix(line, "\n")
			text := strings.TrimPrefix(line, strings.Repeat(" ", indent))
			if len(line)-len(text) != indent {
				t.Errorf("line %q is not indented by %d", line, indent)
			}
			if width > 0 && columns(line) > width && glyphs(text) > 1 {
				t.Errorf("line %q is %d wide, of %d", line, columns(line), width)
			}
			whole = append(whole, strings.Fields(text)...)
		}
		for _, word := range strings.Fields(s) {
			if len(whole) > 0 && whole[0] == word {
				whole = whole[1:]
				continue
			}
			if width == 0 || indent+columns(word) <= width && !strings.Contains(s, "%") && !strings.Contains(s, noBreak) {
				t.Fatalf("word %q fits into a line, but is broken", word)
			}
			for word != "" && len(whole) > 0 && strings.HasPrefix(word, whole[0]) {
				word, whole = word[len(whole[0]):], whole[1:]
			}
		}
	})
}

func bare(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsSpace(r) {
			return -1
		}
		return r
	}, s)
}

// glyphs is how many characters of s take room.
func glyphs(s string) int {
	n := 0
	for s != "" {
		bytes, w := glyph(s)
		if w > 0 {
			n++
		}
		s = s[bytes:]
	}
	return n
}
