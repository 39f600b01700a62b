package wire

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// A Recorder is a complete reply in memory.
type Recorder struct {
	Status int // 0 until something is written
	Body   bytes.Buffer
	header http.Header
}

// NewRecorder returns an empty reply.
func NewRecorder() *Recorder { return &Recorder{header: make(http.Header)} }

// Header, WriteHeader and Write make a Recorder an [http.ResponseWriter].
func (rec *Recorder) Header() http.Header { return rec.header }

// WriteHeader sets the status, the first time.
func (rec *Recorder) WriteHeader(status int) {
	if rec.Status == 0 {
		rec.Status = status
	}
}

func (rec *Recorder) Write(p []byte) (int, error) {
	rec.WriteHeader(http.StatusOK)
	return rec.Body.Write(p)
}

// copyHeader sets the reply's header in h, with a Content-Length, and returns
// its status.
func (rec *Recorder) copyHeader(h http.Header) (status int) {
	for name, values := range rec.header {
		h[name] = values
	}
	if h.Get("Content-Length") == "" {
		h.Set("Content-Length", strconv.Itoa(rec.Body.Len()))
	}
	return cmp.Or(rec.Status, http.StatusOK)
}

// Replay sends the reply.
func (rec *Recorder) Replay(w http.ResponseWriter) {
	w.WriteHeader(rec.copyHeader(w.Header()))
	w.Write(rec.Body.Bytes())
}

// firstHalf is the start of the reply as sent on the wire.
func (rec *Recorder) firstHalf() []byte {
	h := make(http.Header)
	status := rec.copyHeader(h)
	raw := fmt.Appendf(nil, "HTTP/1.1 %d %s\r\n", status, http.StatusText(status))
	for name, values := range h {
		for _, v := range values {
			raw = fmt.Appendf(raw, "%s: %s\r\n", name, v)
		}
	}
	if rec.Body.Len() == 0 {
		return raw // without the empty line that ends a header
	}
	raw = append(raw, "\r\n"...)
	return append(raw, rec.Body.Bytes()[:rec.Body.Len()/2]...)
}

// drip sends the reply with its body in ten parts over the time d.
func (rec *Recorder) drip(w http.ResponseWriter, ctx context.Context, d time.Duration) {
	const parts = 10
	w.WriteHeader(rec.copyHeader(w.Header()))
	control := http.NewResponseController(w)
	for i := range parts {
		control.Flush()
		if !sleep(ctx, d/parts) {
			panic(http.ErrAbortHandler)
		}
		body := rec.Body.Bytes()
		w.Write(body[i*len(body)/parts : (i+1)*len(body)/parts])
	}
}
