package trigger

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

var (
	// errTooMany means more than maxRecords records in one event.
	errTooMany = fmt.Errorf("more than %d records in one event", maxRecords)

	// errTooDeep means event shapes nested deeper than maxDepth.
	errTooDeep = fmt.Errorf("event shapes nested more than %d deep", maxDepth)

	// errNotProcessed is the outcome of an Item that Reply was not given an outcome for.
	errNotProcessed = errors.New("not processed")
)

// Bounds of error texts. The dead letter of an asynchronous invocation contains its error
// and has to fit into a queue message.
const (
	maxKeys     = 12  // keys named by an unknownShapeError
	maxQuote    = 128 // bytes of any quoted name
	maxFailures = 50  // failures spelled out by Failures.Error
	maxFailure  = 512 // bytes of each
	maxEnd      = 144 // of them, bytes of its end: room for pipeline.ErrInProgress with its time
)

// An unknownShapeError means that a payload is valid JSON but not a known event.
type unknownShapeError struct {
	Kind string   // what it is instead, such as "object" or "number"
	Keys []string // top-level keys of an object, sorted; at most 12, each cut to 128 bytes
	More int      // keys not listed
	Note string   // what makes it almost a known shape; may be empty
}

func (e *unknownShapeError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "unknown event shape: %s", e.Kind)
	for i, k := range e.Keys {
		if i == 0 {
			b.WriteString(" with keys ")
		} else {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", k)
	}
	if e.More > 0 {
		fmt.Fprintf(&b, " and %d more", e.More)
	}
	if e.Note != "" {
		b.WriteString(": " + e.Note)
	}
	return b.String()
}

func unknown(keys []string, total int, note string) *unknownShapeError {
	slices.Sort(keys)
	return &unknownShapeError{Kind: "object", Keys: keys, More: total - len(keys), Note: note}
}

// Permanent marks err as one that a retry cannot help. The reply to S3 Batch Operations is
// then PermanentFailure instead of TemporaryFailure; other senders make no difference.
// An error type can mark itself with a method Permanent() bool.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanent{err}
}

type permanent struct{ error }

func (p permanent) Unwrap() error { return p.error }
func (permanent) Permanent() bool { return true }

func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// A failedItem is an Item that failed.
type failedItem struct {
	Item string
	Err  error
}

// Failures is the error of an event of which some items failed. Error spells
// out the first 50; Unwrap gives all. Lambda replies with the name of this type:
// tlswatch backfill knows by it that the message names items.
type Failures []failedItem

func (f Failures) Error() string {
	var b strings.Builder
	for i, x := range f {
		if i > 0 {
			b.WriteString("; ")
		}
		if i == maxFailures {
			fmt.Fprintf(&b, "and %d more", len(f)-i)
			break
		}
		fmt.Fprintf(&b, "item %s: %s", clip(x.Item, maxQuote), shorten(x.Err.Error(), maxFailure))
	}
	return b.String()
}

func (f Failures) Unwrap() []error {
	errs := make([]error, len(f))
	for i, x := range f {
		errs[i] = x.Err
	}
	return errs
}

// malformed adds the offset, which json.SyntaxError has but does not print.
func malformed(err error) error {
	var s *json.SyntaxError
	if errors.As(err, &s) {
		return fmt.Errorf("malformed JSON at byte %d: %w", s.Offset, err)
	}
	return fmt.Errorf("malformed JSON: %w", err)
}

// wrongType describes a field of the wrong JSON type in terms of JSON instead of Go.
func wrongType(err error) error {
	var t *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case !errors.As(err, &t):
		return errors.New(clip(strings.TrimPrefix(err.Error(), "json: "), maxFailure))
	case t.Field == "":
		return fmt.Errorf("cannot be a JSON %s", t.Value)
	}
	return fmt.Errorf("%s cannot be a JSON %s", t.Field, t.Value)
}

// shorten leaves out a part of s, but keeps its last maxEnd bytes: an error may end
// with the time of a retry. At most n bytes stay, and no character is cut.
func shorten(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return clip(s, n-maxEnd) + strings.ToValidUTF8(s[len(s)-maxEnd:], "")
}

// clip cuts s to at most n bytes, and never within a character.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n-3], "") + "..."
}
