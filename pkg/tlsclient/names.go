package tlsclient

import (
	"cmp"
	"slices"
	"strings"
)

// Names returns short names for clients, one for each program, such as
// "Chrome 30 to 49" or "IE 11 on Windows 7 and 8.1": first browsers, then the other
// kinds, and of a kind first those with most clients. A range covers all known versions
// between its ends, and a version without a platform all known platforms.
func Names(list []*Client) []string {
	selected := make(map[*Client]bool)
	for _, c := range list {
		selected[c] = true
	}
	var programs []program
	for i := 0; i < len(clients); {
		software := clients[i].Software
		p := program{kind: clients[i].Kind}
		var items []string
		var run []string // consecutive versions
		end := func() {
			switch n := len(run); {
			case n > 2:
				items = append(items, run[0]+" to "+run[n-1])
			default:
				items = append(items, run...)
			}
			run = nil
		}
		for i < len(clients) && clients[i].Software == software {
			version := clients[i].Version
			var platforms []string
			all := true
			for ; i < len(clients) && clients[i].Software == software && clients[i].Version == version; i++ {
				if selected[&clients[i]] {
					platforms = append(platforms, clients[i].Platform)
				} else {
					all = false
				}
			}
			if p.clients += len(platforms); all {
				run = append(run, version)
				continue
			}
			if end(); platforms != nil {
				items = append(items, version+" on "+enumerate(shortened(platforms)))
			}
		}
		if end(); items != nil {
			p.name = software + " " + enumerate(items)
			programs = append(programs, p)
		}
	}
	slices.SortStableFunc(programs, func(a, b program) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(b.clients, a.clients)) })
	var names []string
	for _, p := range programs {
		names = append(names, p.name)
	}
	return names
}

// A program is one of those that Names names.
type program struct {
	kind    Kind
	clients int
	name    string
}

// shortened drops a first word that the platform before has too: Windows 7, 8.1.
func shortened(platforms []string) []string {
	short := slices.Clone(platforms)
	for i := 1; i < len(platforms); i++ {
		word, _, _ := strings.Cut(platforms[i-1], " ")
		if rest, ok := strings.CutPrefix(platforms[i], word+" "); ok {
			short[i] = rest
		}
	}
	return short
}

// enumerate returns "a, b and c".
func enumerate(names []string) string {
	n := len(names)
	if n < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:n-1], ", ") + " and " + names[n-1]
}
