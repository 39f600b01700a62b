package s3source

import "time"

// WithStall returns a source that waits at most d for the next bytes of a body.
func WithStall(s Source, d time.Duration) Source {
	s.stall = d
	return s
}
