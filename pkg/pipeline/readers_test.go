package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"tlswatch/pkg/logkey"
	"tlswatch/pkg/pipeline"
)

// meeting is a Source whose first n objects are opened together, or not at all.
type meeting struct {
	pipeline.Source
	n   int
	all chan struct{}

	mu         sync.Mutex
	open, most int
}

func (m *meeting) Open(ctx context.Context, o pipeline.Object) (pipeline.Object, io.ReadCloser, error) {
	m.mu.Lock()
	m.open++
	m.most = max(m.most, m.open)
	if m.open == m.n {
		select {
		case <-m.all:
		default:
			close(m.all)
		}
	}
	m.mu.Unlock()
	select {
	case <-m.all:
	case <-ctx.Done():
		return o, nil, ctx.Err()
	}
	o, body, err := m.Source.Open(ctx, o)
	return o, closing{body, m}, err
}

type closing struct {
	io.ReadCloser
	m *meeting
}

func (c closing) Close() error {
	c.m.mu.Lock()
	c.m.open--
	c.m.mu.Unlock()
	if c.ReadCloser == nil {
		return nil
	}
	return c.ReadCloser.Close()
}

// Objects that are read at the same time come out as those that are read one
// after the other, in their order.
func TestReaders(t *testing.T) {
	packed := zip(strings.Repeat(fine+"\n"+failed+"\n", 20))
	outcome := func(readers int) ([]pipeline.Report, float64) {
		w := newWorld(t)
		m := &meeting{Source: w.Source, n: readers, all: make(chan struct{})}
		w.Source, w.Readers = m, readers
		var jobs []pipeline.Job
		for i := range 12 {
			body := packed
			switch i {
			case 3:
				body = packed[:len(packed)/2]
			case 7:
				body = nil
			case 9:
				body = []byte(fine + "\n")
			}
			key := strings.Replace(key, "20sg8hgm", fmt.Sprintf("%08d", i), 1)
			jobs = append(jobs, pipeline.Job{Object: w.put(t, key, bytes.Clone(body))})
		}
		reports := w.Run(t.Context(), jobs...)
		if m.most != readers {
			t.Errorf("%d objects were open at the same time, want %d", m.most, readers)
		}
		sum, _ := w.sum("ObjectsProcessed")
		return reports, sum
	}
	want, processed := outcome(1)
	if processed != 10 || want[3].Err == nil || want[7].Skipped == "" || want[9].Lines != 1 {
		t.Fatalf("one after the other, %v were processed: %+v", processed, want)
	}
	got, also := outcome(4)
	text := cmp.Comparer(func(a, b error) bool { return fmt.Sprint(a) == fmt.Sprint(b) })
	if diff := cmp.Diff(want, got, text, cmp.AllowUnexported(logkey.Key{}), cmpopts.IgnoreFields(pipeline.Report{}, "Reading", "Publishing")); diff != "" || also != processed {
		t.Errorf("processed %v, want %v; reports (-one after the other +at the same time):\n%s", also, processed, diff)
	}
}
