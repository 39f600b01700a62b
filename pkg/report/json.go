package report

import (
	"bufio"
	"encoding/json"
	"io"
	"reflect"
	"strings"
)

// WriteJSON writes the result as one JSON object, with each row of a list on its
// own line. It encodes rows one by one, since there may be many.
func (r *Result) WriteJSON(w io.Writer) error {
	b := bufio.NewWriter(w)
	enc := json.NewEncoder(lineless{b})
	enc.SetEscapeHTML(false)
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
			if err := enc.Encode(field.Interface()); err != nil {
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
			if err := enc.Encode(field.Index(j).Interface()); err != nil {
				return err
			}
		}
		b.WriteByte(']')
	}
	b.WriteString("\n}\n")
	return b.Flush()
}

// lineless drops the line feed that an Encoder writes after each value.
type lineless struct{ w io.Writer }

func (l lineless) Write(p []byte) (int, error) {
	if _, err := l.w.Write(p[:len(p)-1]); err != nil {
		return 0, err
	}
	return len(p), nil
}
