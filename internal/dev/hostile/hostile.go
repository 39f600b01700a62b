// Package hostile plants text in values that tests show to people, and looks for
// it in what they would see.
package hostile

import (
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Text is what a client may have a log say: it steers terminals (ESC, BEL, DEL,
// and the C1 control U+009B), ends lines, turns the direction of writing, and is
// markup and a formula.
const Text = "=1+1\x1b[31m\a\x7f\u009b31m\u0085\u2028\u202e\r\nforged: line;\u3000=2+2;=3+3,<script>alert(1)</script>`*_"

// Plant puts Text into every string of the value that p points to. A slice, map
// or pointer that is empty gets one element.
func Plant(p any) { plant(reflect.ValueOf(p).Elem(), 0) }

func plant(v reflect.Value, depth int) {
	if depth > 8 || !v.CanSet() || v.Type() == reflect.TypeFor[time.Time]() {
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(Text)
	case reflect.Struct:
		for i := range v.NumField() {
			plant(v.Field(i), depth+1)
		}
	case reflect.Pointer:
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		plant(v.Elem(), depth+1)
	case reflect.Slice:
		if v.Len() == 0 {
			v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		}
		for i := range v.Len() {
			plant(v.Index(i), depth+1)
		}
	case reflect.Map:
		m := reflect.MakeMap(v.Type())
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		plant(key, depth+1)
		plant(value, depth+1)
		m.SetMapIndex(key, value)
		v.Set(m)
	case reflect.Uint, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if v.IsZero() {
			v.SetUint(1)
		}
	}
}

// Check fails the test if a medium shows Text in a form that steers a terminal.
// It also fails if Text is not there at all, since then it shows nothing.
func Check(t testing.TB, medium, shown string) {
	t.Helper()
	if !strings.Contains(shown, "alert(1)") {
		t.Errorf("%s: the planted text is not there:\n%.300s", medium, shown)
	}
	for i, r := range shown {
		if r != '\n' && r != '\t' && !strconv.IsPrint(r) {
			t.Fatalf("%s lets %U through: %q", medium, r, shown[max(0, i-80):min(len(shown), i+40)])
		}
	}
}

// CheckCard decodes a card for chat programs, checks its strings, and that no
// markup in them is planted.
func CheckCard(t testing.TB, card string) {
	t.Helper()
	var decoded any
	if err := json.Unmarshal([]byte(card), &decoded); err != nil {
		t.Fatal(err)
	}
	var visit func(any)
	visit = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, member := range v {
				visit(member)
			}
		case []any:
			for _, element := range v {
				visit(element)
			}
		case string:
			for i, r := range v {
				if r != '\n' && !strconv.IsPrint(r) {
					t.Errorf("the card lets %U through: %q", r, v[max(0, i-80):])
				}
			}
			if strings.Contains(v, "\nforged:") {
				t.Errorf("the card has a forged line: %q", v)
			}
			if strings.Count(v, "`")%2 != 0 {
				t.Errorf("the card's code spans are not closed: %q", v)
			}
		}
	}
	visit(decoded)
}

// CheckLines is [Check] for a medium in which a line break matters: Text must not
// begin a line of its own.
func CheckLines(t testing.TB, medium, shown string) {
	t.Helper()
	Check(t, medium, shown)
	for line := range strings.Lines(shown) {
		if strings.HasPrefix(line, "forged:") {
			t.Errorf("%s has a forged line: %q", medium, line)
		}
	}
}
