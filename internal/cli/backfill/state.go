package backfill

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"

	"tlswatch/internal/cli/command"
)

// A state records in a file which objects are done. The file is append-only: one
// header line of JSON, then one line for each object. A nil *state records nothing.
type state struct {
	done map[stateObject]bool

	mu   sync.Mutex
	file *os.File // nil if nothing is to be added
}

const stateFormat = "tlswatch.backfill/v1"

// A stateHead is the first line of the file.
type stateHead struct {
	State  string `json:"state"` // stateFormat
	Bucket string `json:"bucket"`
}

// A stateObject is any other line. The ETag tells an object from the one that
// it replaces.
type stateObject struct {
	Key  string `json:"key"`
	ETag string `json:"etag"`
}

// openState reads a state file and, unless readOnly is set, opens it for appending.
// It drops an incomplete last line.
func openState(ctx context.Context, name, bucket string, readOnly bool) (*state, error) {
	if name == "" {
		return nil, nil
	}
	s := &state{done: make(map[stateObject]bool)}
	data, err := command.ReadFile(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	whole := bytes.LastIndexByte(data, '\n') + 1
	number := 0
	for line := range bytes.Lines(data[:whole]) {
		if number++; number == 1 {
			var head stateHead
			if err := json.Unmarshal(line, &head); err != nil || head.State != stateFormat {
				return nil, fmt.Errorf("%s is not a state file of backfill", name)
			}
			if head.Bucket != bucket {
				return nil, fmt.Errorf("%s is the state file of s3://%s, not of s3://%s", name, head.Bucket, bucket)
			}
			continue
		}
		var o stateObject
		if err := json.Unmarshal(line, &o); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", name, number, err)
		}
		s.done[o] = true
	}
	if whole == 0 && len(data) > 0 && !bytes.HasPrefix(data, []byte(`{"state":`)) {
		return nil, fmt.Errorf("%s is not a state file of backfill", name)
	}
	if readOnly {
		return s, nil
	}
	if whole < len(data) {
		if err := os.Truncate(name, int64(whole)); err != nil {
			return nil, err
		}
	}
	if s.file, err = os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o666); err != nil {
		return nil, err
	}
	if whole == 0 {
		if err := s.write(stateHead{stateFormat, bucket}); err != nil {
			s.close()
			return nil, err
		}
	}
	return s, nil
}

// has reports whether an object was done before.
func (s *state) has(o logObject) bool {
	return s != nil && s.done[stateObject{o.Key, o.ETag}]
}

// add records that objects are done.
func (s *state) add(objects []logObject) error {
	if s == nil || len(objects) == 0 {
		return nil
	}
	var lines []any
	for _, o := range objects {
		lines = append(lines, stateObject{o.Key, o.ETag})
	}
	return s.write(lines...)
}

// write appends all lines in one call.
func (s *state) write(lines ...any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	for _, line := range lines {
		if err := enc.Encode(line); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	_, err := s.file.Write(b.Bytes())
	return err
}

func (s *state) close() {
	if s != nil && s.file != nil {
		s.file.Close() // all is written; there is no buffer
	}
}
