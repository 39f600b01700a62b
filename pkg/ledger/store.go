package ledger

import (
	"context"
	"errors"
	"time"
)

// A Store keeps records: single objects with conditional writes, and strongly
// consistent lists. Package s3store has the one in Amazon S3.
//
// After an error that is none of those below, it is unknown whether a write was
// applied.
type Store interface {
	getter
	lister

	// Create writes an object that must not exist (If-None-Match: *); else the
	// error is ErrExists.
	Create(ctx context.Context, key string, body []byte) (etag string, err error)

	// Replace writes an object that must have the given ETag (If-Match); else
	// the error is ErrChanged, or ErrNotFound if there is no object.
	Replace(ctx context.Context, key string, body []byte, etag string) (newETag string, err error)
}

// A ReadStore is the part of a store that a [Reader] needs.
type ReadStore interface {
	getter
	lister

	// Folders returns the prefixes that end with the first slash after prefix.
	Folders(ctx context.Context, prefix string) ([]string, error)
}

type getter interface {
	// Get returns an object and its ETag, or ErrNotFound.
	Get(ctx context.Context, key string) (body []byte, etag string, err error)
}

type lister interface {
	// List calls yield for the objects whose keys begin with prefix and follow
	// after, in the order of their keys, until yield returns false.
	List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error
}

// Results of conditional requests. They may also be the reply to a request that
// was applied, whose first reply was lost, and which the SDK then sent again.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
var (
	ErrNotFound = errors.New("no such object")
	ErrExists   = errors.New("object exists")
	ErrChanged  = errors.New("object was changed")

	// ErrConflict means that a concurrent request interfered (409). The same
	// request must be sent again, which the SDK does not do by itself.
	ErrConflict = errors.New("conflict with a concurrent request")
)

// lostRace reports whether a conditional write found another state than
// expected, so that the record must be read again.
func lostRace(err error) bool {
	return errors.Is(err, ErrExists) || errors.Is(err, ErrChanged) || errors.Is(err, ErrNotFound)
}

// maxRounds limits how often a record is read again after a lost race. With each
// loss another event made progress; the limit keeps a store that always refuses
// from blocking a function.
const maxRounds = 100

// conflictAttempts limits how often a request is sent after ErrConflict, with
// pauses that double from 10 ms to 1 s, plus as much again at random.
const conflictAttempts = 10

// retrying is a Store that sends writes again after ErrConflict.
type retrying struct {
	Store
	sleep  func(context.Context, time.Duration) error
	random func() float64 // from 0 to 1
}

func (s retrying) Create(ctx context.Context, key string, body []byte) (string, error) {
	return s.retry(ctx, func() (string, error) { return s.Store.Create(ctx, key, body) })
}

func (s retrying) Replace(ctx context.Context, key string, body []byte, etag string) (string, error) {
	return s.retry(ctx, func() (string, error) { return s.Store.Replace(ctx, key, body, etag) })
}

func (s retrying) retry(ctx context.Context, write func() (string, error)) (string, error) {
	pause := 10 * time.Millisecond
	for i := 1; ; i++ {
		etag, err := write()
		if !errors.Is(err, ErrConflict) || i == conflictAttempts {
			return etag, err
		}
		if err := s.sleep(ctx, pause+time.Duration(s.random()*float64(pause))); err != nil {
			return "", err
		}
		pause = min(2*pause, time.Second)
	}
}
