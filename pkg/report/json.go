package report

import (
	"bufio"
	"io"
	"reflect"
	"strings"

	"tlswatch/internal/text"
)

// WriteJSON writes the result as one JSON object, with each row of a list on its
// own line. It encodes rows one by one, since there may be many.
func (r *Result) WriteJSON(w io.Writer) error {
	b := bufio.NewWriter(w)
	encoded := text.JSONEncoder("")
	encode := func(v any) error {
		row, err := encoded(v)
		b.Write(row)
		return err
	}
	v := reflect.ValueOf(r).Elem()
	separator := "{\n "
	for i := range v.NumField() {
		tag, omitempty := strings.CutSuffix(v.Type().Field(i).Tag.Get("json"), ",omitempty")
		field := v.Field(i)
		if tag == "-" || omitempty && field.IsZero() {
			continue
		}
		b.WriteString(separator + `"` + tag + `": `)
		separator = ",\n "
		if field.Kind() != reflect.Slice {
			if err := encode(field.Interface()); err != nil {
				return err
			}
			continue
		}
		b.WriteByte('[')
		for j := range field.Len() {
			if j > 0 {
				b.WriteByte(',')
			}
			b.WriteString("\n  ")
			if err := encode(field.Index(j).Interface()); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	}
	b.WriteString("\n}\n")
	return b.Flush()
}
