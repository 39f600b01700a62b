package text

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Printable makes s harmless for a terminal or a page: it writes unprintable
// characters, such as controls and those that change the direction of writing,
// as in a Go string, \x1b or \u202e. Clients, and anybody who can put objects
// into a bucket, choose such text.
func Printable(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r == utf8.RuneError || !strconv.IsPrint(r) }) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError && !strings.HasPrefix(s[i:], string(utf8.RuneError)):
			fmt.Fprintf(&b, `\x%02x`, s[i])
		case strconv.IsPrint(r):
			b.WriteRune(r)
		default:
			quoted := strconv.QuoteRune(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
	}
	return b.String()
}

// maxName bounds a Name.
const maxName = 64

// nameCharacters are the characters in names of protocols, cipher suites and
// reasons. None is special in a code span of Markdown, in shell quotes or in HTML.
const nameCharacters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.:/+ "

// Name makes a name from a log safe for every channel: it has at most 64
// characters, and "?" in place of all but letters, digits and some punctuation.
func Name(s string) string {
	name := strings.Map(func(r rune) rune {
		if !strings.ContainsRune(nameCharacters, r) {
			return '?'
		}
		return r
	}, s[:min(len(s), maxName+1)])
	if len(name) > maxName {
		name = name[:maxName-3] + "..."
	}
	return name
}
