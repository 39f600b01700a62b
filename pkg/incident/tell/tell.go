// Package tell puts a [incident.Story] into the few lines that people read first:
// where failures began and when, who is hit, what changed and how sure that is,
// what to do, and what is not part of it.
package tell

import (
	"regexp"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/incident"
)

// Limits of Lines.
const (
	maxColumns = 72
	maxLines   = 8
)

// Options say how to tell a story.
type Options struct {
	// Location is the zone of the times. nil means UTC.
	Location *time.Location

	// HideClients leaves out what identifies a client: its address, and the subject
	// and serial number of its certificate.
	HideClients bool

	// Columns is the width of Lines, at most and by default 72.
	Columns int
}

// A Part is one statement of a story. Its text is printable, and a medium with markup
// must escape it.
type Part struct {
	Topic Topic
	Text  string // one or more sentences

	// rank is the order in which Lines leaves parts out, the highest first.
	rank int
}

// The ranks of parts.
const (
	rankWhere = iota
	rankNote
	rankDo
	rankWho
	rankCause
	rankChanged
	rankApart // further incidents, in their order
	rankOthers
	rankNoise
	rankMore // remarks after the first, and what is good to know
)

// Topic is what a Part is about.
type Topic int

const (
	Where Topic = iota // the listener, from what to what, and since when
	Who                // how many clients, and how many of the failures are theirs
	What               // what changed, and how sure that is
	Do                 // what to do
	Apart              // what is not part of it
	Note               // what the story could not see
)

// Label is the word that a part of the topic begins with, "" for none.
func (t Topic) Label() string { return [...]string{Do: "Do", Apart: "Apart", Note: "Note"}[t] }

// Lines tells the story in at most eight lines.
func Lines(s *incident.Story, o Options) []string {
	columns := maxColumns
	if o.Columns > 0 {
		columns = min(o.Columns, maxColumns)
	}
	parts := glued(s, o)
	hidden := make([]bool, len(parts))
	render := func() []string {
		var shown []Part
		left := 0
		for i, p := range parts {
			switch {
			case !hidden[i]:
				shown = append(shown, p)
			case p.rank == rankApart:
				left++
			}
		}
		if left > 0 {
			shown = append(shown, Part{Topic: Apart, Text: text.Plural(left, "more incident") + "."})
		}
		return wrap(shown, columns)
	}
	lines := render()
	for range len(parts) - 1 {
		if len(lines) <= maxLines {
			break
		}
		last := -1 // of those with the highest rank
		for i, p := range parts {
			if !hidden[i] && (last < 0 || p.rank >= parts[last].rank) {
				last = i
			}
		}
		hidden[last] = true
		lines = render()
	}
	for i, p := range parts { // what was left out after an incident may have made room for it
		if !hidden[i] || p.rank != rankApart {
			continue
		}
		hidden[i] = false
		fuller := render()
		if len(fuller) > maxLines {
			break
		}
		lines = fuller
	}
	return lines
}

func wrap(parts []Part, columns int) (lines []string) {
	for _, p := range parts {
		label := p.Topic.Label()
		if label != "" {
			label += ": "
		}
		list := strings.Split(strings.TrimSuffix(text.Wrap(columns, "", label+p.Text), "\n"), "\n")
		if p.Topic == Note && len(list) > 1 { // which may be long
			list = []string{strings.TrimSuffix(text.Wrap(columns-len(more), "", list[0]), "\n")}
			list[0], _, _ = strings.Cut(list[0], "\n")
			list[0] += more
		}
		lines = append(lines, list...)
	}
	return lines
}

const more = " ..."

// Parts tells the story, the most important first: all of the first incident, a
// part for each further one, and what else the reader must know.
func Parts(s *incident.Story, o Options) []Part {
	parts := glued(s, o)
	for i := range parts {
		parts[i].Text = plain(parts[i].Text)
	}
	return parts
}

// plain takes words apart that [text.Glue] joined.
func plain(s string) string { return strings.ReplaceAll(s, "\u00a0", " ") }

// glued is Parts with words joined as by [text.Glue].
func glued(s *incident.Story, o Options) []Part {
	t := teller{s: s, o: o}
	var parts []Part
	switch {
	case s.Connections == 0:
		parts = []Part{{Topic: Where, Text: "No TLS connections were read."}}
	case len(s.Incidents) == 0:
		parts = t.quiet()
	default:
		parts = t.incident(&s.Incidents[0])
		for i := range s.Incidents[1:] {
			parts = append(parts, Part{Apart, t.apart(&s.Incidents[1+i]), rankApart})
		}
		parts = append(parts, t.rest()...)
	}
	return append(parts, t.notes()...)
}

type teller struct {
	s   *incident.Story
	o   Options
	day string // of times without a date, "" if all have one
}

// fewConnections is how many connections are too few to say that nothing happened.
const fewConnections = 100

// quiet tells that nothing began or ended.
func (t *teller) quiet() []Part {
	s := t.s
	span := t.span(s.First, s.Last)
	if s.Failed == 0 {
		return []Part{{Topic: Where, Text: "No TLS negotiation failed from " + span + ": " + text.Plural(s.Connections, "connection") + "."}}
	}
	if s.Connections < fewConnections {
		return []Part{{Topic: Where, Text: "Too few connections to say whether anything changed: " + counts(s.Counts) + " failed, " + span + "."}}
	}
	parts := []Part{{Topic: Where, Text: "Nothing began or ended from " + span + ": " + share(s.Counts) + " failed throughout (" + counts(s.Counts) + " TLS connections)."}}
	switch n := s.Noise; {
	case n.Failures == 0:
	case t.maybeHit() != "":
		parts = append(parts, Part{Who, t.maybeHit(), rankWho})
	case n.Failures == s.Failed:
		parts = append(parts, Part{Who, "All failures come from " + addresses(n) + " that never succeeded. No client that worked before fails.", rankWho})
	default:
		parts = append(parts, Part{Who, text.Counted(n.Failures, "of the failures comes", "of the failures come") + " from " + addresses(n) + " that never succeeded.", rankWho})
	}
	return parts
}

// maybeHit tells how many failures come from addresses that never succeeded, if they
// are so many that the logs may begin in the middle of an incident.
func (t *teller) maybeHit() string {
	n := t.s.Noise
	if 20*n.Failures <= t.s.Connections {
		return ""
	}
	return addresses(n) + " never succeeded: " + text.Plural(n.Failures, "failure") + ". They may have stopped working before " + t.at(t.s.First) + ": read earlier logs."
}

// rest tells which failures belong to no incident.
func (t *teller) rest() (parts []Part) {
	s := t.s
	switch n := s.Noise; {
	case n.Failures == 0:
	case t.maybeHit() != "":
		parts = append(parts, Part{Apart, t.maybeHit(), rankWho})
	default:
		parts = append(parts, Part{Apart, addresses(n) + " that never succeeded, as usual: " + text.Plural(n.Failures, "failure") + ".", rankNoise})
	}
	if s.Unexplained > 0 {
		part := Part{Apart, text.Count(s.Unexplained) + " of all " + text.Plural(s.Failed, "failure") + " are unexplained.", rankOthers}
		if 2*s.Unexplained > s.Failed { // the story misses most of it
			part.rank = rankWho
		}
		parts = append(parts, part)
	}
	return parts
}

// notes tell what the story could not see.
func (t *teller) notes() (parts []Part) {
	if t.s.Sample > 0 && t.s.Sample < 1 {
		parts = append(parts, Part{Note, "client numbers come from a sample of one client in " + text.Count(int(1/t.s.Sample+0.5)) + ".", rankNote})
	}
	for i, remark := range t.s.Remarks {
		rank := rankNote
		if i > 0 {
			rank = rankMore
		}
		parts = append(parts, Part{Note, sentence(located.ReplaceAllString(text.Printable(remark), more[1:])), rank})
	}
	return parts
}

// located finds ARNs, URLs and account numbers.
var located = regexp.MustCompile(`\barn:\S+|\w+://\S+|\d{12}`)
