package text

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/width"
)

// Width is how many columns of a terminal s takes: two for a wide character of
// East Asian scripts, none for combining and control characters, and none for
// the sequences of [Screen.Bold] and [Screen.Red].
func Width(s string) int {
	columns := 0
	for s != "" {
		n, w := glyph(s)
		columns += w
		s = s[n:]
	}
	return columns
}

// glyph is how many bytes the first character or control sequence of s has, and
// how many columns.
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

// Wrap writes the words of s behind a label, in lines of at most width columns,
// 0 for any number. Further lines are indented as far as the label is wide, so
// an indent is a label of spaces. Words longer than a line are broken; a number
// and its "%" stay together, and so do words that [Glue] joins. Each line ends
// with a line feed. Without words it writes nothing.
//
// What is not to be trusted must go through [Printable] first.
func Wrap(width int, label, s string) string {
	var b strings.Builder
	start := Width(label)
	indent := strings.Repeat(" ", start)
	line, column := label, start
	end := func() {
		b.WriteString(strings.TrimRight(line, " ") + "\n")
		line, column = indent, start
	}
	for i, word := range words(s) {
		columns := Width(word)
		switch {
		case i == 0:
		case width > 0 && column+1+columns > width:
			end()
		default:
			line += " "
			column++
		}
		for width > 0 && column+columns > width {
			at := cut(word, width-column)
			if at == len(word) { // a character that is wider than the line
				break
			}
			rest := strings.TrimLeft(word[at:], noBreak)
			line += unglued.Replace(word[:at])
			columns -= Width(word[:len(word)-len(rest)])
			word = rest
			end()
		}
		line += unglued.Replace(word)
		column += columns
	}
	if line != label {
		end()
	}
	return b.String()
}

// cut is how many bytes of s fit into so many columns, but for the first
// character, which has to.
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

// Glue joins words for [Wrap], which then keeps them in one line.
func Glue(s string) string { return glued.Replace(s) }

// words splits s at white space that may be broken.
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

// Reflow fills the paragraphs of s into lines of at most width columns. Empty
// lines part paragraphs; lines that begin with a space stay as they are.
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
