package ledger

import (
	"bytes"
	"math"
)

// A level is a number of failures, rounded up. The size of a log object's record,
// modulo levels, is the level of the object's failures, because a list returns
// sizes: one request tells which windows can meet a rule at all, and in quiet
// times no record needs to be read. White space after the JSON makes up the size.
//
// Levels below exactLevels are the number itself. Above, each level stands for
// levelGrowth times the failures of the one before, so the error is 4 %. The last
// level stands for any number.
type level int

const (
	levels      = 1024
	exactLevels = 512
	levelGrowth = 1.04
)

// levelOf returns the lowest level whose atMost is not below failed.
func levelOf(failed uint64) level {
	if failed < exactLevels {
		return level(failed)
	}
	l := exactLevels + level(math.Log(float64(failed)/exactLevels)/math.Log(levelGrowth))
	for l < levels-1 && l.atMost() < failed {
		l++
	}
	return min(l, levels-1)
}

// levelOfSize returns the level that a record of a size has.
func levelOfSize(size int64) level { return level(size % levels) }

// atMost returns the most failures that a level stands for.
func (l level) atMost() uint64 {
	switch {
	case l < exactLevels:
		return uint64(l)
	case l >= levels-1:
		return math.MaxUint64 / 2 // any number; a sum of two does not overflow
	}
	return uint64(math.Ceil(exactLevels * math.Pow(levelGrowth, float64(l-exactLevels))))
}

// pad gives a record the size that encodes the level.
func (l level) pad(body []byte) []byte {
	size := len(body)/levels*levels + int(l)
	if size < len(body) {
		size += levels
	}
	return append(body, bytes.Repeat([]byte{' '}, size-len(body))...)
}
