package trigger

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"tlswatch/pkg/pipeline"
)

// direct reads a list of objects.
func (p *parser) direct(list json.RawMessage) (*Event, error) {
	e := newEvent(Direct)
	err := p.each("objects", list, func(o json.RawMessage) {
		e.Items = append(e.Items, directItem(len(e.Items), o))
	})
	if err != nil {
		return nil, err
	}
	if len(e.Items) == 0 {
		e.ignore("", empty, "objects")
	}
	return e, nil
}

// directItem reads "s3://bucket/key" or an object with bucket and key. Unknown fields are
// errors, because people type these.
func directItem(i int, raw json.RawMessage) Item {
	item := Item{ID: strconv.Itoa(i)}
	if raw[0] == '"' {
		uri := text(raw)
		rest, ok := strings.CutPrefix(uri, "s3://")
		bucket, key, _ := strings.Cut(rest, "/")
		if !ok || bucket == "" || key == "" {
			item.fail(fmt.Errorf("%q is not s3://BUCKET/KEY", clip(uri, maxQuote)))
			return item
		}
		item.add(pipeline.Object{Bucket: bucket, Key: key, Size: -1}, "")
		return item
	}
	var o struct {
		Bucket    string `json:"bucket"`
		Key       string `json:"key"`
		VersionID string `json:"versionId"`
		ETag      string `json:"etag"`
		Size      *int64 `json:"size"`
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		item.fail(wrongType(err))
		return item
	}
	item.add(pipeline.Object{Bucket: o.Bucket, Key: o.Key, VersionID: o.VersionID, ETag: o.ETag, Size: size(o.Size)}, "")
	return item
}
