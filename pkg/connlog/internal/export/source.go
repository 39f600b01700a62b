package export

import "io"

// NewReader returns a reader of the entries, one on each line. As far as possible, an
// entry has the line number that it has in the export. The export is text and, unless
// there is an error already, what calls of next with 0 return. An error that is the
// export's is an [Error].
func NewReader(form Form, text []byte, err error, next func(keep int) ([]byte, error)) io.Reader {
	s := &source{text, err, next}
	return &reader{form.reader(s), s}
}

// A source reads text, and then what next returns.
type source struct {
	text []byte
	err  error
	next func(keep int) ([]byte, error)
}

func (s *source) Read(p []byte) (int, error) {
	for len(s.text) == 0 {
		if s.err != nil {
			return 0, s.err
		}
		s.text, s.err = s.next(0)
	}
	n := copy(p, s.text)
	s.text = s.text[n:]
	return n, nil
}

// A reader separates the errors of an export from those of its source.
type reader struct {
	io.Reader
	source *source
}

func (r *reader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF && (r.source.err == nil || r.source.err == io.EOF) {
		err = &Error{err}
	}
	return n, err
}

// An Error says that what is around the entries is broken.
type Error struct{ error }

// IsUTF16 reports whether text begins with UTF-16 of either byte order: with a
// byte-order mark, or with an ASCII character.
func IsUTF16(text []byte) bool {
	if len(text) < 2 {
		return false
	}
	mark := text[0] == 0xff && text[1] == 0xfe || text[0] == 0xfe && text[1] == 0xff
	return mark || text[0] == 0 != (text[1] == 0) && text[0]|text[1] < 0x80
}

// IsTar reports whether text begins like a tar archive (POSIX.1-2001, ustar and pax).
func IsTar(text []byte) bool {
	const magic, at = "ustar", 257
	return len(text) >= at+len(magic) && string(text[at:at+len(magic)]) == magic
}
