package clienthello

// A clock follows the time of a capture. It only advances, because the times of packets
// may contradict their order: the machine's clock was set, captures were appended, or
// their machines' clocks differ. Times far from the others count only after many packets
// in a row had such times.
type clock struct {
	now    int64 // Unix nanoseconds plus all steps back
	latest int64 // time of the latest packet that counted
	agreed int   // packets that were not far from it, up to enough

	odd          int   // packets in a row that were far ahead or, if negative, far behind
	since        int64 // number of the first of them
	first        int64 // its time
	last         int64 // time of the last of them
	open         int   // connections at the first of them
	contradicted bool  // such packets were followed by others that were not far away
	jump         int64 // how far ahead the first of them was that counted last
}

// Packets in a row that were far away and count: of few, the times must also have
// advanced by idleTime. A connection that continues shows it within perConnection packets
// for each that is open.
const (
	fewOdd        = 16
	manyOdd       = 256
	perConnection = 8
	maxOdd        = 4096
	doubtful      = 16 // as many times more, if times have contradicted each other before
	endOdd        = 3  // at the end of a capture: the handshake of TCP
	enough        = 2  // at the begin, where only the first packet was far away
)

// advance takes the time of a packet, its number, and how many connections are open. It
// returns by how much the clock leaps after a pause or a step of the time.
func (c *clock) advance(at, number int64, open int) (leap int64) {
	if c.latest == 0 {
		c.now, c.latest = at, at
	}
	ahead := at - c.latest
	if !far(at, c.latest) {
		c.contradicted = c.contradicted || c.odd != 0
		c.odd, c.agreed = 0, min(c.agreed+1, enough)
		if ahead > 0 {
			c.now, c.latest = c.now+ahead, at
		}
		return 0
	}
	step := 1
	if ahead < 0 {
		step = -1
	}
	if c.odd*step <= 0 {
		c.contradicted = c.contradicted || c.odd != 0
		c.odd, c.since, c.first, c.open = 0, number, at, open
	}
	c.odd += step
	c.last = at
	factor := 1
	if c.contradicted {
		factor = doubtful
	}
	n := c.odd * step
	if step < 0 && n >= enough && c.agreed < enough { // the first packet was far ahead
		return c.accept()
	}
	if n > factor*min(manyOdd+perConnection*c.open, maxOdd) || n > factor*min(fewOdd+perConnection*c.open, maxOdd) && at-c.first > int64(idleTime) {
		return c.accept()
	}
	return 0
}

// accept makes the last time count.
func (c *clock) accept() (leap int64) {
	leap, c.jump = max(c.last-c.latest, 0), max(c.first-c.latest, 0)
	c.odd, c.latest, c.now, c.contradicted = 0, c.last, c.now+leap, false
	return leap
}

// end accepts what nothing contradicts at the end of a capture.
func (c *clock) end() (leap int64) {
	if c.odd < endOdd || c.contradicted {
		return 0
	}
	return c.accept()
}

// reading returns the clock for a packet, without the jump if it is far ahead.
func (c *clock) reading() int64 {
	if c.odd > 0 {
		return c.now + max(c.last-c.first, 0)
	}
	return c.now
}
