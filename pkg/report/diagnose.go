package report

import (
	"cmp"
	"slices"

	"tlswatch/internal/table"
)

// Diagnose makes Result explain each kind of failure by why. Policy names the
// security policy that why uses, for people.
func (c *Collector) Diagnose(policy string, why func(Failure) Diagnosis) {
	c.policy, c.diagnose = policy, why
}

// resultDiagnoses adds diagnoses to the rows of FailedNegotiations, which are the
// rows of c.failures in the given order, and sums them up over all failures.
func (c *Collector) resultDiagnoses(r *Result, order []uint32) {
	r.Policy = c.policy
	number := make(map[[3]string]int)   // in r.Diagnoses
	of := make([]int, 0, c.kinds.Len()) // diagnosis of each kind
	for s := range c.kinds.All {
		d := c.diagnose(s.Key)
		k := [3]string{d.ID, d.Cause, d.Remedy}
		if _, ok := number[k]; !ok {
			number[k] = len(r.Diagnoses)
			r.Diagnoses = append(r.Diagnoses, d)
		}
		of = append(of, number[k])
	}
	f := &c.failures.t
	for i, n := range order {
		r.FailedNegotiations[i].Diagnosis = r.Diagnoses[of[f.At(int(n)).Key.kind]].Cause
	}
	byClient, _ := first(f, 0, func(*failureRow) bool { return true }, func(a, b *table.Row[clientFailure, failureRow]) int {
		return cmp.Or(cmp.Compare(a.Key.client.hi, b.Key.client.hi), cmp.Compare(a.Key.client.lo, b.Key.client.lo), cmp.Compare(of[a.Key.kind], of[b.Key.kind]))
	})
	var last clientFailure // client and diagnosis
	for i, n := range byClient {
		row := f.At(int(n))
		is := clientFailure{row.Key.client, int32(of[row.Key.kind])}
		d := &r.Diagnoses[is.kind]
		d.Failures += row.Value.n
		if i == 0 || is != last {
			d.Clients++
		}
		last = is
	}
	r.Diagnoses = slices.DeleteFunc(r.Diagnoses, func(d Diagnosis) bool { return d.Failures == 0 || d.Cause == "" })
	slices.SortFunc(r.Diagnoses, func(a, b Diagnosis) int {
		return cmp.Or(cmp.Compare(b.Failures, a.Failures), cmp.Compare(a.ID, b.ID), cmp.Compare(a.Cause, b.Cause))
	})
}
