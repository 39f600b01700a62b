package trigger

import (
	"errors"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestLongFailures checks that an error with a long key keeps its end, which says
// when to retry.
func TestLongFailures(t *testing.T) {
	for _, key := range []string{strings.Repeat("k", 1024), strings.Repeat("é", 512)} {
		err := Failures{{Item: "0", Err: errors.New("s3://b/" + key + ": in progress; retry after 2026-11-30T10:00:00Z")}}.Error()
		if !strings.HasSuffix(err, "; retry after 2026-11-30T10:00:00Z") || len(err) > maxFailure+50 || !utf8.ValidString(err) {
			t.Errorf("got %q", err)
		}
	}
}
