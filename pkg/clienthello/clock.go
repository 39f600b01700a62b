package clienthello

// A clock follows the time of a capture. It only advances, because the times of packets
// may contradict their order: the machine's clock was set, captures were appended, or
// their machines' clocks differ. Times far from the others count only after several
// packets in a row had such times.
type clock struct {
	now    int64 // Unix nanoseconds plus all steps back
	latest int64 // time of the latest packet that counted
	odd    int   // packets in a row that were far ahead or, if negative, far behind
	since  int64 // number of the first of them
	enough int   // as many of them count
}

// advance takes the time of a packet, its number, and how many connections are open. It
// returns by how much the clock leaps after a pause or a step of the time.
func (c *clock) advance(at, number int64, open int) (leap int64) {
	if c.latest == 0 {
		c.now, c.latest = at, at
	}
	ahead := at - c.latest
	far := 0
	switch {
	case ahead > int64(idleTime):
		far = 1
	case ahead < -int64(idleTime):
		far = -1
	default:
		c.odd = 0
		if ahead > 0 {
			c.now, c.latest = c.now+ahead, at
		}
		return 0
	}
	if c.odd*far <= 0 {
		// A connection that continues shows it within a few packets for each that is open.
		c.odd, c.since, c.enough = 0, number, min(2+8*(open-1), maxOdd)
	}
	c.odd += far
	if c.odd*far <= c.enough {
		return 0
	}
	c.odd, c.latest = 0, at
	leap = max(ahead, 0)
	c.now += leap
	return leap
}

const maxOdd = 4096
