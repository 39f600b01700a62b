package secpolicy

// ListenerPolicies are names of security policies by listener port. Port 0 is the
// default for all other ports.
type ListenerPolicies map[uint16]string

// At returns the policy of a listener, "" if it is unknown.
func (l ListenerPolicies) At(port uint16) string {
	if name, ok := l[port]; ok {
		return name
	}
	return l[0]
}

// Policy returns the policy of a listener, nil if its name is not known or set
// does not have it.
func (l ListenerPolicies) Policy(set *Set, port uint16) *Policy {
	p, err := set.Lookup(l.At(port))
	if err != nil {
		return nil
	}
	return p
}
