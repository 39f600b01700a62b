package ledger

import (
	"context"
	"errors"
	"time"
)

// A Store is what the ledger needs of Amazon S3: single objects with
// conditional writes, and strongly consistent lists. The implementation in
// this package is [S3]; tests have others.
//
// An error that is none of those below leaves open whether a write was
// applied.
type Store interface {
	// Get returns an object and its ETag, or ErrNotFound.
	Get(ctx context.Context, key string) (body []byte, etag string, err error)

	// Create writes an object that must not exist (If-None-Match: *); else the
	// error is ErrExists.
	Create(ctx context.Context, key string, body []byte) (etag string, err error)

	// Replace writes an object that must have the given ETag (If-Match); else
	// the error is ErrChanged, or ErrNotFound if there is no object.
	Replace(ctx context.Context, key string, body []byte, etag string) (newETag string, err error)

	// List calls yield for the objects whose keys begin with prefix and follow
	// after, in the order of their keys, until yield returns false.
	List(ctx context.Context, prefix, after string, yield func(key string, size int64) bool) error
}

// Outcomes of conditional requests. Any of them may also be the answer to a
// request of our own that was applied, whose first answer was lost, and that
// the SDK sent again.
// Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
var (
	ErrNotFound = errors.New("no such object")
	ErrExists   = errors.New("object exists")
	ErrChanged  = errors.New("object was changed")

	// ErrConflict means that a concurrent request was in the way (409): the
	// same request is to be sent again, which the SDK does not do by itself.
	ErrConflict = errors.New("conflict with a concurrent request")
)

// lostRace reports whether a conditional write found another state than the one
// that it was made for, so that the record is to be read again.
func lostRace(err error) bool {
	return errors.Is(err, ErrExists) || errors.Is(err, ErrChanged) || errors.Is(err, ErrNotFound)
}

// maxRounds bounds how often a record is read again for that reason. With every
// lost race somebody else gets ahead, which few can; but a store that refuses
// whatever it is told must not keep a function busy until its deadline.
const maxRounds = 100

// conflictAttempts bounds how often a request is sent in the face of
// ErrConflict, with pauses of 10 ms doubling up to 1 s, and as much again by
// chance.
const conflictAttempts = 10

// unconflicted is a Store whose writes are repeated when they meet
// ErrConflict.
type unconflicted struct {
	Store
	sleep  func(context.Context, time.Duration) error
	random func() float64 // from 0 to 1
}

func (s unconflicted) Create(ctx context.Context, key string, body []byte) (string, error) {
	return s.again(ctx, func() (string, error) { return s.Store.Create(ctx, key, body) })
}

func (s unconflicted) Replace(ctx context.Context, key string, body []byte, etag string) (string, error) {
	return s.again(ctx, func() (string, error) { return s.Store.Replace(ctx, key, body, etag) })
}

func (s unconflicted) again(ctx context.Context, write func() (string, error)) (string, error) {
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
