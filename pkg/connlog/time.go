package connlog

import (
	"time"

	"tlswatch/pkg/connlog/internal/scan"
)

// A minuteCache remembers the minute of the last time stamp. Entries are nearly
// sorted, so that for most lines only the seconds have to be parsed.
type minuteCache struct {
	text [scan.MinuteLen]byte // "2006-01-02T15:04"
	unix int64                // its start
	set  bool
}

// parseTime is [scan.Time] with the cache in front.
func (m *minuteCache) parseTime(b []byte) (time.Time, bool) {
	if len(b) > scan.SecondLen && m.set && [scan.MinuteLen]byte(b) == m.text {
		sec, nsec, ok := scan.Second(b[scan.MinuteLen:])
		return time.Unix(m.unix+sec, nsec).UTC(), ok
	}
	t, ok := scan.Time(b)
	if ok {
		m.text, m.set = [scan.MinuteLen]byte(b), true
		m.unix = t.Unix() - int64(t.Second())
	}
	return t, ok
}
