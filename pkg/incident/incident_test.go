package incident_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/incidents/world"
	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident"
)

// entries returns the entries of a simulated world, which do not share memory. In a
// large world, they are those of some clients.
func entries(t *testing.T, kind string) (list []connlog.Entry) {
	t.Helper()
	w, err := world.Generate(kind, 1)
	if err != nil {
		t.Fatal(err)
	}
	share := byte(min(w.Truth.Connections/8000+1, 200))
	for _, l := range w.Logs {
		r := connlog.NewReader(bytes.NewReader(l.Text))
		var e connlog.Entry
		for r.Read(&e) == nil {
			if a := e.Client.As16(); a[15]%share != 0 {
				continue
			}
			c := e
			c.ClientCert.Subject, c.ClientCert.Serial = bytes.Clone(e.ClientCert.Subject), bytes.Clone(e.ClientCert.Serial)
			list = append(list, c)
		}
	}
	if len(list) == 0 {
		t.Fatal("no entries")
	}
	return list
}

// story collects entries with some workers.
func story(list []connlog.Entry, workers int, o incident.Options) *incident.Story {
	c := incident.New(o)
	for w := range workers {
		worker := c.Worker()
		for i := w; i < len(list); i += workers {
			worker.Add(&list[i])
		}
		worker.Close()
	}
	return c.Story()
}

func text(t *testing.T, s *incident.Story) string {
	t.Helper()
	b, err := json.MarshalIndent(s, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The story is the same for any order of lines and any number of workers.
func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	told := 0
	for _, kind := range []string{"policy", "scan and policy", "client certificate expired", "two changes", "flapping", "NLB policy"} {
		list := entries(t, kind)
		s := story(list, 1, incident.Options{})
		told += len(s.Incidents)
		want := text(t, s)
		for _, workers := range []int{1, 2, 7} {
			r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
			if got := text(t, story(list, workers, incident.Options{})); got != want {
				t.Fatalf("%s, %d workers:\n%s\nin order:\n%s", kind, workers, got, want)
			}
		}
	}
	if told < 6 {
		t.Errorf("only %d incidents", told)
	}
}

// An event is what some clients do all the time between two minutes.
type event struct {
	from, to int // minutes
	clients  string
	n        int
	every    int // minutes between the connections of a client
	port     uint16
	protocol string
	cipher   string
	reason   string // "" for success
	serial   string
	notAfter time.Time
}

var start = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

func at(minute int) time.Time { return start.Add(time.Duration(minute) * time.Minute) }

func (e event) entries() (list []connlog.Entry) {
	first := netip.MustParseAddr(e.clients)
	for i := range e.n {
		a := first
		for range i {
			a = a.Next()
		}
		for m := e.from + i%e.every; m < e.to; m += e.every {
			x := connlog.Entry{
				Time: at(m).Add(time.Duration(i%60) * time.Second), Client: a, ListenerPort: max(e.port, 443), Protocol: e.protocol, Cipher: e.cipher,
				LoadBalancer: "app/shop/50dc6c495c0c9188", Status: connlog.StatusSuccess,
			}
			if e.reason != "" {
				x.Status = connlog.FailedPrefix + e.reason
			}
			if e.serial != "" {
				x.ClientCert = connlog.ClientCert{Subject: []byte("CN=" + e.serial), Serial: []byte(e.serial), NotAfter: e.notAfter}
			}
			list = append(list, x)
		}
	}
	return list
}

const (
	unmapped = "UnmappedConnectionError"
	gcm      = "ECDHE-RSA-AES128-GCM-SHA256"
	sha      = "ECDHE-RSA-AES128-SHA"
	tls13    = "TLS_AES_128_GCM_SHA256"
)

func TestStories(t *testing.T) {
	others := event{to: 120, clients: "192.0.2.1", n: 40, every: 6, protocol: "TLSv1.3", cipher: tls13}
	modern := event{to: 120, clients: "192.0.3.1", n: 40, every: 6, protocol: "TLSv1.2", cipher: gcm}
	scanners := event{to: 120, clients: "198.51.100.1", n: 6, every: 37, reason: unmapped}
	usual := []event{others, modern, scanners}
	end := at(60).Add(24 * time.Second)
	for _, test := range []struct {
		name   string
		events []event
		want   []string
	}{
		{"nothing", nil, nil},
		{"policy", []event{
			{to: 80, clients: "203.0.113.1", n: 20, every: 5, protocol: "TLSv1", cipher: sha},
			{from: 80, to: 120, clients: "203.0.113.1", n: 20, every: 5, reason: unmapped},
		}, []string{"policy-change likely step 10:19..10:20 worked 20 never 0 failed 0; ECDHE-RSA-AES128-SHA TLSv1 gone; cohort UnmappedConnectionError TLSv1 20"}},
		{"policy, and programs behind shared addresses, which failed before by chance", []event{
			{to: 80, clients: "203.0.113.1", n: 20, every: 5, protocol: "TLSv1", cipher: sha},
			{from: 80, to: 120, clients: "203.0.113.1", n: 20, every: 5, reason: unmapped},
			{to: 120, clients: "203.0.114.1", n: 2, every: 2, protocol: "TLSv1.3", cipher: tls13},
			{from: 20, to: 21, clients: "203.0.114.1", n: 1, every: 1, reason: unmapped},
			{from: 80, to: 120, clients: "203.0.114.1", n: 2, every: 3, reason: unmapped},
		}, []string{"policy-change likely step 10:19..10:20 worked 22 never 0 failed 0; ECDHE-RSA-AES128-SHA TLSv1 gone; cohort UnmappedConnectionError TLSv1 20; cohort UnmappedConnectionError TLSv1.3 2"}},
		{"listener certificate", []event{
			{to: 80, clients: "203.0.113.1", n: 20, every: 5, protocol: "TLSv1.2", cipher: gcm},
			{from: 80, to: 120, clients: "203.0.113.1", n: 20, every: 5, protocol: "TLSv1.2", cipher: gcm, reason: unmapped},
		}, []string{"listener-certificate likely step 10:19..10:20 worked 20 never 0 failed 0; cohort UnmappedConnectionError TLSv1.2 20"}},
		{"trust store", []event{
			{to: 80, clients: "203.0.113.1", n: 20, every: 5, protocol: "TLSv1.2", cipher: gcm},
			{from: 80, to: 120, clients: "203.0.113.1", n: 20, every: 5, protocol: "TLSv1.2", cipher: gcm, reason: "ClientCertUntrusted"},
		}, []string{"trust-store-change likely step 10:19..10:20 worked 20 never 0 failed 0; cohort ClientCertUntrusted TLSv1.2 20"}},
		{"certificate expired", []event{
			{to: 60, clients: "203.0.113.1", n: 1, every: 3, protocol: "TLSv1.2", cipher: gcm, serial: "0A", notAfter: end},
			{from: 61, to: 120, clients: "203.0.113.1", n: 1, every: 3, protocol: "TLSv1.2", cipher: gcm, serial: "0A", notAfter: end, reason: "ClientCertExpired"},
			{to: 120, clients: "203.0.113.9", n: 1, every: 3, protocol: "TLSv1.2", cipher: gcm, serial: "0B", notAfter: at(60 * 24 * 11)},
		}, []string{"certificate-expired certain step 10:00..10:00 worked 1 never 0 failed 0; serial 0A, next CN=0B; cohort ClientCertExpired TLSv1.2 1"}},
		{"one client", []event{
			{to: 60, clients: "203.0.113.1", n: 1, every: 3, protocol: "TLSv1.2", cipher: gcm},
			{from: 60, to: 120, clients: "203.0.113.1", n: 1, every: 3, reason: unmapped},
		}, []string{"one-client likely step 09:57..10:00 worked 1 never 0 failed 0; cohort UnmappedConnectionError TLSv1.2 1"}},
		{"scan", []event{
			{from: 46, to: 62, clients: "45.142.212.1", n: 200, every: 4, reason: unmapped},
		}, []string{"scan likely spike 09:45..09:47 worked 0 never 200 failed 0; cohort UnmappedConnectionError  200"}},
		{"steady", []event{
			{to: 120, clients: "203.0.113.1", n: 3, every: 10, protocol: "TLSv1", cipher: sha, reason: unmapped},
		}, []string{"steady certain throughout worked 0 never 0 failed 3; cohort UnmappedConnectionError TLSv1 3"}},
		{"spike", []event{
			{to: 60, clients: "203.0.113.1", n: 20, every: 5, protocol: "TLSv1", cipher: sha},
			{from: 60, to: 80, clients: "203.0.113.1", n: 20, every: 5, reason: unmapped},
			{from: 80, to: 120, clients: "203.0.113.1", n: 20, every: 5, protocol: "TLSv1", cipher: sha},
		}, []string{"policy-change likely spike 09:59..10:00 ended worked 20 never 0 failed 0; ECDHE-RSA-AES128-SHA TLSv1 gone; cohort UnmappedConnectionError TLSv1 20"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var list []connlog.Entry
			for _, e := range append(slices.Clone(usual), test.events...) {
				list = append(list, e.entries()...)
			}
			s := story(list, 1, incident.Options{})
			var got []string
			for i := range s.Incidents {
				got = append(got, summary(&s.Incidents[i]))
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"), text(t, s))
			}
			if s.Noise.Clients != 6 || s.Unexplained != 0 || s.Sample != 1 {
				t.Errorf("noise %+v, %d unexplained, sample %g", s.Noise, s.Unexplained, s.Sample)
			}
		})
	}
}

func summary(in *incident.Incident) string {
	s := fmt.Sprintf("%s %s %s", in.Causes[0].Kind, in.Causes[0].Certainty, in.Shape)
	if !in.Onset.After.IsZero() {
		s += " " + in.Onset.After.Format("15:04") + ".." + in.Onset.Until.Format("15:04")
	}
	if in.End != nil && in.Causes[0].Kind != incident.Scan {
		s += " ended"
	}
	s += fmt.Sprintf(" worked %d never %d failed %d", in.WorkedBefore.Clients, in.NeverWorked.Clients, in.FailedBefore.Clients)
	if len(in.Vanished) > 0 {
		s += ";"
		for _, t := range in.Vanished {
			s += " " + t.Protocol + t.Cipher
		}
		s += " gone"
	}
	if c := in.Certificate; c != nil {
		s += "; serial " + c.Serial + ", next " + c.Next.Subject
	}
	for _, c := range in.Cohorts {
		protocol := c.Now.Protocol
		if protocol == "" && c.Before != nil {
			protocol = c.Before.Protocol
		}
		s += fmt.Sprintf("; cohort %s %s %d", c.Reason, protocol, c.Clients)
	}
	return s
}

// No address, subject or serial number is in a story that must not name clients.
func TestNames(t *testing.T) {
	list := entries(t, "client certificate expired")
	o := incident.Options{
		ClientName:  func(netip.Addr) string { return "someone" },
		SubjectName: func(string) string { return "something" },
	}
	open, hidden := text(t, story(list, 1, incident.Options{})), text(t, story(list, 1, o))
	secrets := 0
	for i := range list {
		for _, secret := range []string{list[i].Client.String(), string(list[i].ClientCert.Subject), string(list[i].ClientCert.Serial)} {
			if secret = `"` + secret + `"`; len(secret) > 6 && strings.Contains(open, secret) {
				secrets++
				if strings.Contains(hidden, secret) {
					t.Fatalf("%s in\n%s", secret, hidden)
				}
			}
		}
	}
	if secrets == 0 || !strings.Contains(hidden, "someone") || !strings.Contains(hidden, "something") {
		t.Errorf("%d secrets; hidden:\n%s", secrets, hidden)
	}
}

// Whatever the entries, the story is the same in reverse, and its counts add up.
func FuzzStory(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b"), uint8(1))
	f.Add(bytes.Repeat([]byte("ab\x01c\x02d\x83\xff"), 60), uint8(200))
	f.Fuzz(func(t *testing.T, data []byte, spread uint8) {
		statuses := []string{connlog.StatusSuccess, "", "Failed:" + unmapped, "Failed:ClientCertExpired"}
		protocols := []string{"", "TLSv1", "TLSv1.2", "TLSv1.3"}
		var list []connlog.Entry
		now := start
		var failed, all uint64
		for i := 0; i+3 < len(data); i += 4 {
			now = now.Add(time.Duration(int8(data[i])) * time.Duration(spread) * time.Second)
			e := connlog.Entry{
				Time: now, Client: netip.AddrFrom4([4]byte{192, 0, 2, data[i+1] & 15}), ListenerPort: uint16(data[i+1] >> 6),
				Status: statuses[data[i+2]&3], Protocol: protocols[data[i+2]>>2&3],
			}
			if e.Protocol != "" {
				e.Cipher = string('A' + data[i+2]>>4)
			}
			if data[i+3]&1 != 0 {
				e.ClientCert = connlog.ClientCert{Subject: []byte{'C', 'N', '='}, Serial: []byte{data[i+3]}, NotAfter: start}
			}
			list = append(list, e)
			if e.TLS() {
				all++
			}
			if e.Failed() {
				failed++
			}
		}
		s := story(list, 2, incident.Options{})
		want := text(t, s)
		slices.Reverse(list)
		if got := text(t, story(list, 1, incident.Options{})); got != want {
			t.Fatalf("reversed:\n%s\nfirst:\n%s", got, want)
		}
		if s.Failed != failed || s.Connections != all {
			t.Errorf("%+v, want %d of %d", s.Counts, failed, all)
		}
		sum := s.Noise.Failures + s.Unexplained
		for i := range s.Incidents {
			in := &s.Incidents[i]
			sum += in.WorkedBefore.Failures + in.NeverWorked.Failures + in.FailedBefore.Failures
			if len(in.Causes) == 0 || in.Onset.Until.Before(in.Onset.After) {
				t.Errorf("%+v", in)
			}
		}
		if sum > failed {
			t.Errorf("the parts have %d failures of %d", sum, failed)
		}
	})
}
