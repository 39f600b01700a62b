package input

import (
	"strings"
	"testing"
	"time"
	_ "time/tzdata" // the machine may have no data on zones

	"tlswatch/internal/text"
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
		"-2h":                       "2026-11-23T10:30:15Z",
		"12:30":                     "2026-11-23T12:30:00Z",
		"12:30:15":                  "2026-11-23T12:30:15Z",
		"12:30:15.5":                "2026-11-22T12:30:15.5Z", // not in the future
		"12:31":                     "2026-11-22T12:31:00Z",
		"9:05":                      "2026-11-23T09:05:00Z",
		"00:00 UTC":                 "2026-11-23T00:00:00Z",
		"today 10:20":               "2026-11-23T10:20:00Z",
		"today 23:00":               "2026-11-23T23:00:00Z", // as said, though in the future
		"yesterday 10:20":           "2026-11-22T10:20:00Z",
		"2026-11-20 06:05":          "2026-11-20T06:05:00Z",
		"2026-11-20T06:05":          "2026-11-20T06:05:00Z",
		"2026-11-20 06:05:07":       "2026-11-20T06:05:07Z",
		"2026-11-20 06:05:07 UTC":   "2026-11-20T06:05:07Z",
		"2026-11-20 06:05Z":         "2026-11-20T06:05:00Z",
		"2026-11-20 06:05+02:00":    "2026-11-20T04:05:00Z",
	} {
		if got, err := parseTime(s, now, time.UTC); err != nil || got.Format(time.RFC3339Nano) != want {
			t.Errorf("%s is %v, %v; want %s", s, got, err, want)
		}
	}
	for _, s := range []string{"", "2", "h", "--2h", "+2h", "-", "2h UTC", "2x", "2h ", " 2h", "2 h", "2h2h", "2m1h", "1.5h", "36501d", "36500d1s",
		"99999999999999999999h", "9223372036854775807s", "2026-13-01", "2026-11-20T06", "2026-11-20 24:00", "2026-11-31 10:20", "24:00", "10:60", "10:20:60", "10", "10:2", "10:20 CET", "today10:20", "today today", "yesterday 2h", "Yesterday", "tomorrow", "2hé"} {
		if got, err := parseTime(s, now, time.UTC); err == nil {
			t.Errorf("%q is %v", s, got)
		} else if !strings.Contains(err.Error(), "RFC 3339") {
			t.Errorf("%q: %v does not say what is wanted", s, err)
		}
	}
}

// Local times are those of the zone, on days when its clocks change too.
func TestParseLocalTime(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct{ now, s, want string }{
		{"2026-11-23T23:30:00Z", "00:10", "2026-11-23T23:10:00Z"},
		{"2026-11-23T23:30:00Z", "today", "2026-11-23T23:00:00Z"},
		{"2026-11-23T22:30:00Z", "today", "2026-11-22T23:00:00Z"},
		{"2026-11-23T22:30:00Z", "yesterday 10:20", "2026-11-22T09:20:00Z"},
		{"2026-11-23T22:30:00Z", "2026-07-01 10:20", "2026-07-01T08:20:00Z"},
		{"2026-11-23T22:30:00Z", "2026-07-01 10:20Z", "2026-07-01T10:20:00Z"},
		{"2026-11-23T22:30:00Z", "10:20 UTC", "2026-11-23T10:20:00Z"},
		{"2026-11-23T22:30:00Z", "2h", "2026-11-23T20:30:00Z"},
		// Clocks are set back from 3:00 to 2:00 at 1:00 UTC: a date has the first 2:30.
		{"2026-10-25T12:00:00Z", "2026-10-25 02:30", "2026-10-25T00:30:00Z"},
		{"2026-10-25T12:00:00Z", "02:30", "2026-10-25T01:30:00Z"},
		{"2026-10-25T01:00:00Z", "02:30", "2026-10-25T00:30:00Z"},
		{"2026-10-25T12:00:00Z", "yesterday 12:00", "2026-10-24T10:00:00Z"},
		// Clocks are set forward from 2:00 to 3:00 at 1:00 UTC.
		{"2026-03-29T12:00:00Z", "02:30", "2026-03-29T01:30:00Z"},
		{"2026-03-29T12:00:00Z", "today", "2026-03-28T23:00:00Z"},
	} {
		now, err := time.Parse(time.RFC3339, test.now)
		if err != nil {
			t.Fatal(err)
		}
		got, err := parseTime(test.s, now, berlin)
		if err != nil || got.Format(time.RFC3339) != test.want {
			t.Errorf("%s at %s is %v, %v; want %s", test.s, text.Time(now.In(berlin)), got, err, test.want)
		}
	}
}

// Whatever parses, parses to the same instant when it is written as tlswatch writes it.
func FuzzParseTime(f *testing.F) {
	for _, s := range []string{"10:20", "2026-11-30 10:20", "yesterday 1:02:03", "-2h", "2026-10-25T02:30", "1w2d3h4m5s", "9999-12-31", "0000-01-01 00:00"} {
		f.Add(s, int64(1_795_000_000))
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, s string, second int64) {
		now := time.Unix(second%(1<<36), 0).UTC()
		for _, zone := range []*time.Location{time.UTC, berlin} {
			at, err := parseTime(s, now, zone)
			if err != nil || at.Year() < 0 || at.Year() > 9999 {
				continue
			}
			again, err := parseTime(at.Format("2006-01-02 15:04:05.999999999")+" UTC", now, zone)
			if err != nil || !again.Equal(at) {
				t.Errorf("%q is %v, which is %v, %v", s, at, again, err)
			}
			if isClock := strings.IndexByte(s, ':') > 0 && len(s) <= 5; isClock && (at.After(now) || now.Sub(at) > 26*time.Hour) {
				t.Errorf("%q at %v is %v", s, now, at)
			}
		}
	})
}
