package input

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/text"
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

// wantedKeyExchange accepts any name of a group; of anything else, the text itself.
func wantedKeyExchange(text string) *wanted {
	group, err := tlsname.ParseGroup(text)
	known := err == nil && group.Known()
	return &wanted{flag: "key-exchange", kind: "key exchange", text: text, known: text == "" || known, similar: command.Names(tlsname.Groups()),
		has: func(e *connlog.Entry) bool {
			if err != nil || e.KeyExchange == "" {
				return strings.EqualFold(text, e.KeyExchange)
			}
			g, unknown := tlsname.ParseGroup(e.KeyExchange)
			return unknown == nil && g == group
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

// WarnNothing warns, after logs were read, about names and load balancers that are in
// no line, or else that no line has passed, and says what the logs cover.
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
	for _, miss := range f.loadBalancers.Missing(f.there.list()) {
		said = true
		there := "the logs have " + miss.Nearest
		if miss.Nearest == "" {
			there = "the logs name no load balancer; AWS puts it in their file names"
		}
		command.Complain(stderr, "--load-balancer %q matches nothing: %s", miss.Value, there)
	}
	if said || f.passed.Load() || len(f.conditions) == 0 {
		return
	}
	message := "no line matches the filters"
	if !f.covered.Since.IsZero() {
		message += ": the logs found " + f.whyTime()
	}
	unmet := 0
	for _, c := range f.conditions {
		if c.met.Load() {
			continue
		}
		unmet++
		switch there := c.seen.list(); {
		case c.flag == "since": // said
		case len(there) > 0:
			const most = 20
			message += fmt.Sprintf("\n--%s matches no line: the logs have %s", c.flag, listed(there, most))
		default:
			message += fmt.Sprintf("\n--%s matches no line", c.flag)
		}
	}
	if unmet == 0 && len(f.conditions) > 1 {
		message += "\neach filter matches some line, but no line matches all of them"
	}
	command.Complain(stderr, "%s", message)
}

// whyTime says which time the logs cover, and how --since or --until excludes it.
func (f *Filter) whyTime() string {
	at := func(t time.Time) string { return text.Time(t.In(f.zone)) }
	switch {
	case f.Since.After(f.covered.Until):
		return fmt.Sprintf("end at %s, and --since starts at %s", at(f.covered.Until), at(f.Since))
	case !f.Until.IsZero() && !f.Until.After(f.covered.Since):
		return fmt.Sprintf("start at %s, and --until ends at %s", at(f.covered.Since), at(f.Until))
	}
	return "cover " + text.Period(f.covered.Since.In(f.zone), f.covered.Until.In(f.zone))
}

// A condition is what a flag demands of a line.
type condition struct {
	flag  string
	meets func(*connlog.Entry) bool
	value func(*connlog.Entry) string // what lines that do not meet it have; nil if that helps nobody
	met   atomic.Bool                 // by a line
	seen  values                      // of lines, as long as none meets it
}

// note notes a line that does not meet the condition.
func (c *condition) note(e *connlog.Entry) {
	if c.value != nil && !c.met.Load() {
		c.seen.add(cmp.Or(c.value(e), "-"))
	}
}

// values are distinct texts, up to maxValues.
type values struct {
	mu    sync.RWMutex
	texts map[string]bool
}

const (
	maxValues = 1000
	maxValue  = 128 // bytes of a text; longer ones are cut
)

func (v *values) add(text string) {
	text = text[:min(len(text), maxValue)]
	v.mu.RLock()
	known := v.texts[text] || len(v.texts) == maxValues
	v.mu.RUnlock()
	if known || text == "" {
		return
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.texts == nil {
		v.texts = make(map[string]bool)
	}
	if len(v.texts) < maxValues {
		v.texts[strings.Clone(text)] = true
	}
}

// list returns the texts in order, numbers as such.
func (v *values) list() []string {
	v.mu.RLock()
	defer v.mu.RUnlock()
	list := slices.Collect(maps.Keys(v.texts))
	number := func(text string) int {
		n, _ := strconv.Atoi(text)
		return n
	}
	slices.SortFunc(list, func(a, b string) int { return cmp.Or(cmp.Compare(number(a), number(b)), cmp.Compare(a, b)) })
	return list
}
