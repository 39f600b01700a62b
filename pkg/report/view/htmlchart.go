package view

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/report"
)

type (
	// pageChart shows the failure rate and the failures over time, one above the other.
	pageChart struct {
		Per    string
		Width  int // bars
		Panels []pagePanel
		Times  []pageTick
		Onsets []pageOnset
	}
	pagePanel struct {
		Title, Class string
		Values       []pageTick
		Bars         []pageBar
	}
	// pageTick is a label on an axis, at a percentage of its length from the top or left.
	pageTick struct{ At, Anchor, Label string }
	pageBar  struct {
		X         int
		Y, Height string
		Title     string
	}
	// pageOnset marks when an incident began, in bars from the left.
	pageOnset struct{ X, Width, Title string }
	// pageLine is the failure rate of a load balancer over time.
	pageLine struct {
		Name, ID string
		report.Counts
		Rate, Peak string
		Width      int
		Bars       []pageBar
	}
)

const (
	pageBars  = 120 // at most, of the chart
	pageSpark = 60  // at most, bars of a load balancer
	pageLines = 50  // load balancers
)

func chartOf(r *report.Result) *pageChart {
	bars, from, width := r.Bars(pageBars)
	var most uint64
	for _, b := range bars {
		most = max(most, b.Failed)
	}
	if most == 0 {
		return nil
	}
	rates := pagePanel{Title: "Failure rate", Class: "r"}
	failures := pagePanel{Title: "Failures per " + per(width), Class: "f"}
	rateTop, countTop := rounded(100*report.Peak(bars).FailureRate()), max(rounded(float64(most)), 2)
	rates.Values = values(rateTop, func(f float64) string { return strconv.FormatFloat(f, 'g', 3, 64) + " %" })
	failures.Values = values(countTop, func(f float64) string {
		if f != math.Trunc(f) {
			return ""
		}
		return text.Count(uint64(f))
	})
	for i, b := range bars {
		title := fmt.Sprintf("%s: %s of %s failed, %s", from.Add(time.Duration(i)*width).Format(pageTime), text.Count(b.Failed), text.Count(b.Connections), text.Percent(b.Failed, b.Connections))
		rates.Bars = append(rates.Bars, barOf(i, min(100*b.FailureRate()/rateTop, 1), title))
		failures.Bars = append(failures.Bars, barOf(i, float64(b.Failed)/countTop, title))
	}
	until := from.Add(time.Duration(len(bars)) * width)
	c := &pageChart{Per: per(width), Width: len(bars), Panels: []pagePanel{rates, failures}, Times: times(from, until)}
	for i := range incidents(r) {
		in := &r.Story.Incidents[i]
		if at := in.Onset.Until; at.Before(from) || at.After(until) { // none
			continue
		}
		begin := in.Onset.After
		if begin.IsZero() || begin.Before(from) {
			begin = in.Onset.Until
		}
		at := func(t time.Time) float64 { return float64(t.Sub(from)) / float64(width) }
		wide := max(at(in.Onset.Until)-at(begin), 0.004*float64(len(bars)))
		c.Onsets = append(c.Onsets, pageOnset{decimal(at(begin)), decimal(wide), heading(r, in)})
	}
	return c
}

// barOf is a bar whose height is a share of its panel's.
func barOf(i int, height float64, title string) pageBar {
	return pageBar{i, decimal(100 - 100*height), decimal(100 * height), title}
}

// rounded returns the next number that is 1, 2 or 5 times a power of ten.
func rounded(f float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(f)))
	for _, n := range []float64{1, 2, 5} {
		if f <= n*unit {
			return n * unit
		}
	}
	return 10 * unit
}

// values are the labels of an axis from 0 to top.
func values(top float64, label func(float64) string) []pageTick {
	return []pageTick{{At: "0", Label: label(top)}, {At: "50", Label: label(top / 2)}, {At: "100", Label: "0"}}
}

// times are the labels of a time axis: round times in the zone of from.
func times(from, until time.Time) (ticks []pageTick) {
	span := until.Sub(from)
	format, most, margin := "15:04", 6, 0.07
	if span >= 24*time.Hour {
		format, most, margin = "Jan 2 15:04", 4, 0.15
	}
	if span >= 8*24*time.Hour {
		format = "Jan 2"
	}
	step := time.Minute
	for _, step = range []time.Duration{time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour,
		2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour, 28 * 24 * time.Hour, 91 * 24 * time.Hour, 364 * 24 * time.Hour} {
		if span/step < time.Duration(most) {
			break
		}
	}
	_, offset := from.Zone()
	zone := time.Duration(offset) * time.Second
	for at := from.Add(zone).Truncate(step).Add(-zone); !at.After(until) && len(ticks) <= most; at = at.Add(step) {
		if at.Before(from) {
			continue
		}
		share := float64(at.Sub(from)) / float64(span)
		anchor := "middle"
		switch {
		case share < margin:
			anchor = "start"
		case share > 1-margin:
			anchor = "end"
		}
		ticks = append(ticks, pageTick{decimal(100 * share), anchor, at.Format(format)})
	}
	return ticks
}

// linesOf returns the time lines of the load balancers, the most changed first.
func linesOf(r *report.Result) (lines []pageLine) {
	_, from, width := r.Bars(pageSpark)
	list := r.BarsByLoadBalancer(pageSpark)
	short := shortNames(r)
	for _, x := range list[:min(len(list), pageLines)] {
		line := pageLine{Name: short(x.LoadBalancer), ID: x.LoadBalancer, Counts: x.Counts, Rate: text.Percent(x.Failed, x.Connections), Peak: rate(report.Peak(x.Bars)), Width: len(x.Bars)}
		peak := report.Peak(x.Bars)
		for i, b := range x.Bars {
			if b.Failed == 0 {
				continue
			}
			line.Bars = append(line.Bars, barOf(i, relative(b, peak),
				fmt.Sprintf("%s: %s of %s failed", from.Add(time.Duration(i)*width).Format(pageTime), text.Count(b.Failed), text.Count(b.Connections))))
		}
		lines = append(lines, line)
	}
	return lines
}
