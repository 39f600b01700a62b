package connlog

import (
	"time"

	"tlswatch/pkg/connlog/internal/scan"
)

// minuteCache remembers the minute of the last time stamp: entries come nearly
// sorted, so that most lines only need their seconds parsed.
type minuteCache struct {
	text [scan.MinuteLen]byte // "2006-01-02T15:04"
	unix int64                // its start
	set  bool
}

// parseTime is [parseTime] with the cache in front.
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
