package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// columns is how many columns of a terminal s takes: two for each wide East Asian
// character, none for combining and control characters and for the sequences of
// [Screen.Bold] and [Screen.Red].
func columns(s string) int {
	sum := 0
	for s != "" {
		n, w := glyph(s)
		sum += w
		s = s[n:]
	}
	return sum
}

// glyph is how many bytes and columns the first character or control sequence of
// s takes.
func glyph(s string) (bytes, columns int) {
	if n := sequence(s); n > 0 {
		return n, 0
	}
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case r < utf8.RuneSelf && r >= ' ' && r != 0x7f:
		return n, 1
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cc, unicode.Cf):
		return n, 0
	}
	switch width.LookupRune(r).Kind() {
	case width.EastAsianWide, width.EastAsianFullwidth:
		return n, 2
	}
	return n, 1
}

// Wrap writes the words of s after a label, in lines of at most width columns; 0
// means no limit. Further lines are indented by the width of the label, so a
// label of spaces indents all lines. Words longer than a line are broken. A
// number and its "%" stay together, and so do words that [Glue] joins. Each line
// ends with a line feed; without words there is none.
//
// Untrusted text must go through [Printable] first.
func Wrap(width int, label, s string) string {
	var b strings.Builder
	start := columns(label)
	indent := strings.Repeat(" ", start)
	line, column := label, start
	end := func() {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		line, column = indent, start
	}
	for i, word := range words(s) {
		wide := columns(word)
		switch {
		case i == 0:
		case width > 0 && column+1+wide > width:
			end()
		default:
			line += " "
			column++
		}
		for width > 0 && column+wide > width {
			at := cut(word, width-column)
			if at == len(word) { // a character that is wider than the line
				break
			}
			rest := strings.TrimLeft(word[at:], noBreak)
			line += unglued.Replace(word[:at])
			wide -= columns(word[:len(word)-len(rest)])
			word = rest
			end()
		}
		line += unglued.Replace(word)
		column += wide
	}
	if line != label {
		end()
	}
	return b.String()
}

// cut is how many bytes of s fit into so many columns. It cuts after the first
// character at the earliest.
func cut(s string, columns int) int {
	at := 0
	for at < len(s) {
		n, w := glyph(s[at:])
		if columns -= w; columns < 0 && w > 0 && at > 0 {
			break
		}
		at += n
	}
	return at
}

const noBreak = "\u00a0"

var (
	glued   = strings.NewReplacer(" ", noBreak)
	unglued = strings.NewReplacer(noBreak, " ")
)

// Glue joins words, so that [Wrap] keeps them on one line.
func Glue(s string) string { return glued.Replace(s) }

// words splits s where a line may end.
func words(s string) []string {
	list := strings.FieldsFunc(s, func(r rune) bool { return unicode.IsSpace(r) && string(r) != noBreak })
	kept := list[:0]
	for _, word := range list {
		switch word = strings.Trim(word, noBreak); {
		case word == "":
		case word[0] == '%' && len(kept) > 0:
			kept[len(kept)-1] += noBreak + word
		default:
			kept = append(kept, word)
		}
	}
	return kept
}

// Reflow wraps the paragraphs of s in lines of at most width columns. Empty lines
// separate paragraphs; lines that begin with a space stay as they are.
func Reflow(width int, s string) string {
	var b, paragraph strings.Builder
	fill := func() {
		b.WriteString(Wrap(width, "", paragraph.String()))
		paragraph.Reset()
	}
	for line := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		if line == "" || line[0] == ' ' {
			fill()
			b.WriteString(line + "\n")
		} else {
			paragraph.WriteString(line + " ")
		}
	}
	fill()
	return b.String()
}
