package scan

import (
	"strconv"
	"strings"
	"time"
)

// OtherTime parses the times that exports have: RFC 3339 with an offset or with a space
// for the T, a time in UTC that says so, and seconds, milliseconds, microseconds or
// nanoseconds since 1970, which the number of digits tells apart until the year 2286.
func OtherTime(b []byte) (time.Time, bool) {
	if len(b) > len("2006-01-02T15:04:05.000000000+00:00") {
		return time.Time{}, false
	}
	text := string(b)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && n > 0 {
		switch len(text) {
		case 10:
			return time.Unix(n, 0).UTC(), true
		case 13:
			return time.UnixMilli(n).UTC(), true
		case 16:
			return time.UnixMicro(n).UTC(), true
		case 19:
			return time.Unix(0, n).UTC(), true
		}
		return time.Time{}, false
	}
	if rest, ok := strings.CutSuffix(text, " UTC"); ok {
		text = rest + "Z"
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02 15:04:05Z07:00", "2006-01-02T15:04:05Z0700"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC(), true
		}
	}
	return time.Time{}, false
}
