package forecast

import (
	"strconv"
	"strings"

	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/input"
	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/whatif"
)

// CertificateUsage describes the values of --certificate.
const CertificateUsage = "`KIND` of certificate on the listener, rsa or ecdsa; of one listener PORT=KIND or LOAD-BALANCER:PORT=KIND; repeatable (default: those that connections show)"

// A listenerCertificate is a value of --certificate.
type listenerCertificate struct {
	loadBalancer input.LoadBalancers // empty for all
	port         uint16              // 0 for all
	kind         secpolicy.KeyKinds
}

// parseCertificates parses the values of --certificate. What names the load balancer
// comes before what names only the port, and that before what is about all listeners.
func parseCertificates(values []string) (func(whatif.Listener) secpolicy.KeyKinds, error) {
	var list [3][]listenerCertificate
	for _, value := range values {
		var name string // also of the kinds that follow
		for _, item := range command.Split(value) {
			listener, kind, ok := strings.Cut(item, "=")
			if ok {
				name = listener
			} else {
				kind = item
			}
			c, rank, err := parseListener(name)
			if err == nil {
				c.kind, err = secpolicy.ParseKeyKind(kind)
			}
			if err != nil {
				return nil, command.Usagef("--certificate %s: %w", item, err)
			}
			list[rank] = append(list[rank], c)
		}
	}
	return func(l whatif.Listener) (kinds secpolicy.KeyKinds) {
		for _, of := range list {
			for _, c := range of {
				if (c.port == 0 || c.port == l.Port) && (len(c.loadBalancer) == 0 || c.loadBalancer.Match(l.LoadBalancer)) {
					kinds |= c.kind
				}
			}
			if kinds != 0 {
				break
			}
		}
		return kinds
	}, nil
}

// parseListener parses PORT or LOAD-BALANCER:PORT, and returns how general it is.
func parseListener(name string) (c listenerCertificate, rank int, err error) {
	if name == "" {
		return c, 2, nil
	}
	rank = 1
	number := name
	if i := strings.LastIndexByte(name, ':'); i >= 0 {
		rank = 0
		if c.loadBalancer, err = input.ParseLoadBalancers([]string{name[:i]}); err != nil {
			return c, 0, err
		}
		number = name[i+1:]
	}
	port, err := strconv.ParseUint(number, 10, 16)
	if err != nil || port == 0 {
		return c, 0, command.Usagef("want rsa, ecdsa, PORT=KIND or LOAD-BALANCER:PORT=KIND")
	}
	c.port = uint16(port)
	return c, rank, nil
}
