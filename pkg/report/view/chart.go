package view

import (
	"fmt"
	"math"
	"strings"
	"time"

	"tlswatch/internal/text"
	"tlswatch/pkg/report"
)

// chart draws the failures over time.
func (t *tables) chart() {
	const height, margin = 6, 10
	bars, from, width := t.r.Bars(t.Width - margin - 2)
	var most uint64
	for _, b := range bars {
		most = max(most, b.Failed)
	}
	if most == 0 {
		return
	}
	t.title("FAILURES PER %s", strings.ToUpper(per(width)))
	blocks := []rune(" ▁▂▃▄▅▆▇█")
	axis, corner, line := "│", "└", "─"
	if t.ASCII {
		blocks, axis, corner, line = []rune(" .:#"), "|", "+", "-"
	}
	steps := uint64(len(blocks) - 1)
	for y := height - 1; y >= 0; y-- {
		label := ""
		if y == height-1 {
			label = text.Count(most)
		}
		var row strings.Builder
		for _, b := range bars {
			// Round up, so that every failure shows.
			n := (b.Failed*height*steps + most - 1) / most
			row.WriteRune(blocks[min(max(int64(n)-int64(uint64(y)*steps), 0), int64(steps))])
		}
		fmt.Fprintf(t, "%*s %s%s\n", margin-1, label, axis, t.Red(strings.TrimRight(row.String(), " ")))
	}
	fmt.Fprintf(t, "%*s %s%s\n", margin-1, "0", corner, strings.Repeat(line, len(bars)))
	until := from.Add(time.Duration(len(bars)) * width)
	start, end := from.Format("2006-01-02 15:04"), until.Format("15:04")
	if until.Sub(from) >= 24*time.Hour {
		end = until.Format("2006-01-02 15:04")
	}
	if len(bars) > len(start)+len(end)+1 {
		start += strings.Repeat(" ", len(bars)-len(start)-len(end)) + end
	}
	fmt.Fprintf(t, "%s %s\n", strings.Repeat(" ", margin), start)
}

// sparklines returns the time lines of the load balancers, and the heading of their
// column.
func (t *tables) sparklines() (lines []report.Timeline, times string) {
	const name = 64 // what other columns need
	most := min(max(t.Width-name, 16), 60)
	lines = t.r.BarsByLoadBalancer(most)
	bars, from, _ := t.r.Bars(most)
	if len(bars) < 2 {
		return nil, ""
	}
	return lines, "from " + from.Format("15:04")
}

// sparkline draws the failure rate in each bar, relative to the peak.
func (t *tables) sparkline(bars []report.Counts) string {
	levels := []rune("▁▂▃▄▅▆▇█")
	if t.ASCII {
		levels = []rune("_.:#")
	}
	peak := report.Peak(bars)
	var line strings.Builder
	for _, b := range bars {
		switch rate := b.FailureRate(); {
		case b.Connections == 0:
			line.WriteByte(' ')
		case rate == 0:
			line.WriteRune(levels[0])
		default:
			line.WriteRune(levels[int(math.Ceil(relative(b, peak)*float64(len(levels)-1)))])
		}
	}
	return line.String()
}

// relative is the failure rate of b as a share of the peak's, at most 1.
func relative(b, peak report.Counts) float64 {
	if b.FailureRate() >= peak.FailureRate() {
		return 1
	}
	return b.FailureRate() / peak.FailureRate()
}
