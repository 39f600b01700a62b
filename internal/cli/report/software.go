package report

import (
	"slices"

	"tlswatch/pkg/incident"
	"tlswatch/pkg/report"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/tlsclient"
)

// addSoftware names the software that negotiates each cipher suite. The policy is that of
// all listeners, nil if it is unknown.
func addSoftware(r *report.Result, policy *secpolicy.Policy) {
	if policy != nil && !alwaysInForce(r, policy) {
		policy = nil
	}
	for i := range r.ByCipher {
		x := &r.ByCipher[i]
		s, ok := tlsclient.NewSighting(x.Protocol, x.Cipher, "")
		if !ok || x.Connections == x.Failed {
			continue
		}
		s.Policy = policy
		if c := tlsclient.Consistent(s); c.Known() {
			x.Software = c.String()
		}
	}
}

// alwaysInForce reports whether nothing in the log speaks against a policy: neither what
// succeeded, nor an incident that a change of policy may explain.
func alwaysInForce(r *report.Result, policy *secpolicy.Policy) bool {
	for _, x := range r.ByCipher {
		o, ok := secpolicy.ParseOffer(x.Protocol, x.Cipher, "")
		if ok && x.Connections > x.Failed && !policy.Admits(o) {
			return false
		}
	}
	return r.Story == nil || !slices.ContainsFunc(r.Story.Incidents, func(in incident.Incident) bool {
		return slices.ContainsFunc(in.Causes, func(c incident.Cause) bool { return c.Kind == incident.PolicyChange })
	})
}
