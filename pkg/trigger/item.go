package trigger

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"tlswatch/pkg/pipeline"
)

func newEvent(s Shape, items ...Item) *Event {
	return &Event{Shape: s, Items: items}
}

func (e *Event) ignore(item string, r Reason, what string) {
	e.Ignored = append(e.Ignored, Ignored{item, r, clip(what, maxFailure)})
}

// fail records an error about a part of the item.
func (i *Item) fail(err error) {
	if i.Err = err; !errors.Is(err, errTooMany) { // the next batch may leave room
		i.Err = Permanent(err)
	}
}

// own sets the owner of the objects that have none.
func (i *Item) own(owner string) {
	for j := range i.Objects {
		if i.Objects[j].owner == "" {
			i.Objects[j].owner = owner
		}
	}
}

// Longest object key, in bytes of UTF-8.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
const maxKey = 1024

// add adds an object, if S3 allows its name.
func (i *Item) add(o pipeline.Object, alt string) {
	switch {
	case o.Bucket == "":
		i.fail(errors.New("object without a bucket"))
	case o.Key == "":
		i.fail(errors.New("object without a key"))
	case len(o.Key) > maxKey:
		i.fail(fmt.Errorf("key %q is longer than %d bytes", clip(o.Key, maxQuote), maxKey))
	case !utf8.ValidString(o.Key):
		i.fail(fmt.Errorf("key %q is not UTF-8", clip(o.Key, maxQuote)))
	default:
		o.ETag = strings.Trim(o.ETag, `"`)
		o.AltKey = alt
		i.Objects = append(i.Objects, Object{Object: o})
	}
}

// size returns -1 for a size that is missing in the event.
func size(n *int64) int64 {
	if n == nil || *n < 0 {
		return -1
	}
	return *n
}

// orPosition returns id, or without one the position in the list.
func orPosition(id string, i int) string {
	if id == "" {
		return strconv.Itoa(i)
	}
	return id
}
