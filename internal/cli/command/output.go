package command

import (
	"fmt"
	"io"
	"strings"

	"tlswatch/internal/text"
)

// MaxListed is how many messages or objects a result lists with their reasons.
const MaxListed = 100

// WriteJSON writes a result as --format json has it.
func WriteJSON(w io.Writer, result any) error { return text.WriteJSON(w, result, " ") }

// Names are the names of values, never nil.
func Names[T fmt.Stringer](values []T) []string {
	list := []string{}
	for _, v := range values {
		list = append(list, v.String())
	}
	return list
}

// Complain writes a message. Names in it may come from somebody else: they
// cannot steer the terminal, and only the message's first line starts at the
// margin.
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
