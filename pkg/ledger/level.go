package ledger

import "math"

// A record's size, modulo levels, is the level of its number of failures: the
// number itself up to exactLevels, and from there on a logarithm of it, rounded
// up.
const (
	levels      = 1024
	exactLevels = 512
	levelGrowth = 1.04 // from one level to the next: the error of atMost
)

// level returns the lowest level whose atMost is not below failed.
func level(failed uint64) int {
	if failed < exactLevels {
		return int(failed)
	}
	l := exactLevels + int(math.Log(float64(failed)/exactLevels)/math.Log(levelGrowth))
	for l < levels-1 && atMost(l) < failed {
		l++
	}
	return min(l, levels-1)
}

// atMost returns the most failures that a record of a level can have.
func atMost(level int) uint64 {
	switch {
	case level < exactLevels:
		return uint64(level)
	case level >= levels-1:
		return math.MaxUint64 / 2 // any number
	}
	return uint64(math.Ceil(exactLevels * math.Pow(levelGrowth, float64(level-exactLevels))))
}
