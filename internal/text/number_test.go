package text

import (
	"math"
	"testing"
	"time"
)

func TestNumbers(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{Count(0), "0"},
		{Count(uint16(999)), "999"},
		{Count(1000), "1,000"},
		{Count(-1234567), "-1,234,567"},
		{Count(int8(math.MinInt8)), "-128"},
		{Count(int64(math.MinInt64)), "-9,223,372,036,854,775,808"},
		{Count(uint64(math.MaxUint64)), "18,446,744,073,709,551,615"},

		{Plural(0, "log"), "0 logs"},
		{Plural(uint64(1), "log"), "1 log"},
		{Plural(12345, "log"), "12,345 logs"},
		{Counted(1, "policy", "policies"), "1 policy"},
		{Counted(2, "policy", "policies"), "2 policies"},

		{Percent(0, 0), "-"},
		{Percent(0, 5), "0.0 %"},
		{Percent(1, 8), "12.5 %"},
		{Percent(5, 5), "100.0 %"},
		{Percent(uint64(1), 1_000_000), "<0.1 %"},
		{Percent(1, 1000), "0.1 %"},
		{Percent(999_999, 1_000_000), ">99.9 %"},
		{Percent(999, 1000), "99.9 %"},
		{Share(0), "0.0 %"},
		{Share(1e-12), "under 0.1 %"},
		{Share(0.125), "12.5 %"},
		{Share(0.99999), "over 99.9 %"},
		{Share(1), "100.0 %"},

		{Duration(0), "0s"},
		{Duration(59*time.Second + 499*time.Millisecond), "59s"},
		{Duration(59*time.Second + 500*time.Millisecond), "1m00s"},
		{Duration(185 * time.Second), "3m05s"},
		{Duration(2*time.Hour + 5*time.Minute), "2h05m"},
		{Duration(47*time.Hour + 59*time.Minute), "47h59m"},
		{Duration(48 * time.Hour), "2d"},

		{Span(0), "0 minutes"},
		{Span(time.Minute), "1 minute"},
		{Span(90 * time.Minute), "90 minutes"},
		{Span(time.Hour), "1 hour"},
		{Span(48 * time.Hour), "2 days"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}
