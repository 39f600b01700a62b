package report

import (
	"cmp"
	"slices"
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
	number := make(map[[3]string]int) // in r.Diagnoses
	of := make([]int, 0, c.kinds.n)   // diagnosis of each kind
	for s := range c.kinds.all {
		d := c.diagnose(s.key)
		k := [3]string{d.ID, d.Cause, d.Remedy}
		if _, ok := number[k]; !ok {
			number[k] = len(r.Diagnoses)
			r.Diagnoses = append(r.Diagnoses, d)
		}
		of = append(of, number[k])
	}
	f := &c.failures.t
	for i, n := range order {
		r.FailedNegotiations[i].Diagnosis = r.Diagnoses[of[f.at(int(n)).key.kind]].Cause
	}
	byClient, _ := first(f, 0, func(*failureRow) bool { return true }, func(a, b *row[clientFailure, failureRow]) int {
		return cmp.Or(cmp.Compare(a.key.client.hi, b.key.client.hi), cmp.Compare(a.key.client.lo, b.key.client.lo), cmp.Compare(of[a.key.kind], of[b.key.kind]))
	})
	var last clientFailure // client and diagnosis
	for i, n := range byClient {
		row := f.at(int(n))
		is := clientFailure{row.key.client, int32(of[row.key.kind])}
		d := &r.Diagnoses[is.kind]
		d.Failures += row.value.n
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
