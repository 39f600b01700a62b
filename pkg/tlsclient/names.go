package tlsclient

import (
	"slices"
	"strings"
)

// Names returns short names for clients, one for each program, such as
// "Chrome 30 to 49" or "IE 11 on Windows 7 and 8.1": first browsers, then the other
// kinds. A range covers all known versions between its ends, and a version without a
// platform all known platforms.
func Names(list []*Client) []string {
	selected := make(map[*Client]bool)
	for _, c := range list {
		selected[c] = true
	}
	var names [Crawler + 1][]string
	for i := 0; i < len(clients); {
		software, kind := clients[i].Software, clients[i].Kind
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
				if !selected[&clients[i]] {
					all = false
				} else if p := clients[i].Platform; p != "" && !slices.Contains(platforms, p) {
					platforms = append(platforms, p)
				}
			}
			switch {
			case all:
				run = append(run, version)
				continue
			case platforms != nil:
				end()
				items = append(items, version+" on "+enumerate(shortened(platforms)))
			default:
				end()
			}
		}
		if end(); items != nil {
			names[kind] = append(names[kind], software+" "+enumerate(items))
		}
	}
	return slices.Concat(names[:]...)
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
