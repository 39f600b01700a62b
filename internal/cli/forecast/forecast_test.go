package forecast

import "testing"

func TestTooManyIsExact(t *testing.T) {
	for all := 1; all <= 200; all++ {
		for percentage := range 101 {
			for n := range all + 1 {
				f := Forecast{Clients: classCounts{counts: counts{Breaks: uint64(n)}}, all: all}
				if got, want := f.TooMany(0, float64(percentage)), n > 0 && 100*n >= percentage*all; got != want {
					t.Fatalf("%d of %d clients, at least %d%%: %t", n, all, percentage, got)
				}
			}
		}
	}
	f := Forecast{Clients: classCounts{counts: counts{Breaks: 11}}, all: 1000}
	if !f.TooMany(0, 1.1) || f.TooMany(0, 1.2) || !f.TooMany(11, 0) || f.TooMany(12, 0) {
		t.Error("wrong for 11 of 1,000 clients")
	}
}
