package connlog

import "time"

// minuteCache remembers the minute of the last time stamp: entries come nearly
// sorted, so that most lines only need their seconds parsed.
type minuteCache struct {
	text [minuteLen]byte // "2006-01-02T15:04"
	unix int64           // its start
	set  bool
}

const (
	minuteLen = len("2006-01-02T15:04")
	secondLen = len("2006-01-02T15:04:05")
)

// parseTime is [parseTime] with the cache in front.
func (m *minuteCache) parseTime(b []byte) (time.Time, bool) {
	if len(b) > secondLen && m.set && [minuteLen]byte(b) == m.text {
		sec, nsec, ok := parseSecond(b[minuteLen:])
		return time.Unix(m.unix+sec, nsec).UTC(), ok
	}
	t, ok := parseTime(b)
	if ok {
		m.text, m.set = [minuteLen]byte(b), true
		m.unix = t.Unix() - int64(t.Second())
	}
	return t, ok
}

// parseTime parses the UTC form of RFC 3339 with any number of digits (none,
// too) in the fraction of a second, as "2023-10-04T17:05:15.514108Z".
func parseTime(b []byte) (time.Time, bool) {
	if len(b) <= secondLen || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' {
		return time.Time{}, false
	}
	year, ok1 := decimal(b[:4])
	month, ok2 := decimal(b[5:7])
	day, ok3 := decimal(b[8:10])
	hour, ok4 := decimal(b[11:13])
	minute, ok5 := decimal(b[14:16])
	sec, nsec, ok6 := parseSecond(b[minuteLen:])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || hour > 23 || minute > 59 {
		return time.Time{}, false
	}
	t := time.Date(int(year), time.Month(month), int(day), int(hour), int(minute), int(sec), int(nsec), time.UTC)
	if int64(t.Month()) != month || int64(t.Day()) != day { // 30 February and the like
		return time.Time{}, false
	}
	return t, true
}

// parseSecond parses ":05Z" and ":05.514108Z". Digits beyond nanoseconds are
// dropped.
func parseSecond(b []byte) (sec, nsec int64, ok bool) {
	n := len(b) - 1
	if n < 3 || b[0] != ':' || b[n] != 'Z' {
		return 0, 0, false
	}
	sec, ok = decimal(b[1:3])
	if !ok || sec > 59 {
		return 0, 0, false
	}
	if n == 3 {
		return sec, 0, true
	}
	if b[3] != '.' || n == 4 {
		return 0, 0, false
	}
	unit := int64(time.Second)
	for _, c := range b[4:n] {
		c -= '0'
		if c > 9 {
			return 0, 0, false
		}
		unit /= 10
		nsec += int64(c) * unit
	}
	return sec, nsec, true
}

// decimal parses unsigned decimal digits; the caller bounds their number.
func decimal(b []byte) (n int64, ok bool) {
	for _, c := range b {
		c -= '0'
		if c > 9 {
			return 0, false
		}
		n = n*10 + int64(c)
	}
	return n, true
}
