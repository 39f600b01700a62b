package input

import (
	"errors"
	"fmt"
	"strings"

	"tlswatch/internal/text"
	"tlswatch/pkg/connlog"
)

// A logError says why a log, or a listing of logs, was not read to its end.
type logError struct {
	name   string
	index  int
	opened bool
	lines  int // read before the error
	err    error
}

func (e *logError) Error() string {
	message := text.Printable(e.name) + ": " + e.err.Error()
	if _, refused := errors.AsType[*connlog.FormatError](e.err); e.lines > 0 && !refused {
		message += " (lines read before that, which count: " + text.Count(e.lines) + ")"
	}
	return message
}

func (e *logError) Unwrap() error { return e.err }

// A ReadError lists the logs that were not read to their end.
type ReadError struct {
	failed []*logError
	logs   int // in all
}

func (e *ReadError) Error() string {
	const most = 10
	if e.logs == 1 {
		return e.failed[0].Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s of %s logs could not be read to the end; the others were:", text.Count(len(e.failed)), text.Count(e.logs))
	for i, f := range e.failed {
		if i == most {
			fmt.Fprintf(&b, "\n  and %d more", len(e.failed)-most)
			break
		}
		b.WriteString("\n  " + f.Error())
	}
	return b.String()
}
