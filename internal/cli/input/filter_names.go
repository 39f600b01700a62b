package input

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"tlswatch/internal/cli/command"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/tlsname"
)

// A wanted is a protocol, cipher suite or status that passes a filter.
type wanted struct {
	flag, kind string // "cipher", "cipher suite"
	text       string // as the flag has it; "" for none
	has        func(*connlog.Entry) bool
	known      bool        // other logs may have it
	seen       atomic.Bool // in a line; not set for known ones
	similar    []string    // names to suggest
}

// wantedProtocol accepts any name of a version; of anything else, the text itself.
func wantedProtocol(text string) *wanted {
	names := []string{text}
	v, err := tlsname.ParseVersion(text)
	if err == nil {
		names = append(names, v.String(), v.Hex())
	}
	return &wanted{flag: "protocol", kind: "protocol", text: text, known: text == "" || v.Known(), similar: protocols,
		has: func(e *connlog.Entry) bool { return oneOf(names, e.Protocol) }}
}

// wantedCipher accepts any name of a cipher suite; of anything else, the text itself.
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
	return &wanted{flag: "cipher", kind: "cipher suite", text: text, known: text == "" || err == nil && s.Known(), similar: command.SuiteNames(),
		has: func(e *connlog.Entry) bool { return oneOf(names, e.Cipher) }}
}

// wantedStatus accepts a status as in the log, its reason code, or the word Failed.
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

// doubt is the remark about an unknown name.
func (w *wanted) doubt() string {
	return "not a known " + w.kind + command.Suggestion(w.text, w.similar)
}

// WarnUnknown warns about unknown names, before logs are read.
func (f *Filter) WarnUnknown(stderr io.Writer) {
	if f == nil {
		return
	}
	for _, w := range f.unknown {
		command.Complain(stderr, "--%s %q is %s", w.flag, w.text, w.doubt())
	}
}

// WarnNothing warns, after logs were read, about unknown names that are in no line, or
// else that no line has passed.
func (f *Filter) WarnNothing(stderr io.Writer) {
	if f == nil {
		return
	}
	said := false
	for _, w := range f.unknown {
		if !w.seen.Load() {
			said = true
			command.Complain(stderr, "--%s %q matches no line and is %s", w.flag, w.text, w.doubt())
		}
	}
	if !said && !f.passed.Load() {
		command.Complain(stderr, "no line matches the filters%s", f.whyNothing())
	}
}

// whyNothing says where the logs lie if --since or --until excludes all of them.
func (f *Filter) whyNothing() string {
	const layout = "2006-01-02 15:04:05 UTC"
	switch {
	case f.covered.Since.IsZero():
	case f.Since.After(f.covered.Until):
		return fmt.Sprintf(": the logs found end at %s, and --since starts at %s", f.covered.Until.Format(layout), f.Since.Format(layout))
	case !f.Until.IsZero() && !f.Until.After(f.covered.Since):
		return fmt.Sprintf(": the logs found start at %s, and --until ends at %s", f.covered.Since.Format(layout), f.Until.Format(layout))
	}
	return ""
}
