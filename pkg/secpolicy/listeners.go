package secpolicy

// ListenerPolicies maps listener ports to names of security policies. Port 0 is
// the default for all other ports.
type ListenerPolicies map[uint16]string

// At returns the name of a listener's policy, "" if unknown.
func (l ListenerPolicies) At(port uint16) string {
	if name, ok := l[port]; ok {
		return name
	}
	return l[0]
}

// Policy returns a listener's policy, nil if its name is unknown or not in set.
func (l ListenerPolicies) Policy(set *Set, port uint16) *Policy {
	p, err := set.Lookup(l.At(port))
	if err != nil {
		return nil
	}
	return p
}
