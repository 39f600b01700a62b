package text

import (
	"testing"
	"time"
	_ "time/tzdata" // the machine may have no data on zones
)

func TestPeriod(t *testing.T) {
	from := time.Date(2026, 10, 24, 10, 0, 0, 0, time.UTC)
	to := time.Date(2026, 10, 24, 10, 3, 1, 500, time.UTC)
	for zone, want := range map[string]string{
		"UTC":           "2026-10-24 10:00:00 to 2026-10-24 10:03:01 UTC",
		"Europe/Berlin": "2026-10-24 12:00:00 to 2026-10-24 12:03:01 CEST (UTC+02:00)",
		"Asia/Kolkata":  "2026-10-24 15:30:00 to 2026-10-24 15:33:01 IST (UTC+05:30)",
		"Asia/Dubai":    "2026-10-24 14:00:00 to 2026-10-24 14:03:01 UTC+04:00",
	} {
		in, err := time.LoadLocation(zone)
		if err != nil {
			t.Fatal(err)
		}
		if got := Period(from.In(in), to.In(in)); got != want {
			t.Errorf("%s: %q, want %q", zone, got, want)
		}
	}
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	// The clocks are set back in between.
	want := "2026-10-24 12:00:00 CEST (UTC+02:00) to 2026-10-25 11:00:00 CET (UTC+01:00)"
	if got := Period(from.In(berlin), from.Add(24*time.Hour).In(berlin)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
