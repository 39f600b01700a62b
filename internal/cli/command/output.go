package command

import (
	"fmt"
	"io"
	"strings"

	"tlswatch/internal/text"
)

// MaxListed is the number of messages or objects that a result lists with reasons.
const MaxListed = 100

// WriteJSON writes a result as --format json has it.
func WriteJSON(w io.Writer, result any) error { return text.WriteJSON(w, result, " ") }

// Names returns the names of values. It never returns nil.
func Names[T fmt.Stringer](values []T) []string {
	list := []string{}
	for _, v := range values {
		list = append(list, v.String())
	}
	return list
}

// Complain writes a message. The message may contain names that others chose, so
// control characters are escaped and lines after the first are indented.
func Complain(stderr io.Writer, format string, args ...any) {
	lines := strings.Split(fmt.Sprintf(format, args...), "\n")
	for i, line := range lines {
		if lines[i] = text.Printable(line); i > 0 && !strings.HasPrefix(line, "  ") {
			lines[i] = "  " + lines[i]
		}
	}
	fmt.Fprintf(stderr, "tlswatch: %s\n", strings.Join(lines, "\n"))
}

// WriteRemarks writes messages about a result.
func WriteRemarks(stderr io.Writer, remarks []string) {
	for _, remark := range remarks {
		Complain(stderr, "%s", remark)
	}
}
