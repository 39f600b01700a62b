package input

import (
	"fmt"
	"strings"
	"sync/atomic"

	"tlswatch/internal/cli/command"
)

// LoadBalancers are the values of --load-balancer.
type LoadBalancers []*loadBalancer

// A loadBalancer is one of them.
type loadBalancer struct {
	text    string // as the flag has it
	pattern string // NAME, app/NAME or app/NAME/ID, with wildcards
	found   atomic.Bool
}

// ParseLoadBalancers reads the values of --load-balancer. Its errors are about usage.
func ParseLoadBalancers(values []string) (list LoadBalancers, err error) {
	for _, value := range values {
		for _, text := range command.Split(value) {
			pattern := text
			if strings.HasPrefix(text, "arn:") {
				_, path, ok := strings.Cut(text, ":loadbalancer/")
				if !ok {
					return nil, command.Usagef("--load-balancer must be the ARN of a load balancer, not %q", text)
				}
				pattern = path
			}
			list = append(list, &loadBalancer{text: text, pattern: pattern})
		}
	}
	return list, nil
}

// Match reports whether a load balancer, app/NAME/ID, is one of them.
func (l LoadBalancers) Match(path string) bool {
	any := false
	for _, lb := range l {
		if name := part(path, lb.pattern); name != "" && matchFold(lb.pattern, name) {
			any = true
			if !lb.found.Load() {
				lb.found.Store(true)
			}
		}
	}
	return any
}

// A Miss is a value that matches no load balancer.
type Miss struct {
	Value   string
	Nearest string // of the load balancers that there are: "app/a/1, app/b/2 and 3 more"; "" without any
}

// Missing returns the values that matched nothing, where these load balancers are all
// that there are.
func (l LoadBalancers) Missing(paths []string) (list []Miss) {
	const most = 10
	for _, lb := range l {
		if lb.found.Load() {
			continue
		}
		names := command.Nearest(lb.pattern, paths, func(path string) string { return part(path, lb.pattern) })
		list = append(list, Miss{lb.text, listed(names, most)})
	}
	return list
}

// listed writes the first names of a list.
func listed(names []string, most int) string {
	if len(names) <= most {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
}

// part returns the part of app/NAME/ID that a pattern is about.
func part(path, pattern string) string {
	kind, rest, _ := strings.Cut(path, "/")
	name, _, _ := strings.Cut(rest, "/")
	switch strings.Count(pattern, "/") {
	case 0:
		return name
	case 1:
		return path[:min(len(kind)+1+len(name), len(path))]
	}
	return path
}

// matchFold reports whether s matches a pattern in any case. A * stands for any
// characters but a slash, a ? for one.
func matchFold(pattern, s string) bool {
	star, from := -1, 0 // after the last *, and where it ends in s
	p, i := 0, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			p++
			star, from = p, i
		case p < len(pattern) && (pattern[p] == '?' && s[i] != '/' || lower(pattern[p]) == lower(s[i])):
			p++
			i++
		case star >= 0 && s[from] != '/':
			from++
			p, i = star, from
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}
