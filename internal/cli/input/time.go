package input

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/text"
)

// timeForms describes the values of --since and --until.
const timeForms = "an RFC 3339 time, a date, a date and time such as 2026-11-30 10:20, a clock time such as 10:20 (the latest, not in the future), today or yesterday (from midnight, or with a clock time), now, or an age such as 2h, -2h, 3d or 1w2d"

// TimeHelp explains the values of --since and --until.
const TimeHelp = "A TIME is " + timeForms + ". Times are UTC, or with --local in the zone of this computer."

// TimeFlags restrict the time, and choose the zone of times in flags and output.
type TimeFlags struct {
	Since, Until string
	utc, local   bool
}

// Register adds the flags to a command. What is set is the default.
func (o *TimeFlags) Register(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.Since, "since", o.Since, command.SinceUsage)
	f.StringVar(&o.Until, "until", o.Until, command.UntilUsage)
	f.BoolVar(&o.utc, "utc", false, "times are UTC, in flags and output (default)")
	f.BoolVar(&o.local, "local", false, "times are those of this computer's zone, in flags and output")
}

// Zone returns the zone of times in flags and output.
func (o *TimeFlags) Zone() *time.Location {
	if o.local {
		return time.Local
	}
	return time.UTC
}

// Span returns the time between the flags. Its errors are about usage.
func (o *TimeFlags) Span(now time.Time) (span Span, err error) {
	if o.utc && o.local {
		return span, command.Usagef("--utc and --local exclude each other")
	}
	if o.Since != "" {
		if span.Since, err = parseTime(o.Since, now, o.Zone()); err != nil {
			return span, command.Usagef("--since %w", err)
		}
	}
	if o.Until != "" {
		if span.Until, err = parseTime(o.Until, now, o.Zone()); err != nil {
			return span, command.Usagef("--until %w", err)
		}
		if !span.Since.Before(span.Until) {
			return span, command.Usagef("--until %s is not after --since %s: they are %s and %s",
				o.Until, o.Since, text.Time(span.Until.In(o.Zone())), text.Time(span.Since.In(o.Zone())))
		}
	}
	return span, nil
}

// parseTime parses a time in any of the forms that [timeForms] describes. Ages count
// back from now.
func parseTime(s string, now time.Time, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02 15:04Z07:00", "2006-01-02 15:04:05Z07:00"} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	if s == "now" {
		return now.UTC(), nil
	}
	if ago, err := ParseAge(strings.TrimPrefix(s, "-")); err == nil {
		return now.Add(-ago).UTC(), nil
	}
	rest := s
	if utc, ok := strings.CutSuffix(s, " UTC"); ok { // as in tlswatch's own output
		rest, zone = utc, time.UTC
	}
	t, ok := parseClock(rest, now.In(zone))
	if !ok {
		return time.Time{}, fmt.Errorf("%q is not a time: use %s", s, timeForms)
	}
	return t.UTC(), nil
}

// parseClock parses a date, a clock time or both, in the zone of now.
func parseClock(s string, now time.Time) (t time.Time, ok bool) {
	today := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	if clock, ok := parseAny(s, "15:04", "15:04:05"); ok {
		for day := today; ; day = day.AddDate(0, 0, -1) {
			wall := time.Date(day.Year(), day.Month(), day.Day(), clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), time.UTC)
			for _, t := range slices.Backward(instants(wall, now.Location())) {
				if !t.After(now) {
					return t, true
				}
			}
		}
	}
	for word, day := range map[string]time.Time{"today": today, "yesterday": today.AddDate(0, 0, -1)} {
		if rest, ok := strings.CutPrefix(s, word); ok {
			s = day.Format(time.DateOnly) + rest
		}
	}
	wall, ok := parseAny(s, time.DateOnly, "2006-01-02 15:04", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02T15:04:05")
	if !ok {
		return t, false
	}
	return instants(wall, now.Location())[0], true
}

// parseAny parses a time in one of several layouts.
func parseAny(s string, layouts ...string) (t time.Time, ok bool) {
	for _, layout := range layouts {
		if t, err := time.Parse(layout, s); err == nil {
			return t, true
		}
	}
	return t, false
}

// instants returns when the clocks of a zone show a time, which is given as if in UTC:
// twice where they are set back. Where they are set forward past it, it is what a clock
// that was not changed shows.
func instants(wall time.Time, zone *time.Location) []time.Time {
	var all, exact []time.Time
	for _, near := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, offset := wall.Add(near).In(zone).Zone()
		t := wall.Add(-time.Duration(offset) * time.Second).In(zone)
		all = append(all, t)
		if _, is := t.Zone(); is == offset && !slices.ContainsFunc(exact, t.Equal) {
			exact = append(exact, t)
		}
	}
	if len(exact) == 0 {
		return all[:1]
	}
	return exact
}

// maxAge is older than any log, and far below the largest Duration.
const maxAge = 100 * 365 * 24 * time.Hour

// ParseAge parses a duration as whole numbers with units from weeks to seconds, larger
// units first. Days have 24 hours.
func ParseAge(s string) (time.Duration, error) {
	wrong := fmt.Errorf("%q is not a duration", s)
	var total time.Duration
	units := []struct {
		letter byte
		length time.Duration
	}{{'w', 7 * 24 * time.Hour}, {'d', 24 * time.Hour}, {'h', time.Hour}, {'m', time.Minute}, {'s', time.Second}}
	for rest := s; ; {
		digits := len(rest) - len(strings.TrimLeft(rest, "0123456789"))
		n, err := strconv.Atoi(rest[:digits])
		if err != nil || digits == len(rest) {
			return 0, wrong
		}
		for len(units) > 0 && units[0].letter != rest[digits] {
			units = units[1:]
		}
		if len(units) == 0 || n > int(maxAge/units[0].length) {
			return 0, wrong
		}
		if total += time.Duration(n) * units[0].length; total > maxAge {
			return 0, wrong
		}
		units = units[1:]
		if rest = rest[digits+1:]; rest == "" {
			return total, nil
		}
	}
}
