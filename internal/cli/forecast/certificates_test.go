package forecast

import (
	"strings"
	"testing"

	"tlswatch/pkg/secpolicy"
	"tlswatch/pkg/whatif"
)

func TestParseCertificates(t *testing.T) {
	const rsa, ecdsa = secpolicy.RSA, secpolicy.ECDSA
	shop, other := whatif.Listener{LoadBalancer: "app/shop/1", Port: 443}, whatif.Listener{LoadBalancer: "app/other/2", Port: 8443}
	for _, test := range []struct {
		values      string // separated by spaces
		shop, other secpolicy.KeyKinds
	}{
		{"", 0, 0},
		{"rsa", rsa, rsa},
		{"RSA ecdsa", rsa | ecdsa, rsa | ecdsa},
		{"443=rsa", rsa, 0},
		{"443=rsa ecdsa", rsa, ecdsa},
		{"443=rsa,ecdsa", rsa | ecdsa, 0},
		{"shop:443=ecdsa 443=rsa 8443=rsa", ecdsa, rsa},
		{"app/shop/1:443=ecdsa,rsa", rsa | ecdsa, 0},
		{"sh*:443=rsa shop:8443=ecdsa", rsa, 0},
	} {
		of, err := parseCertificates(strings.Fields(test.values))
		if err != nil {
			t.Errorf("%s: %v", test.values, err)
			continue
		}
		if got, want := [2]secpolicy.KeyKinds{of(shop), of(other)}, [2]secpolicy.KeyKinds{test.shop, test.other}; got != want {
			t.Errorf("%s: %v, want %v", test.values, got, want)
		}
	}
	for _, value := range []string{"dsa", "443=dsa", "shop=rsa", "0=rsa", "65536=rsa", "shop:=rsa", "443=", "arn:aws:x:443=rsa"} {
		if _, err := parseCertificates([]string{value}); err == nil || !strings.HasPrefix(err.Error(), "--certificate "+value+": ") {
			t.Errorf("%s: %v", value, err)
		}
	}
}
