package connlog

import (
	"bytes"

	"tlswatch/pkg/connlog/internal/export"
	"tlswatch/pkg/inflate"
)

const byteOrderMark = "\ufeff"

// maxWraps bounds how often there is something around the entries: a line of 'aws logs
// tail' may have a part of a JSON object.
const maxWraps = 2

// maxBlank is how many bytes of blank lines may come before an export. Looking at each
// part of a text that has nothing else would take long.
const maxBlank = 4096

// begin looks at the start of the text once the first line is complete, and reports
// whether it has changed. It drops a byte-order mark, and lets another reader take
// the entries out of what is around them.
func (z *Reader) begin() (changed bool) {
	text := bytes.TrimLeft(bytes.TrimPrefix(z.text, []byte(byteOrderMark)), " \t\r\n")
	if z.err == nil && len(text) <= MaxLineBytes && bytes.IndexByte(text, '\n') < 0 {
		z.begun = len(text) == 0 && len(z.text) > maxBlank
		return false // more is to come
	}
	z.begun = true
	for _, f := range []struct {
		is    func([]byte) bool
		error FormatError
	}{
		{export.IsUTF16, FormatError{"text in UTF-16", "convert it to UTF-8, for example with iconv -f UTF-16 -t UTF-8"}},
		{export.IsTar, FormatError{"tar archive", "unpack it first"}},
	} {
		if f.is(z.text) {
			z.refuse(&f.error)
			return true
		}
	}
	if rest, ok := bytes.CutPrefix(z.text, []byte(byteOrderMark)); ok {
		z.text, changed = rest, true
	}
	form, ok := export.Detect(z.text)
	if !ok || z.wraps == maxWraps {
		return changed
	}
	z.wraps++
	z.begun = false
	z.bytes -= int64(len(z.text))
	inside := export.NewReader(form, bytes.Clone(z.text), z.err, z.in.Next)
	z.in = &plain{r: inside, buf: new(inflate.Buffer)}
	z.text, z.err = nil, nil
	return true
}
