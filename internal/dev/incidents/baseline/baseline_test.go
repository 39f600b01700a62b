package baseline

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"tlswatch/pkg/connlog"
	"tlswatch/pkg/incident"
)

var start = time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)

// entries are two hours of 30 connections a minute. A share fails, and another one since
// the onset.
func entries(seed uint64, usual, since float64, onset time.Duration) *Minutes {
	r := rand.New(rand.NewPCG(seed, 1))
	m := NewMinutes()
	for i := range 120 * 30 {
		at := time.Duration(i) * 2 * time.Second
		e := connlog.Entry{
			Time:         start.Add(at),
			Client:       netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 200)}),
			LoadBalancer: "app/shop/1",
			Status:       connlog.StatusSuccess,
		}
		share := usual
		if at >= onset {
			share = since
		}
		if r.Float64() < share {
			e.Status = "Failed:UnmappedConnectionError"
		}
		m.Add(&e)
	}
	return m
}

// At the limit, each baseline has a story in about one of a hundred quiet logs, also of
// those that it was not calibrated on, and finds what is plain to see.
func TestCalibration(t *testing.T) {
	const quiet = 200
	for _, d := range Detectors {
		t.Run(d.Name, func(t *testing.T) {
			t.Parallel()
			var peaks []float64
			for seed := range uint64(quiet) {
				peaks = append(peaks, d.Peak(entries(seed, 0.01, 0.01, 0)))
			}
			limit := Limit(peaks, 0.01)
			above, stories := 0, 0
			for seed := range uint64(quiet) {
				if peaks[seed] > limit {
					above++
				}
				if len(d.Story(entries(quiet+seed, 0.01, 0.01, 0), limit).Incidents) > 0 {
					stories++
				}
			}
			if above > quiet/100 || stories > 4*quiet/100 {
				t.Errorf("limit %v: %d of %d logs that it was calibrated on exceed it, %d others", limit, above, quiet, stories)
			}
			story := d.Story(entries(1, 0.01, 0.3, 70*time.Minute), limit)
			if len(story.Incidents) != 1 {
				t.Fatalf("%d incidents", len(story.Incidents))
			}
			in := story.Incidents[0]
			if late := in.Onset.Until.Sub(start.Add(70 * time.Minute)); late < -10*time.Minute || late > 10*time.Minute {
				t.Errorf("onset %v", in.Onset)
			}
			if in.WorkedBefore.Clients < 150 || len(in.Cohorts[0].Examples) != in.WorkedBefore.Clients {
				t.Errorf("hit: %+v", in.Cohorts)
			}
		})
	}
}

func TestLimit(t *testing.T) {
	var peaks []float64
	for i := range 200 {
		peaks = append(peaks, float64((i*7)%200))
	}
	if got := Limit(peaks, 0.01); got != 197 {
		t.Errorf("got %v: exactly 198 and 199 exceed the limit", got)
	}
}

func TestToy(t *testing.T) {
	story := Toy(entries(1, 0, 1, 70*time.Minute), "TLS13-1-0-2021-06")
	in := story.Incidents[0]
	want := incident.Bracket{After: start.Add(70*time.Minute - 2*time.Second), Until: start.Add(70 * time.Minute)}
	if in.Onset != want || in.Causes[0].Kind != incident.PolicyChange || in.Remedies[0].Policy != "ELBSecurityPolicy-TLS13-1-0-2021-06" {
		t.Errorf("got %+v", in)
	}
	if got := fmt.Sprint(len(Toy(entries(1, 0, 1, 0), "").Incidents[0].Remedies)); got != "0" {
		t.Errorf("%s remedies", got)
	}
}
