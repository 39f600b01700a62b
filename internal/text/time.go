package text

import (
	"fmt"
	"time"
)

const seconds = "2006-01-02 15:04:05"

// Zone names the zone of a time: "UTC", or "CET (UTC+01:00)".
func Zone(t time.Time) string {
	name, _ := t.Zone()
	offset := "UTC" + t.Format("-07:00")
	switch {
	case name == "UTC":
		return name
	case name == "" || name[0] == '+' || name[0] == '-': // a zone without letters
		return offset
	}
	return fmt.Sprintf("%s (%s)", name, offset)
}

// Time writes a time to the second, with its zone.
func Time(t time.Time) string { return t.Format(seconds) + " " + Zone(t) }

// Period writes the time from one instant to another, with their zone.
func Period(from, to time.Time) string {
	if Zone(from) != Zone(to) { // clocks changed
		return Time(from) + " to " + Time(to)
	}
	return from.Format(seconds) + " to " + Time(to)
}
