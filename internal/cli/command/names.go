package command

import (
	"cmp"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"tlswatch/pkg/tlsname"
)

// SuiteNames returns the names of cipher suites, as in logs and policies and as in
// captures.
func SuiteNames() []string {
	var names []string
	for _, s := range tlsname.Suites() {
		names = append(names, s.String())
		if iana := s.IANA(); iana != "" && iana != s.String() {
			names = append(names, iana)
		}
	}
	return names
}

// CompleteSuites completes the names of cipher suites, in arguments or in a flag.
func CompleteSuites(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return SuiteNames(), cobra.ShellCompDirectiveNoFileComp
}

// Split splits the value of a flag that takes several.
func Split(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
}

var isByte = regexp.MustCompile(`^(?:0[xX])?[0-9a-fA-F]{2}$`).MatchString

// SplitNames is Split for names of protocols, cipher suites and groups: they may
// be separated as OpenSSL does, by colons, and two bytes are one number, as IANA
// writes them: 0xC0,0x14 or C0,14.
func SplitNames(value string) (list []string) {
	names := Split(strings.ReplaceAll(value, ":", ","))
	for i := 0; i < len(names); i++ {
		name := names[i]
		if i+1 < len(names) && isByte(name) && isByte(names[i+1]) {
			i++
			name += "," + names[i]
		}
		list = append(list, name)
	}
	return list
}

// ParseList parses the values of a flag that takes names, which SplitNames separates and parse
// reads.
func ParseList[T any](flag string, values []string, parse func(string) (T, error)) ([]T, error) {
	var list []T
	for _, value := range values {
		names := SplitNames(value)
		if len(names) == 0 {
			return nil, Usagef("--%s needs a name, not %q", flag, value)
		}
		for _, name := range names {
			v, err := parse(name)
			if err != nil {
				return nil, Usagef("--%s: %w", flag, err)
			}
			list = append(list, v)
		}
	}
	return list, nil
}

// Suggestion is what an error about an unknown name ends with, or "".
func Suggestion(text string, names []string) string { return suggestion(text, names, "") }

// suggestion is Suggestion for names that have a prefix.
func suggestion(text string, names []string, prefix string) string {
	if name := nearest(text, names); name != "" {
		return "; did you mean " + prefix + name + "?"
	}
	return ""
}

// nearest returns the name that text is most likely a typo of, else the only name that
// contains it, or "".
func nearest(text string, names []string) string {
	fold := strings.NewReplacer("_", "-").Replace
	text = fold(strings.ToLower(text))
	best, least := "", max(len(text)/4, 1)+1
	var having []string
	for _, name := range names {
		folded := fold(strings.ToLower(name))
		if d := distance(text, folded); d < least {
			best, least = name, d
		}
		if len(text) >= 4 && strings.Contains(folded, text) {
			having = append(having, name)
		}
	}
	if best == "" && len(having) == 1 {
		return having[0]
	}
	return best
}

// Nearest returns names in the order of how much their keys differ from text in any
// case, those that differ least first.
func Nearest(text string, names []string, key func(string) string) []string {
	names = slices.Clone(names)
	apart := make(map[string]int)
	for _, name := range names {
		apart[name] = distance(strings.ToLower(text), strings.ToLower(key(name)))
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(apart[a], apart[b]), cmp.Compare(a, b)) })
	return names
}

// distance returns how many bytes must be inserted, deleted or replaced to turn one
// text into the other (Levenshtein).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(replaced, last[j+1]+1, row[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(b)]
}
