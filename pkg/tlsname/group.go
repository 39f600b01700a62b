package tlsname

import "strings"

// A Group is a named group for key exchange, with its value on the wire (RFC
// 8446, section 4.2.7).
type Group uint16

type groupRow struct {
	group       Group
	name        string
	postQuantum bool
}

var noGroup groupRow

func (g Group) row() *groupRow {
	for i := range groups {
		if groups[i].group == g {
			return &groups[i]
		}
	}
	return &noGroup
}

// Groups returns the groups that have names, in numerical order.
func Groups() []Group {
	list := make([]Group, len(groups))
	for i := range groups {
		list[i] = groups[i].group
	}
	return list
}

// ParseGroup parses a group's IANA name or another common name (secp256r1,
// prime256v1, P-256, CurveP256, X25519MLKEM768) in any case, or its number:
// 0x001D, 001d, 00,1d. The number of an unknown group is no error.
func ParseGroup(s string) (Group, error) {
	name := strings.TrimSpace(s)
	if i, ok := search(name, len(groupIndex), indexedGroupName); ok {
		at := groupIndex[i] >> 2
		if groupIndex[i]&3 == aliasColumn {
			return groupAliases[at].value, nil
		}
		return groups[at].group, nil
	}
	if v, ok := parseGREASE(name); ok {
		return Group(v), nil
	}
	if v, ok := parseValue(name); ok {
		return Group(v), nil
	}
	return 0, &unknownError{"named group", s}
}

func indexedGroupName(i int) string {
	at := groupIndex[i] >> 2
	if groupIndex[i]&3 == aliasColumn {
		return groupAliases[at].name
	}
	return groups[at].name
}

// String returns the name in IANA's registry "TLS Supported Groups", or the
// number of an unknown group.
func (g Group) String() string {
	switch row := g.row(); {
	case row.name != "":
		return row.name
	case IsGREASE(uint16(g)):
		return greaseName(uint16(g))
	}
	return hex(uint16(g))
}

// Known reports whether the group has a name.
func (g Group) Known() bool { return g.row() != &noGroup }

// PostQuantum reports whether recorded traffic stays secret from a future
// quantum computer: ML-KEM, alone or combined with a classical group.
func (g Group) PostQuantum() bool { return g.row().postQuantum }
