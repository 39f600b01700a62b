package input

import (
	"strings"
	"testing"
	"time"
)

func TestParseSince(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 30, 15, 0, time.UTC)
	for s, want := range map[string]string{
		"now":                       "2026-11-23T12:30:15Z",
		"today":                     "2026-11-23T00:00:00Z",
		"yesterday":                 "2026-11-22T00:00:00Z",
		"2026-11-20":                "2026-11-20T00:00:00Z",
		"2026-11-20T06:05Z":         "2026-11-20T06:05:00Z",
		"2026-11-20T06:05+02:00":    "2026-11-20T04:05:00Z",
		"2026-11-20T06:05:07Z":      "2026-11-20T06:05:07Z",
		"2026-11-20T06:05:07-05:30": "2026-11-20T11:35:07Z",
		"2026-11-20T06:05:07.5Z":    "2026-11-20T06:05:07.5Z",
		"0s":                        "2026-11-23T12:30:15Z",
		"2h":                        "2026-11-23T10:30:15Z",
		"90m":                       "2026-11-23T11:00:15Z",
		"3d":                        "2026-11-20T12:30:15Z",
		"2w":                        "2026-11-09T12:30:15Z",
		"1w2d3h4m5s":                "2026-11-14T09:26:10Z",
		"36500d":                    "1926-12-18T12:30:15Z",
	} {
		if got, err := ParseTime(s, now); err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s is %v, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "2", "h", "-2h", "+2h", "2x", "2h ", " 2h", "2 h", "2h2h", "2m1h", "1.5h", "36501d", "36500d1s",
		"99999999999999999999h", "9223372036854775807s", "2026-13-01", "2026-11-20T06", "2026-11-20T06:05", "2026-11-20 06:05Z", "Yesterday", "tomorrow", "2hé"} {
		if got, err := ParseTime(s, now); err == nil {
			t.Errorf("%q is %v", s, got)
		} else if !strings.Contains(err.Error(), "RFC 3339") {
			t.Errorf("%q: %v does not say what is wanted", s, err)
		}
	}
}
