package jsonline

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzObject compares with encoding/json.
func FuzzObject(f *testing.F) {
	for _, seed := range []string{
		`{}`, ` { "a" : "b" , "c" : 1.5 } `, `{"a":null,"b":true,"c":[1,{"d":"]"}],"e":-0.5e+3}`, `{"\u0041\n":"\ud83d\ude00\ud800x\/\""}`,
		`{"a":01}`, `{"a":1.}`, `{"a":tru}`, `{"a":"b"`, `{"a"}`, `{,}`, `{"a":1,}`, `{"a":[1,]}`, `[]`, `{"a":"` + "\x01" + `"}`, `{"a":1}x`, `{"a":"\u12"}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, line string) {
		if !utf8.ValidString(line) {
			return
		}
		var want map[string]any
		d := json.NewDecoder(strings.NewReader(line))
		d.UseNumber()
		valid := json.Valid([]byte(line)) && d.Decode(&want) == nil && want != nil
		got := make(map[string]any)
		o := New([]byte(line), nil)
		for o.Next() {
			got[string(o.Name)] = string(o.Value)
			if o.Value == nil {
				got[string(o.Name)] = nil
			}
		}
		if o.invalid == o.ended || o.ended != valid {
			t.Fatalf("%q: broken %v, ended %v; encoding/json says valid %v", line, o.invalid, o.ended, valid)
		}
		if !valid {
			return
		}
		for name, v := range want {
			switch v := v.(type) {
			case string:
				want[name] = v
			case nil:
			case json.Number:
				want[name] = v.String()
			case bool:
				want[name] = map[bool]string{true: "true", false: "false"}[v]
			default: // objects and arrays come as they are written
				if !json.Valid([]byte(got[name].(string))) {
					t.Fatalf("%q: %q", line, got[name])
				}
				want[name] = got[name]
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Fatalf("%q: -want +got\n%s", line, d)
		}
	})
}
