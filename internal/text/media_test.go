package text

import (
	"encoding/json"
	"html/template"
	"strconv"
	"strings"
	"testing"
)

// What each medium makes of text that steers a terminal, ends a line, turns the
// direction of writing, or is a formula. docs/security.md has the same table.
func TestMedia(t *testing.T) {
	media := []struct {
		name  string
		write func(string) string
	}{
		{"terminal", Printable},
		{"CSV", Cell},
		{"JSON", func(s string) string {
			b, err := JSON(s, "")
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}},
		{"HTML", func(s string) string {
			var b strings.Builder
			if err := template.Must(template.New("").Parse("{{.}}")).Execute(HTML(&b), s); err != nil {
				t.Fatal(err)
			}
			return b.String()
		}},
		{"Markdown", Markdown},
		{"name", Name},
	}
	for _, test := range []struct {
		text string
		want [6]string
	}{
		{"plain, Zoë", [6]string{"plain, Zoë", "plain, Zoë", `"plain, Zoë"`, "plain, Zoë", "plain, Zoë", "plain? Zo?"}},
		{"\x1b[31m", [6]string{`\x1b[31m`, `\x1b[31m`, `"\u001b[31m"`, `\x1b[31m`, `\\x1b\[31m`, "??31m"}},
		{"\a\x7f", [6]string{`\a\x7f`, `\a\x7f`, `"\u0007\u007f"`, `\a\x7f`, `\\a\\x7f`, "??"}},
		{"\u009b1m", [6]string{`\u009b1m`, `\u009b1m`, `"\u009b1m"`, `\u009b1m`, `\\u009b1m`, "?1m"}},
		{"\u0085\u2028", [6]string{`\u0085\u2028`, `\u0085\u2028`, `"\u0085\u2028"`, `\u0085\u2028`, `\\u0085\\u2028`, "??"}},
		{"\u202e", [6]string{`\u202e`, `\u202e`, `"\u202e"`, `\u202e`, `\\u202e`, "?"}},
		{"\U000e0041", [6]string{`\U000e0041`, `\U000e0041`, `"\udb40\udc41"`, `\U000e0041`, `\\U000e0041`, "?"}},
		{"a\r\nb", [6]string{`a\r\nb`, `a\r\nb`, `"a\r\nb"`, "a\\r\nb", `a\\r\\nb`, "a??b"}},
		{"<b>&", [6]string{"<b>&", "<b>&", `"<b>&"`, "&lt;b&gt;&amp;", `\<b\>\&`, "?b??"}},
		{"=1+1", [6]string{"=1+1", "'=1+1", `"=1+1"`, "=1&#43;1", "=1+1", "?1+1"}},
		{"x; =1", [6]string{"x; =1", "x;' =1", `"x; =1"`, "x; =1", "x; =1", "x? ?1"}},
		{"\u3000=1", [6]string{`\u3000=1`, `\u3000=1`, `"\u3000=1"`, `\u3000=1`, `\\u3000=1`, "??1"}},
		{"＝1", [6]string{"＝1", "'＝1", `"＝1"`, "＝1", "＝1", "?1"}},
		{"-", [6]string{"-", "-", `"-"`, "-", `\-`, "-"}},
		{"`*_a_*`|#1~$", [6]string{"`*_a_*`|#1~$", "`*_a_*`|#1~$", `"` + "`*_a_*`|#1~$" + `"`, "`*_a_*`|#1~$", "\\`\\*\\_a\\_\\*\\`\\|\\#1\\~\\$", "??_a_????1??"}},
		{"TLS_RSA [x](y)", [6]string{"TLS_RSA [x](y)", "TLS_RSA [x](y)", `"TLS_RSA [x](y)"`, "TLS_RSA [x](y)", `TLS_RSA \[x\](y)`, "TLS_RSA ?x??y?"}},
		{"http://a @all", [6]string{"http://a @all", "http://a @all", `"http://a @all"`, "http://a @all", `http:\//a \\x40all`, "http://a ?all"}},
		{"www.a", [6]string{"www.a", "www.a", `"www.a"`, "www.a", `www\.a`, "www.a"}},
		{"--", [6]string{"--", "'--", `"--"`, "--", `\--`, "--"}},
		{"10.0.0.1", [6]string{"10.0.0.1", "10.0.0.1", `"10.0.0.1"`, "10.0.0.1", "10.0.0.1", "10.0.0.1"}},
		{"1. a", [6]string{"1. a", "1. a", `"1. a"`, "1. a", `1\. a`, "1. a"}},
	} {
		for i, medium := range media {
			if got := medium.write(test.text); got != test.want[i] {
				t.Errorf("%s: %q becomes %q, want %q", medium.name, test.text, got, test.want[i])
			}
		}
	}
}

func FuzzJSON(f *testing.F) {
	f.Add("CN=a")
	f.Add("\x1b\x7f\u009b\u202e\U000e0041\U0001f600\xff")
	f.Fuzz(func(t *testing.T, s string) {
		encoded, err := JSON(map[string]string{"a": s}, " ")
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range string(encoded) {
			if r != '\n' && !strconv.IsPrint(r) {
				t.Errorf("%q has %U", encoded, r)
			}
		}
		var back map[string]string
		if err := json.Unmarshal(encoded, &back); err != nil || back["a"] != string([]rune(s)) {
			t.Errorf("%q comes back as %q, %v", s, back["a"], err)
		}
	})
}
