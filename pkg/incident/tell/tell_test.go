package tell_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"tlswatch/internal/dev/hostile"
	"tlswatch/internal/dev/reporttest"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/incident/tell"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestLines(t *testing.T) {
	for name, story := range reporttest.Stories() {
		got := strings.Join(tell.Lines(story, tell.Options{}), "\n") + "\n"
		file := filepath.Join("testdata", name+".txt")
		if *update {
			if err := os.WriteFile(file, []byte(got), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), got); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
	}
}

// What never stands in the lines, whatever a story holds.
func TestNever(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	stories := reporttest.Stories()
	for seed := range 300 {
		stories[fmt.Sprint("seed ", seed)] = randomStory(rand.New(rand.NewPCG(uint64(seed), 1)))
	}
	for name, s := range stories {
		for _, o := range []tell.Options{{}, {HideClients: true}, {Location: berlin}} {
			lines := tell.Lines(s, o)
			if faults := append(faultsOfLines(lines), faultsOfParts(s, o)...); len(faults) > 0 {
				t.Fatalf("%s, %+v: %s:\n%s", name, o, strings.Join(faults, "; "), strings.Join(lines, "\n"))
			}
			if all := strings.Join(lines, "\n"); len(s.Remarks) > 0 && !strings.Contains(all, "Note: ") {
				t.Fatalf("%s: no line has the remark:\n%s", name, all)
			}
		}
	}
}

func faultsOfLines(lines []string) (faults []string) {
	if len(lines) == 0 || len(lines) > 8 {
		faults = append(faults, fmt.Sprintf("%d lines", len(lines)))
	}
	for _, line := range lines {
		if len(line) > 72 || strings.TrimSpace(line) == "" || strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }) {
			faults = append(faults, fmt.Sprintf("the line %q", line))
		}
	}
	return faults
}

var (
	never = regexp.MustCompile(`(?i)ignore|discount|arn:|://|\d{12}|UnmappedConnectionError|client offered`)

	clockTime  = regexp.MustCompile(`\d\d:\d\d\b`)
	zoned      = regexp.MustCompile(`\d\d:\d\d(:\d\d)? [A-Z]{3,4}`)
	policyName = regexp.MustCompile(`(ELBSecurityPolicy|TLS-?1\d)-[\w-]+`)
)

func faultsOfParts(s *incident.Story, o tell.Options) (faults []string) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	var first incident.Incident
	if len(s.Incidents) > 0 {
		first = s.Incidents[0]
	}
	topics := make(map[tell.Topic]int)
	for _, p := range tell.Parts(s, o) {
		topics[p.Topic]++
		if m := never.FindString(p.Text); m != "" {
			fault("%q in %q", m, p.Text)
		}
		if strings.Contains(p.Text, " %") && !regexp.MustCompile(`\d of \d`).MatchString(p.Text) {
			fault("a share without counts: %q", p.Text)
		}
		if clockTime.MatchString(p.Text) && !zoned.MatchString(p.Text) {
			fault("a time without zone: %q", p.Text)
		}
		if o.HideClients && strings.Contains(p.Text, secret) {
			fault("a client: %q", p.Text)
		}
		told := regexp.MustCompile("scanners? or new customers?, never seen working").ReplaceAllString(p.Text, "")
		if first.WorkedBefore.Clients > 0 && strings.Contains(told, "scan") && !slices.ContainsFunc(s.Incidents[1:], func(in incident.Incident) bool { return in.WorkedBefore.Clients == 0 }) {
			fault("a scan although clients stopped working: %q", p.Text)
		}
		if strings.Contains(p.Text, "ause: ") && strings.Contains(p.Text, "policy") && len(first.Vanished)+len(first.Appeared) == 0 {
			fault("a policy although nothing changed: %q", p.Text)
		}
		if strings.HasPrefix(p.Text, "Cause: ") && first.Causes[0].Certainty != incident.Certain && first.Causes[0].Kind != incident.PolicyChange && first.Causes[0].Kind != incident.Scan {
			fault("certain: %q", p.Text)
		}
		if p.Topic == tell.Do && strings.Contains(p.Text, " or ") && first.Remedies[0].Action != incident.Nothing {
			fault("remedies of equal weight: %q", p.Text)
		}
		for _, policy := range policyName.FindAllString(p.Text, -1) {
			if p.Topic != tell.Do || !slices.ContainsFunc(first.Remedies, func(r incident.Remedy) bool { return strings.HasSuffix(r.Policy, policy) }) {
				fault("policy %s in %q", policy, p.Text)
			}
		}
	}
	if topics[tell.Where] != 1 || topics[tell.Do] > 1 {
		fault("%d headlines, %d remedies", topics[tell.Where], topics[tell.Do])
	}
	return faults
}

// secret is part of everything that identifies a client in a random story.
const secret = "5ec7e7"

// randomStory makes a story that no engine would tell: anything may be empty,
// huge, contradictory or hostile.
func randomStory(r *rand.Rand) *incident.Story {
	pick := func(list ...string) string { return list[r.IntN(len(list))] }
	count := func() uint64 { return []uint64{0, 1, 2, 17, 5_335, 123_456_789_012}[r.IntN(6)] }
	counts := func() incident.Counts {
		a, b := count(), count()
		return incident.Counts{Connections: max(a, b), Failed: min(a, b)}
	}
	population := func() incident.Population {
		return incident.Population{Clients: int(count()), Networks: int(count()), Failures: count()}
	}
	when := func() time.Time {
		if r.IntN(6) == 0 {
			return time.Time{}
		}
		return reporttest.Start.Add(time.Duration(r.IntN(200_000)) * time.Second)
	}
	bracket := func() incident.Bracket { return incident.Bracket{After: when(), Until: when()} }
	subject := func() string {
		return "CN=" + secret + pick("", ".example", hostile.Text, strings.Repeat("x", 300), "http://evil.example", "123456789012")
	}
	certificate := func() *incident.Certificate {
		c := &incident.Certificate{Serial: secret + pick("0A", hostile.Text, strings.Repeat("F", 40)), Subject: pick("", subject()), NotAfter: when()}
		if r.IntN(2) == 0 {
			c.Next = &incident.NextCertificate{Subject: subject(), NotAfter: when()}
		}
		return c
	}
	one := func() incident.Incident {
		i := incident.Incident{
			LoadBalancer: pick("", "app/shop/1", "app/"+strings.Repeat("x", 90)+"/1", hostile.Text, "arn:aws:elasticloadbalancing:eu-central-1:123456789012:loadbalancer/net/edge/1", "arn:x://y"),
			Shape:        incident.Shape(pick("step", "ramp", "spike", "flapping", "throughout", "")),
			Onset:        bracket(), Before: counts(), Since: counts(),
			WorkedBefore: population(), NeverWorked: population(), FailedBefore: population(),
		}
		for range r.IntN(6) {
			i.Ports = append(i.Ports, uint16(r.Uint32()))
		}
		for range r.IntN(4) {
			i.Causes = append(i.Causes, incident.Cause{
				Kind: incident.Kind(pick("policy-change", "listener-certificate", "trust-store-change", "certificate-expired", "client-release",
					"client-rollout", "scan", "steady", "one-client", "unknown")),
				Certainty: incident.Certainty(pick("certain", "likely", "possible")), Evidence: []string{secret + hostile.Text},
			})
			i.Cohorts = append(i.Cohorts, incident.Cohort{
				Reason: pick("", "UnmappedConnectionError", hostile.Text), Now: incident.Negotiated{Protocol: "TLSv1.2", Cipher: pick("", hostile.Text)},
				Crowd: r.IntN(2) == 0, Examples: []string{pick(secret, secret+hostile.Text)},
				Before:       &incident.Negotiated{Protocol: pick("TLSv1", hostile.Text), Cipher: pick("AES128-SHA", hostile.Text, strings.Repeat("x", 128))},
				WorkedBefore: int(count()), Software: pick("", "Java 7 or older"),
			})
			i.Remedies = append(i.Remedies, incident.Remedy{
				Action: incident.Action(pick("undo", "set-policy", "check-certificate", "check-trust-store", "renew-certificate", "update-clients", "stop-rollout", "block-addresses", "nothing")),
				Policy: pick("ELBSecurityPolicy-TLS13-1-0-2021-06", "ELBSecurityPolicy-TLS13-1-2-Res-FIPS-2023-04"), Fixes: count(), Of: count(),
				Allows: []string{"CBC", "RSA key exchange", "TLS 1.0"}[:r.IntN(4)], Text: secret,
			})
		}
		for range r.IntN(8) {
			trait := incident.Trait{Negotiated: incident.Negotiated{
				Protocol: pick("", "TLSv1", "TLSv1.3", hostile.Text), Cipher: pick("", "AES128-SHA", "ECDHE-RSA-AES128-SHA", "ECDHE-RSA-AES128-GCM-SHA256", hostile.Text), KeyExchange: pick("", "x25519", hostile.Text),
			}}
			if r.IntN(2) == 0 {
				i.Vanished = append(i.Vanished, trait)
			} else {
				i.Appeared = append(i.Appeared, trait)
			}
		}
		if r.IntN(3) == 0 {
			end := bracket()
			i.End = &end
		}
		if r.IntN(3) == 0 {
			i.Certificate = certificate()
		}
		return i
	}
	s := &incident.Story{First: when(), Last: when(), Counts: counts(), Noise: population(), Unexplained: count(), Sample: []float64{0, 1, 0.125, 0.0001}[r.IntN(4)]}
	for range r.IntN(5) {
		s.Incidents = append(s.Incidents, one())
	}
	for range r.IntN(3) {
		s.Remarks = append(s.Remarks, pick("2 of 40 logs were not read", hostile.Text+strings.Repeat(" word", 30), "s3://bucket/AWSLogs/123456789012/x was not read"))
	}
	return s
}
