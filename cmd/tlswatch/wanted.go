package main

import (
	"io"
	"strings"
	"sync/atomic"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// A wanted is a protocol, cipher suite or status that a filter lets pass.
type wanted struct {
	flag, kind string // "cipher", "cipher suite"
	text       string // as the flag has it; "" for none
	has        func(*connlog.Entry) bool
	known      bool        // so that logs may have it, if this one does not
	seen       atomic.Bool // in a line; only of the others
	similar    []string    // names that may be meant
}

// wantedProtocol lets a version pass by any name of it, and what is no version
// by its text.
func wantedProtocol(text string) *wanted {
	names := []string{text}
	v, err := tlsname.ParseVersion(text)
	if err == nil {
		names = append(names, v.String(), v.Hex())
	}
	return &wanted{flag: "protocol", kind: "protocol", text: text, known: text == "" || v.Known(), similar: protocols,
		has: func(e *connlog.Entry) bool { return oneOf(names, e.Protocol) }}
}

// wantedCipher lets a cipher suite pass by any name of it, and what is none by
// its text.
func wantedCipher(text string) *wanted {
	names := []string{text}
	s, err := tlsname.ParseSuite(text)
	if err == nil {
		for _, name := range []string{s.String(), s.IANA(), s.OpenSSL(), s.GnuTLS(), s.Hex()} {
			if name != "" {
				names = append(names, name)
			}
		}
	}
	return &wanted{flag: "cipher", kind: "cipher suite", text: text, known: text == "" || err == nil && s.Known(), similar: suiteNames(),
		has: func(e *connlog.Entry) bool { return oneOf(names, e.Cipher) }}
}

// wantedStatus lets a status pass by its name in the log, its reason code, or
// the word Failed.
func wantedStatus(text string) *wanted {
	reason := cutPrefixFold(text, connlog.FailedPrefix)
	known := text == "" || oneOf(statuses, reason) || strings.EqualFold(reason, connlog.ReasonNoHandshake) ||
		cutPrefixFold(reason, connlog.ReasonAlert) != reason
	return &wanted{flag: "status", kind: "status", text: text, known: known, similar: statuses,
		has: func(e *connlog.Entry) bool {
			return strings.EqualFold(text, e.Status) || e.Failed() && (strings.EqualFold(text, "Failed") || strings.EqualFold(text, e.Reason()))
		}}
}

func oneOf(names []string, name string) bool {
	for _, n := range names {
		if strings.EqualFold(n, name) {
			return true
		}
	}
	return false
}

func cutPrefixFold(s, prefix string) string {
	if len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix) {
		return s[len(prefix):]
	}
	return s
}

// doubt is the remark about a name that nobody knows.
func (w *wanted) doubt() string { return "no known " + w.kind + suggestion(w.text, w.similar) }

// warnUnknown says which names are not known, before logs are read.
func (f *filter) warnUnknown(stderr io.Writer) {
	if f == nil {
		return
	}
	for _, w := range f.unknown {
		complain(stderr, "--%s %q is %s", w.flag, w.text, w.doubt())
	}
}

// warnNothing says, after logs were read, which names are neither known nor in
// them, or else that no line has passed.
func (f *filter) warnNothing(stderr io.Writer) {
	if f == nil {
		return
	}
	said := false
	for _, w := range f.unknown {
		if !w.seen.Load() {
			said = true
			complain(stderr, "--%s %q is in no line, and %s", w.flag, w.text, w.doubt())
		}
	}
	if !said && !f.passed.Load() {
		complain(stderr, "no line passes the filters")
	}
}

// suggestion is what an error about an unknown name ends with, or "".
func suggestion(text string, names []string) string {
	if name := nearest(text, names); name != "" {
		return "; did you mean " + name + "?"
	}
	return ""
}

// nearest returns the one of the names that a text is most likely a slip of, or
// else the only one that it is a part of, or "".
func nearest(text string, names []string) string {
	fold := strings.NewReplacer("_", "-").Replace
	text = fold(strings.ToLower(text))
	best, least := "", max(len(text)/4, 1)+1
	var having []string
	for _, name := range names {
		folded := fold(strings.ToLower(name))
		if d := distance(text, folded); d < least {
			best, least = name, d
		}
		if len(text) >= 4 && strings.Contains(folded, text) {
			having = append(having, name)
		}
	}
	if best == "" && len(having) == 1 {
		return having[0]
	}
	return best
}

// distance is how many bytes are to be inserted, deleted or replaced to make
// one text of another (Levenshtein).
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
