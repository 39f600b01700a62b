// Package scan reads times, numbers and addresses from bytes. It allocates
// nothing, where the standard library allocates strings or errors.
package scan

import "time"

// Lengths of the start of a time stamp.
const (
	MinuteLen = len("2006-01-02T15:04")
	SecondLen = len("2006-01-02T15:04:05")
)

// Time parses a time in the UTC form of RFC 3339, with any number of digits in
// the fraction of the second, or none: "2023-10-04T17:05:15.514108Z".
func Time(b []byte) (time.Time, bool) {
	if len(b) <= SecondLen || b[4] != '-' || b[7] != '-' || b[10] != 'T' || b[13] != ':' {
		return time.Time{}, false
	}
	year, ok1 := decimal(b[:4])
	month, ok2 := decimal(b[5:7])
	day, ok3 := decimal(b[8:10])
	hour, ok4 := decimal(b[11:13])
	minute, ok5 := decimal(b[14:16])
	sec, nsec, ok6 := Second(b[MinuteLen:])
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6) || hour > 23 || minute > 59 {
		return time.Time{}, false
	}
	t := time.Date(int(year), time.Month(month), int(day), int(hour), int(minute), int(sec), int(nsec), time.UTC)
	if int64(t.Month()) != month || int64(t.Day()) != day { // 30 February and the like
		return time.Time{}, false
	}
	return t, true
}

// Second parses the rest of a time behind the minute: ":05Z" and ":05.514108Z".
// It drops digits beyond nanoseconds.
func Second(b []byte) (sec, nsec int64, ok bool) {
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
	if b[3] != '.' {
		return 0, 0, false
	}
	nsec, ok = fraction(b[4:n])
	return sec, nsec, ok
}

// maxSeconds bounds a number of seconds, so that it fits a time.Duration with
// room for sums.
const maxSeconds = 1e9

// Seconds parses a decimal number of seconds such as "0.337". It drops digits
// beyond nanoseconds.
func Seconds(b []byte) (time.Duration, bool) {
	var sec int64
	i := 0
	for ; i < len(b) && b[i] != '.'; i++ {
		c := b[i] - '0'
		if c > 9 {
			return 0, false
		}
		if sec = sec*10 + int64(c); sec > maxSeconds {
			return 0, false
		}
	}
	switch i {
	case 0:
		return 0, false
	case len(b):
		return time.Duration(sec) * time.Second, true
	}
	nsec, ok := fraction(b[i+1:])
	return time.Duration(sec)*time.Second + time.Duration(nsec), ok
}

// fraction returns the nanoseconds of the digits after a decimal point, at least
// one.
func fraction(b []byte) (nsec int64, ok bool) {
	unit := int64(time.Second)
	for _, c := range b {
		c -= '0'
		if c > 9 {
			return 0, false
		}
		unit /= 10
		nsec += int64(c) * unit
	}
	return nsec, len(b) > 0
}

// decimal parses decimal digits. The caller bounds their number.
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

// Port parses a port number; without any digit it is 0.
func Port(b []byte) (uint16, bool) {
	if len(b) > 5 {
		return 0, false
	}
	n, ok := decimal(b)
	return uint16(n), ok && n <= 65535
}

// HexDigit returns the value of a hexadecimal digit.
func HexDigit(c byte) (uint32, bool) {
	switch {
	case '0' <= c && c <= '9':
		return uint32(c - '0'), true
	case 'a' <= c && c <= 'f':
		return uint32(c-'a') + 10, true
	case 'A' <= c && c <= 'F':
		return uint32(c-'A') + 10, true
	}
	return 0, false
}
