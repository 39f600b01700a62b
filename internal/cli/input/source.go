package input

import (
	"maps"
	"slices"

	"tlswatch/pkg/report"
)

// Source returns what a report says about its logs.
func (in *Logs) Source(partial bool) report.Source {
	t := &in.seen
	s := report.Source{Objects: t.objects, OutsideObjects: t.outside, Bytes: t.bytes, Lines: t.lines, MalformedLines: t.malformed, Partial: partial}
	if in.filter.Ignoring() {
		s.Ignored = &t.ignored
	}
	for _, reason := range slices.Sorted(maps.Keys(t.skipped)) {
		s.Skipped = append(s.Skipped, report.SkippedCount{Reason: reason, Count: t.skipped[reason]})
	}
	for _, m := range t.sample {
		e := *m.err
		e.Line = 0 // has a field of its own
		s.Malformed = append(s.Malformed, report.MalformedLine{Object: m.log.Name, Line: m.err.Line, Error: e.Error()})
	}
	for _, f := range t.failed {
		s.FailedObjects = append(s.FailedObjects, report.FailedObject{Object: f.name, Error: f.err.Error()})
	}
	return s
}
