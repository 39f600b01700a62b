package text

import (
	"strconv"
	"testing"
	"unicode/utf8"
)

func TestPrintable(t *testing.T) {
	for text, want := range map[string]string{
		"":                        "",
		"CN=Zoë, O=日本":            "CN=Zoë, O=日本",
		`back\slash "quotes" 'a'`: `back\slash "quotes" 'a'`,
		"a\x1b[31mred\a":          `a\x1b[31mred\a`,
		"two\nlines\r\t":          `two\nlines\r\t`,
		"\u202egnp.exe\u00a0":     `\u202egnp.exe\u00a0`,
		"\xff\x9b31m\uFFFD\u009b": "\\xff\\x9b31m\uFFFD\\u009b",
		"\x7f\x00":                `\x7f\x00`,
	} {
		if got := Printable(text); got != want {
			t.Errorf("%q becomes %q, want %q", text, got, want)
		}
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("CN=a")
	f.Add("\x1b]0;\xff\a\u202e")
	f.Fuzz(func(t *testing.T, s string) {
		got := Printable(s)
		if !utf8.ValidString(got) || Printable(got) != got {
			t.Errorf("%q becomes %q", s, got)
		}
		for _, r := range got {
			if !strconv.IsPrint(r) {
				t.Errorf("%q becomes %q", s, got)
			}
		}
	})
}
