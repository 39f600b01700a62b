package text

import (
	"fmt"
	"strconv"
	"time"
)

// Integer is the integer types.
type Integer interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64
}

// Count writes a number with thousands separators: 12,345.
func Count[N Integer](n N) string {
	sign, digits := "", strconv.FormatUint(uint64(n), 10)
	if n < 0 {
		sign, digits = "-", strconv.FormatUint(-uint64(n), 10)
	}
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return sign + digits
}

// Plural writes a number and a noun whose plural ends in s: 1 log, 2,000 logs.
func Plural[N Integer](n N, noun string) string { return Counted(n, noun, noun+"s") }

// Counted writes a number and the noun in its one form or the other.
func Counted[N Integer](n N, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return Count(n) + " " + many
}

// Percent writes part as a percentage of whole, for tables: 12.5 %. It shows 0.0
// and 100.0 only for exactly none and all: else "<0.1 %" and ">99.9 %". If whole
// is 0, it writes "-".
func Percent[N Integer](part, whole N) string {
	if whole == 0 {
		return "-"
	}
	return percent(float64(part)/float64(whole), "<", ">")
}

// Share writes a share, from 0 to 1, for sentences: as [Percent], but with "under
// 0.1 %" and "over 99.9 %". (To chat programs, < and > are markup.)
func Share(share float64) string { return percent(share, "under ", "over ") }

func percent(share float64, under, over string) string {
	switch {
	case share > 0 && share < 0.001:
		return under + "0.1 %"
	case share > 0.999 && share < 1:
		return over + "99.9 %"
	}
	return strconv.FormatFloat(100*share, 'f', 1, 64) + " %"
}

// Duration writes a duration with its one or two largest units: 42s, 3m05s,
// 2h05m, 3d.
func Duration(d time.Duration) string {
	switch s := int64(d.Round(time.Second).Seconds()); {
	case s < 60:
		return fmt.Sprintf("%ds", s)
	case s < 60*60:
		return fmt.Sprintf("%dm%02ds", s/60, s%60)
	case s < 48*60*60:
		return fmt.Sprintf("%dh%02dm", s/60/60, s/60%60)
	default:
		return fmt.Sprintf("%dd", s/60/60/24)
	}
}

// Span writes a whole number of minutes in words, in the largest unit that
// divides it: 90 minutes, 1 hour, 2 days.
func Span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d%day == 0 && d > 0:
		return Plural(d/day, "day")
	case d%time.Hour == 0 && d > 0:
		return Plural(d/time.Hour, "hour")
	}
	return Plural(d/time.Minute, "minute")
}
