package reporttest

import (
	"time"

	"tlswatch/pkg/incident"
)

// storyDay is the day of the stories.
var storyDay = time.Date(2026, 11, 30, 0, 0, 0, 0, time.UTC)

// at is a time of that day.
func at(hour, minute, second int) time.Time {
	return storyDay.Add(time.Duration(hour)*time.Hour + time.Duration(minute)*time.Minute + time.Duration(second)*time.Second)
}

const (
	shop  = "app/shop-prod/50dc6c495c0c9188"
	login = "app/login/0123456789abcdef"
)

// Stories returns a story of every kind and shape, by name. Each call makes them
// anew.
func Stories() map[string]*incident.Story {
	return map[string]*incident.Story{
		"policy":         story(policyChange(), expired()),
		"policy-wider":   story(policyWider()),
		"certificate":    story(listenerCertificate()),
		"trust-store":    story(trustStore()),
		"expired":        story(expired()),
		"expired-likely": story(expiredLikely()),
		"release":        story(release()),
		"rollout":        story(rollout()),
		"scan":           scanOver(),
		"scan-goes-on":   story(scan(nil)),
		"one-client":     story(oneClient()),
		"one-of-many":    story(oneOfMany()),
		"steady":         story(steady()),
		"flapping":       story(flapping()),
		"spike":          story(spike()),
		"unknown":        story(unknown()),
		"no-history":     story(noHistory()),
		"several":        story(policyChange(), rollout(), expired(), scan(nil), oneClient()),
		"partial":        partial(),
		"long":           long(),
		"unexplained":    unexplained(),
		"days":           days(),
		"quiet":          quiet(),
		"quiet-rest":     quietRest(),
		"late":           late(),
		"late-expired":   late(expired()),
		"few":            {First: at(9, 0, 1), Last: at(10, 59, 58), Counts: incident.Counts{Connections: 41, Failed: 3}, Sample: 1},
		"all-good":       {First: at(9, 0, 1), Last: at(10, 59, 58), Counts: incident.Counts{Connections: 27_916}, Sample: 1},
		"empty":          {Sample: 1},
	}
}

func story(incidents ...incident.Incident) *incident.Story {
	s := &incident.Story{
		First: at(9, 0, 1), Last: at(10, 59, 58), Sample: 1,
		Counts: incident.Counts{Connections: 142_880, Failed: 6_306}, Incidents: incidents,
		Noise: incident.Population{Clients: 61, Networks: 40, Failures: 118},
	}
	return s
}

func policyChange() incident.Incident {
	last := at(10, 19, 57)
	java := incident.Negotiated{Protocol: "TLSv1", Cipher: "ECDHE-RSA-AES128-SHA", KeyExchange: "secp256r1"}
	net := incident.Negotiated{Protocol: "TLSv1.2", Cipher: "AES256-SHA"}
	return incident.Incident{
		LoadBalancer: shop, Ports: []uint16{443},
		Causes: []incident.Cause{{
			Kind: incident.PolicyChange, Certainty: incident.Certain, Explains: 5_335,
			Evidence: []string{"TLSv1 had 1,204 successes before 10:20 and none since", "no new combination appeared"},
		}},
		Shape: incident.Step, Onset: incident.Bracket{After: last, Until: at(10, 20, 3)},
		Before:       incident.Counts{Connections: 71_204, Failed: 285},
		Since:        incident.Counts{Connections: 70_911, Failed: 5_602},
		WorkedBefore: incident.Population{Clients: 226, Networks: 190, Failures: 5_335},
		NeverWorked:  incident.Population{Clients: 31, Networks: 31, Failures: 180},
		FailedBefore: incident.Population{Clients: 12, Networks: 9, Failures: 87},
		Cohorts: []incident.Cohort{
			{
				Population: incident.Population{Clients: 171, Networks: 140, Failures: 4_238}, Reason: "UnmappedConnectionError", Before: &java,
				WorkedBefore: 171, LastSuccess: &last, Examples: []string{"203.0.113.7", "203.0.113.9", "198.51.100.20"},
			},
			{
				Population: incident.Population{Clients: 55, Networks: 50, Failures: 1_097}, Reason: "UnmappedConnectionError", Before: &net,
				WorkedBefore: 55, LastSuccess: &last, Examples: []string{"198.51.100.77"}, Crowd: true,
			},
		},
		Vanished: []incident.Trait{
			{Negotiated: incident.Negotiated{Protocol: "TLSv1"}, Before: 9_811},
			{Negotiated: incident.Negotiated{Cipher: "ECDHE-RSA-AES128-SHA"}, Before: 9_120},
			{Negotiated: incident.Negotiated{Cipher: "ECDHE-RSA-AES256-SHA"}, Before: 691},
			{Negotiated: incident.Negotiated{Cipher: "AES256-SHA"}, Before: 3_204},
			{Negotiated: incident.Negotiated{Cipher: "AES128-SHA"}, Before: 320},
		},
		Remedies: []incident.Remedy{
			{Action: incident.UndoChange, Fixes: 5_335, Of: 5_335, Text: "Put the listener's former security policy back."},
			{Action: incident.SetPolicy, Policy: "ELBSecurityPolicy-TLS13-1-0-2021-06", Fixes: 5_335, Of: 5_335, Text: "Set ELBSecurityPolicy-TLS13-1-0-2021-06, which accepts everything that these clients used and that works now."},
			{Action: incident.UpdateClients, Fixes: 5_335, Of: 5_335, Text: "Update the clients: Java 7 and .NET on Windows Server 2008."},
		},
	}
}

// policyWider is a change that brought TLS 1.3 to clients that fail with it, and
// gave the load balancer a policy for more.
func policyWider() incident.Incident {
	i := policyChange()
	i.Vanished = nil
	i.Appeared = []incident.Trait{{Negotiated: incident.Negotiated{Protocol: "TLSv1.3"}, Since: 41_000}, {Negotiated: incident.Negotiated{KeyExchange: "x25519"}, Since: 41_000}}
	i.Causes[0].Certainty = incident.Likely
	i.NeverWorked, i.FailedBefore = incident.Population{}, incident.Population{}
	i.Remedies = []incident.Remedy{{Action: incident.SetPolicy, Policy: "ELBSecurityPolicy-TLS-1-2-Ext-2018-06", Text: "Set TLS-1-2-Ext-2018-06.", Fixes: 4_238, Of: 5_335, Not: []int{1}, Allows: []string{"no-forward-secrecy", "cbc"}}}
	return i
}

func listenerCertificate() incident.Incident {
	i := policyChange()
	i.Vanished, i.Remedies = nil, []incident.Remedy{{Action: incident.CheckCertificate, Fixes: 812, Of: 812, Text: "Check the certificate of 443 and its chain. Put the former one back."}}
	i.Onset = incident.Bracket{After: at(10, 5, 50), Until: at(10, 6, 20)}
	i.Since = incident.Counts{Connections: 30_114, Failed: 934}
	i.WorkedBefore = incident.Population{Clients: 171, Networks: 90, Failures: 812}
	i.NeverWorked, i.FailedBefore = incident.Population{Clients: 9, Networks: 9, Failures: 122}, incident.Population{}
	i.Cohorts = i.Cohorts[:1]
	i.Cohorts[0].Now = incident.Negotiated{Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256", KeyExchange: "secp256r1"}
	i.Causes = []incident.Cause{
		{Kind: incident.ListenerCertificate, Certainty: incident.Likely, Explains: 812, Evidence: []string{"they fail after agreeing on a suite that works for others"}},
		{Kind: incident.ClientRelease, Certainty: incident.Likely, Explains: 812},
	}
	return i
}

func trustStore() incident.Incident {
	i := listenerCertificate()
	i.Ports = []uint16{8443}
	i.Causes = []incident.Cause{{Kind: incident.TrustStoreChange, Certainty: incident.Likely, Explains: 812}}
	i.Cohorts[0].Reason = "ClientCertUntrusted"
	i.Remedies = []incident.Remedy{{Action: incident.CheckTrustStore, Fixes: 812, Of: 812, Text: "Check the listener's trust store and its revocation list."}}
	return i
}

func expired() incident.Incident {
	end := at(10, 30, 24)
	last := at(10, 29, 40)
	i := incident.Incident{
		LoadBalancer: shop, Ports: []uint16{8443},
		Causes: []incident.Cause{{Kind: incident.CertificateExpired, Certainty: incident.Certain, Explains: 38, Evidence: []string{"the certificate ended at 10:30:24 and all of its connections failed since"}}},
		Shape:  incident.Step, Onset: incident.Bracket{After: end, Until: end},
		Before:       incident.Counts{Connections: 4_014, Failed: 2},
		Since:        incident.Counts{Connections: 1_312, Failed: 40},
		WorkedBefore: incident.Population{Clients: 2, Networks: 1, Failures: 38},
		Cohorts: []incident.Cohort{{
			Population: incident.Population{Clients: 2, Networks: 1, Failures: 38}, Reason: "ClientCertExpired",
			Now: incident.Negotiated{Protocol: "TLSv1.2", Cipher: "ECDHE-RSA-AES128-GCM-SHA256"}, WorkedBefore: 2, LastSuccess: &last, Examples: []string{"192.0.2.44", "192.0.2.45"},
		}},
		Certificate: &incident.Certificate{Serial: "0A1B2C3D4E5F6071", Subject: "CN=edi.acme-logistics.example,O=Acme Logistics,C=DE", NotAfter: end},
		Remedies:    []incident.Remedy{{Action: incident.RenewCertificate, Fixes: 38, Of: 38, Text: "The partner must install a new certificate. Nothing on the load balancer needs to change."}},
	}
	i.Certificate.Next = &incident.NextCertificate{Subject: "CN=p3.partner.example", NotAfter: at(0, 0, 0).AddDate(0, 0, 11)}
	return i
}

// expiredLikely fails for its certificate, which the log does not have.
func expiredLikely() incident.Incident {
	i := expired()
	i.Certificate, i.Causes[0].Certainty = nil, incident.Likely
	return i
}

func release() incident.Incident {
	i := listenerCertificate()
	i.Causes = []incident.Cause{{Kind: incident.ClientRelease, Certainty: incident.Possible, Explains: 812}, {Kind: incident.ListenerCertificate, Certainty: incident.Possible, Explains: 812}}
	i.WorkedBefore.Networks = 1
	i.Remedies = []incident.Remedy{{Action: incident.UpdateClients, Fixes: 812, Of: 812, Text: "Update the clients."}, {Action: incident.CheckCertificate, Fixes: 812, Of: 812, Text: "Check the listener's certificate and its chain."}}
	return i
}

func rollout() incident.Incident {
	i := listenerCertificate()
	i.Shape = incident.Ramp
	i.Onset = incident.Bracket{After: at(9, 57, 10), Until: at(9, 58, 30)}
	i.Since = incident.Counts{Connections: 30_114, Failed: 1_897}
	i.WorkedBefore = incident.Population{Clients: 94, Networks: 3, Failures: 1_600}
	i.NeverWorked = incident.Population{}
	i.Causes = []incident.Cause{{Kind: incident.ClientRollout, Certainty: incident.Likely, Explains: 1_600, Evidence: []string{"no instant lies between the last success and the first failure of all of them"}}}
	i.Remedies = []incident.Remedy{{Action: incident.StopRollout, Fixes: 1_600, Of: 1_600, Text: "Ask the owner of these clients to stop the roll-out."}}
	return i
}

func scan(end *incident.Bracket) incident.Incident {
	return incident.Incident{
		LoadBalancer: shop, Ports: []uint16{443},
		Causes: []incident.Cause{{Kind: incident.Scan, Certainty: incident.Likely, Explains: 4_210}},
		Shape:  incident.Step, Onset: incident.Bracket{After: at(10, 45, 58), Until: at(10, 46, 2)}, End: end,
		Before: incident.Counts{Connections: 71_204, Failed: 285}, Since: incident.Counts{Connections: 12_400, Failed: 4_250},
		NeverWorked: incident.Population{Clients: 1_620, Networks: 5, Failures: 4_210},
		Cohorts:     []incident.Cohort{{Population: incident.Population{Clients: 1_620, Networks: 5, Failures: 4_210}, Reason: "UnmappedConnectionError", Examples: []string{"45.142.212.7"}}},
		Remedies:    []incident.Remedy{{Action: incident.Nothing, Of: 4_210, Text: "Nothing: no client that worked before is hit."}, {Action: incident.BlockAddresses, Fixes: 4_210, Of: 4_210, Text: "Block the networks with a network ACL."}},
	}
}

func scanOver() *incident.Story {
	i := scan(&incident.Bracket{After: at(11, 2, 1), Until: at(11, 2, 40)})
	i.Shape = incident.Spike
	s := story(i)
	s.Last = at(11, 59, 58)
	return s
}

func oneClient() incident.Incident {
	last := at(10, 19, 12)
	i := policyChange()
	i.LoadBalancer, i.Vanished = login, nil
	i.Before, i.Since = incident.Counts{Connections: 2_100, Failed: 4}, incident.Counts{Connections: 1_050, Failed: 92}
	i.Onset = incident.Bracket{After: last, Until: at(10, 27, 44)}
	i.WorkedBefore = incident.Population{Clients: 1, Networks: 1, Failures: 85}
	i.NeverWorked, i.FailedBefore = incident.Population{}, incident.Population{}
	i.Cohorts = []incident.Cohort{{Population: i.WorkedBefore, Reason: "UnmappedConnectionError", WorkedBefore: 1, Examples: []string{"2001:db8::7"}, Crowd: true}}
	i.Causes = []incident.Cause{{Kind: incident.OneClient, Certainty: incident.Likely, Explains: 85}}
	i.Remedies = []incident.Remedy{{Action: incident.UpdateClients, Fixes: 85, Of: 85, Text: "Update the clients."}}
	return i
}

// oneOfMany is few clients in so much traffic that the share of failures stays.
func oneOfMany() incident.Incident {
	i := policyChange()
	i.Onset.After = at(10, 2, 0)
	i.Since = incident.Counts{Connections: 70_911, Failed: 290}
	i.WorkedBefore = incident.Population{Clients: 3, Networks: 3, Failures: 21}
	i.NeverWorked, i.FailedBefore = incident.Population{}, incident.Population{}
	i.Vanished = i.Vanished[1:2]
	i.Causes[0].Certainty = incident.Possible
	i.Remedies = i.Remedies[1:2]
	i.Remedies[0].Fixes, i.Remedies[0].Of = 21, 21
	return i
}

func steady() incident.Incident {
	return incident.Incident{
		LoadBalancer: "net/edge/89abcdef01234567", Ports: []uint16{443, 8443},
		Causes: []incident.Cause{{Kind: incident.Steady, Certainty: incident.Certain, Explains: 340}},
		Shape:  incident.Throughout, Since: incident.Counts{Connections: 27_916, Failed: 458},
		FailedBefore: incident.Population{Clients: 4, Networks: 2, Failures: 340},
		Cohorts:      []incident.Cohort{{Population: incident.Population{Clients: 4, Networks: 2, Failures: 340}, Reason: "ClientCertMaxChainDepthExceeded", Examples: []string{"192.0.2.200"}}},
		Remedies:     []incident.Remedy{{Action: incident.UpdateClients, Fixes: 340, Of: 340, Text: "Update the clients."}},
	}
}

func flapping() incident.Incident {
	i := policyChange()
	i.Shape, i.Vanished = incident.Flapping, nil
	i.Causes = []incident.Cause{{Kind: incident.ListenerCertificate, Certainty: incident.Possible, Explains: 5_335}}
	i.Remedies = []incident.Remedy{{Action: incident.CheckCertificate, Fixes: 5_335, Of: 5_335, Text: "Check the listener's certificate and its chain."}}
	return i
}

func spike() incident.Incident {
	i := listenerCertificate()
	i.Shape, i.End = incident.Spike, &incident.Bracket{After: at(10, 31, 0), Until: at(10, 31, 20)}
	return i
}

func unknown() incident.Incident {
	i := policyChange()
	i.Causes, i.Vanished, i.Remedies = []incident.Cause{{Kind: incident.Unknown, Certainty: incident.Possible}}, nil, nil
	return i
}

// noHistory begins with the logs: nobody was seen working.
func noHistory() incident.Incident {
	i := unknown()
	i.Before, i.Onset.After = incident.Counts{}, time.Time{}
	i.WorkedBefore, i.FailedBefore = incident.Population{}, incident.Population{}
	return i
}

func partial() *incident.Story {
	s := story(policyChange(), expired())
	s.Sample = 0.125
	s.Unexplained = 89
	s.Remarks = []string{"2 of 40 logs could not be read: s3://logs/AWSLogs/123456789012/x.log.gz", "one list was full"}
	return s
}

// long is a story whose first incident leaves too few lines for the second.
func long() *incident.Story {
	i := policyChange()
	i.Appeared = []incident.Trait{
		{Negotiated: incident.Negotiated{KeyExchange: "X25519MLKEM768"}, Since: 300}, {Negotiated: incident.Negotiated{KeyExchange: "x25519"}, Since: 200},
		{Negotiated: incident.Negotiated{Protocol: "TLSv1.3"}, Since: 500}, {Negotiated: incident.Negotiated{Cipher: "TLS_AES_128_GCM_SHA256"}, Since: 500},
	}
	return story(i, expired())
}

// unexplained tells the smaller part of the failures.
func unexplained() *incident.Story {
	s := story(policyChange())
	s.Unexplained = 4_000
	return s
}

// days begins on one day and ends on the next.
func days() *incident.Story {
	s := story(policyChange())
	s.First = s.First.AddDate(0, 0, -1)
	return s
}

func quiet() *incident.Story {
	s := story()
	s.Counts = incident.Counts{Connections: 27_916, Failed: 118}
	return s
}

// late begins when most clients that are hit had already stopped working.
func late(incidents ...incident.Incident) *incident.Story {
	s := story(incidents...)
	s.Counts = incident.Counts{Connections: 14_984, Failed: 3_409}
	s.Noise = incident.Population{Clients: 259, Networks: 225, Failures: 3_149}
	return s
}

func quietRest() *incident.Story {
	s := quiet()
	s.Failed, s.Unexplained = 133, 15
	return s
}
