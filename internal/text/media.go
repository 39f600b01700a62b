package text

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON encodes a value on one line, or indented, without a final line feed. It
// writes <, > and & as they are. Runes that are not printable become \u escapes,
// so that a terminal which shows the text cannot be steered by it; a program
// that parses it gets the same strings.
func JSON(v any, indent string) ([]byte, error) { return JSONEncoder(indent)(v) }

// JSONEncoder returns [JSON] for many values in turn. Each call overwrites what the
// one before returned.
func JSONEncoder(indent string) func(v any) ([]byte, error) {
	b := new(bytes.Buffer)
	enc := json.NewEncoder(b)
	enc.SetIndent("", indent)
	enc.SetEscapeHTML(false)
	return func(v any) ([]byte, error) {
		b.Reset()
		if err := enc.Encode(v); err != nil {
			return nil, err
		}
		return escapeJSON(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
	}
}

// WriteJSON writes a value as [JSON] does, and a line feed.
func WriteJSON(w io.Writer, v any, indent string) error {
	b, err := JSON(v, indent)
	if err != nil {
		return err
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// escapeJSON escapes what is not printable in JSON text. Outside of strings, JSON
// has no such rune but the line feeds of its indentation.
func escapeJSON(b []byte) []byte {
	unprintable := func(r rune) bool { return r != '\n' && !strconv.IsPrint(r) }
	// Nearly all text is ASCII, and a report has many rows.
	ascii := true
	for _, c := range b {
		ascii = ascii && (c >= ' ' && c <= '~' || c == '\n')
	}
	if ascii || bytes.IndexFunc(b, unprintable) < 0 {
		return b
	}
	var out []byte
	for len(b) > 0 {
		r, n := utf8.DecodeRune(b)
		switch {
		case !unprintable(r):
			out = append(out, b[:n]...)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		b = b[n:]
	}
	return out
}

// formulas begin what a spreadsheet runs, in ASCII and in full width.
const formulas = "=+-@＝＋－＠"

// Cell makes text harmless for a cell of a CSV file: it is printable, and no
// spreadsheet runs it as a formula, also not one that separates cells by
// semicolons. An apostrophe before a formula makes it text.
//
// https://owasp.org/www-community/attacks/CSV_Injection
func Cell(s string) string {
	s = Printable(s)
	if s == "-" || !strings.ContainsAny(s, formulas) {
		return s
	}
	parts := strings.Split(s, ";")
	for i, part := range parts {
		if strings.IndexAny(strings.TrimLeft(part, ` "'`), formulas) == 0 {
			parts[i] = "'" + part
		}
	}
	return strings.Join(parts, ";")
}

// Markdown makes text harmless for a paragraph, a list item or a table's cell in
// Markdown: it is printable, and neither markup nor a link or mention.
//
// https://spec.commonmark.org/0.31.2/#backslash-escapes and
// https://github.github.com/gfm/#autolinks-extension-
func Markdown(s string) string {
	s = Printable(s)
	var b strings.Builder
	word := func(i int) bool {
		return i >= 0 && i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i]|0x20 >= 'a' && s[i]|0x20 <= 'z')
	}
	for i, r := range s {
		escaped := false
		switch r {
		case '\\', '`', '*', '[', ']', '<', '>', '|', '~', '&', '#', '$':
			escaped = true
		case '_': // within a word it means nothing
			escaped = !word(i-1) || !word(i+1)
		case '-', '+', '=': // of a list or a line
			escaped = i == 0 && (len(s) == 1 || s[1] == ' ' || rune(s[1]) == r)
		case '.', ')': // of a numbered list, or of a host
			number := i > 0 && strings.Trim(s[:i], "0123456789") == "" && (i+1 == len(s) || s[i+1] == ' ')
			escaped = number || strings.HasSuffix(strings.ToLower(s[:i]), "www")
		case '/':
			escaped = strings.HasSuffix(s[:i], ":")
		case '@': // nothing else keeps it from being a mention
			b.WriteString(`\\x40`)
			continue
		}
		if escaped {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// HTML returns a writer for a page that html/template writes: what is not
// printable, which can only come from data, becomes as [Printable] writes it.
// Line feeds and tabs stay.
func HTML(w io.Writer) io.Writer { return htmlWriter{w} }

type htmlWriter struct{ w io.Writer }

func (h htmlWriter) Write(p []byte) (int, error) {
	for rest := p; len(rest) > 0; {
		n := bytes.IndexAny(rest, "\n\t")
		if n < 0 {
			n = len(rest)
		}
		end := min(n+1, len(rest))
		if _, err := io.WriteString(h.w, Printable(string(rest[:n]))+string(rest[n:end])); err != nil {
			return 0, err
		}
		rest = rest[end:]
	}
	return len(p), nil
}
