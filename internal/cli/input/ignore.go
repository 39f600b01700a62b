package input

import (
	"bufio"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"tlswatch/internal/cli/command"
)

// An addressSet is a set of addresses as blocks that do not overlap, in order.
type addressSet []netip.Prefix

func (s addressSet) contains(a netip.Addr) bool {
	i, found := slices.BinarySearchFunc(s, a, func(p netip.Prefix, a netip.Addr) int { return p.Addr().Compare(a) })
	return found || i > 0 && s[i-1].Contains(a)
}

// parseIgnored reads the values of --ignore: addresses, CIDR blocks, and files of them.
// Its errors are about usage.
func parseIgnored(values []string) (addressSet, error) {
	var all []netip.Prefix
	for _, value := range values {
		path, isFile := strings.CutPrefix(value, "@")
		if _, err := parsePrefix(value); err != nil && !isFile {
			_, missing := os.Stat(value)
			isFile = missing == nil
		}
		if isFile {
			list, err := readAddresses(path)
			if err != nil {
				return nil, command.Usagef("--ignore: %w", err)
			}
			all = append(all, list...)
			continue
		}
		for _, word := range command.Split(value) {
			p, err := parsePrefix(word)
			if err != nil {
				return nil, command.Usagef("--ignore must be an address, a CIDR block, or @FILE with a list of them, not %q", word)
			}
			all = append(all, p)
		}
	}
	slices.SortFunc(all, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	// A block that begins within the last one is part of it.
	var set addressSet
	for _, p := range all {
		if len(set) == 0 || !set[len(set)-1].Contains(p.Addr()) {
			set = append(set, p)
		}
	}
	return set, nil
}

// readAddresses reads a file with an address or CIDR block a line. A # begins a comment.
func readAddresses(path string) (list []netip.Prefix, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		text, _, _ := strings.Cut(lines.Text(), "#")
		if text = strings.TrimSpace(text); text == "" {
			continue
		}
		p, err := parsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: want an address or a CIDR block, not %q", path, n, text)
		}
		list = append(list, p)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list, nil
}
