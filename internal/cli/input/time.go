package input

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// TimeForms describes the values of --since and --until.
const TimeForms = "an RFC 3339 time, a date, today or yesterday (from midnight UTC), now, or an age such as 2h, 3d or 1w2d"

// ParseTime parses a time in any of the forms that [TimeForms] describes. Durations
// count back from now.
func ParseTime(s string, now time.Time) (time.Time, error) {
	switch today := now.UTC().Truncate(24 * time.Hour); s {
	case "now":
		return now, nil
	case "today":
		return today, nil
	case "yesterday":
		return today.Add(-24 * time.Hour), nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	ago, err := parseAgo(s)
	if err != nil {
		return time.Time{}, fmt.Errorf("%q is not a time: use %s", s, TimeForms)
	}
	return now.Add(-ago), nil
}

// maxAgo is older than any log, and far below the largest Duration.
const maxAgo = 100 * 365 * 24 * time.Hour

// parseAgo parses whole numbers with units from weeks to seconds, larger units first.
// Days have 24 hours.
func parseAgo(s string) (time.Duration, error) {
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
		if len(units) == 0 || n > int(maxAgo/units[0].length) {
			return 0, wrong
		}
		if total += time.Duration(n) * units[0].length; total > maxAgo {
			return 0, wrong
		}
		units = units[1:]
		if rest = rest[digits+1:]; rest == "" {
			return total, nil
		}
	}
}
