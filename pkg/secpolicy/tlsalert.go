package secpolicy

import "fmt"

// diagnoseAlert diagnoses a failure from the alert that the client sent, by its
// name in RFC 8446, section 6.2. Only the TLS logs of Network Load Balancers have
// alerts.
func diagnoseAlert(alert string) Diagnosis {
	switch alert {
	case "unknown_ca", "certificate_unknown", "bad_certificate", "unsupported_certificate", "certificate_expired", "certificate_revoked", "bad_certificate_status_response":
		return Diagnosis{ServerCertRejected,
			fmt.Sprintf("The client rejected the listener's certificate (TLS alert %s).", alert),
			"Check that the listener's certificate is valid, names the host that the client asked for, and chains to a CA that the client trusts. Old clients lack newer CAs.", "", nil}
	case "protocol_version", "handshake_failure", "insufficient_security", "illegal_parameter", "inappropriate_fallback", "no_application_protocol":
		return Diagnosis{ChoiceRejected,
			fmt.Sprintf("The client did not accept what the listener chose (TLS alert %s).", alert),
			"Compare what the client offers with the listener's security policy and ALPN policy. " + capture, "", nil}
	}
	return Diagnosis{ClientAlert,
		fmt.Sprintf("The client ended the handshake with the TLS alert %s.", alert),
		"Check the client's own log for why it sent the alert.", "", nil}
}
