package main

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/chaos/wire"
)

// history is a world in which all went well: each object was published once,
// and each window that meets a rule was alerted.
func history(t *testing.T, r rule, failed ...int) *world {
	t.Helper()
	w := newWorld(nil, groups[0], 7)
	w.objects, w.rules = nil, []rule{r}
	end := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	for node, n := range failed {
		w.objects = append(w.objects, newLogObject(w.random(), "app/shop/1", end, node, n, false))
	}
	for _, o := range w.objects {
		w.publications = append(w.publications, w.publish(o))
	}
	return w
}

// publish makes the publication of objects that the reference wants, with a
// client, and what the request says of publications before.
func (w *world) publish(objects ...*logObject) *publication {
	p := &publication{by: "a1/1", objects: objects}
	totals := make(map[time.Time]wire.Sum)
	for _, o := range objects {
		for _, d := range o.expected() {
			dims := maps.Clone(d.Dims)
			if dims == nil {
				dims = make(map[string]string)
			}
			dims["LoadBalancer"] = o.lb
			p.data = append(p.data, wire.Datum{Name: d.Name, Dims: dims, Time: d.Time, Sum: o.reference(d.Name, d.Time, d.Dims)})
		}
		all := o.reference("FailedNegotiations", o.first, nil)
		p.data = append(p.data, wire.Datum{Name: "FailedNegotiations", Dims: map[string]string{"LoadBalancer": o.lb, "Client": "other"}, Time: o.first, Sum: all})
		totals[o.first] = totals[o.first].Plus(all)
	}
	for minute, s := range totals {
		p.data = append(p.data, wire.Datum{Name: "FailedNegotiations", Time: minute, Sum: s})
	}
	return p
}

// told has a request say how many of its objects may count twice.
func told(p *publication, n float64) *publication {
	p.data = append(p.data, wire.Datum{Name: "UncertainRepublishes", Sum: wire.Sum{Total: n, Samples: 1}})
	return p
}

func alertOf(w *world, by string, failed int) *alertMessage {
	a := &alertMessage{by: by, sender: sender{request: by}, Rule: w.rules[0].name, Failed: failed}
	a.Window.LoadBalancer, a.Window.End = w.objects[0].lb, w.objects[0].end
	for _, o := range w.objects {
		a.Window.Objects = append(a.Window.Objects, o.uri())
	}
	a.Window.ObjectCount = len(w.objects)
	return a
}

var plainRule = rule{name: "failed-negotiations", minFailed: 10, window: period, growth: 3}

func TestJudge(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(w *world)
		want   string // kinds of violations
	}{
		{"all is well", func(w *world) {}, ""},
		{"object lost", func(w *world) { w.publications = w.publications[1:] }, "lost"},
		{"series lost", func(w *world) {
			p := w.publications[0]
			p.data = slices.DeleteFunc(p.data, func(d wire.Datum) bool { return d.Dims["Reason"] == "ClientCertExpired" })
		}, "lost"},
		{"one connection too many", func(w *world) {
			i := slices.IndexFunc(w.publications[0].data, func(d wire.Datum) bool { return d.Name == "Connections" && len(d.Dims) == 1 })
			w.publications[0].data[i].Total++
		}, "wrong"},
		{"client that the log does not have", func(w *world) {
			for i, d := range w.publications[0].data {
				if d.Dims["Client"] == "other" {
					w.publications[0].data[i].Dims["Client"] = "198.51.100.77"
				}
			}
		}, "wrong"},
		{"failures by client that do not add up", func(w *world) {
			for i, d := range w.publications[0].data {
				if d.Dims["Client"] == "other" {
					w.publications[0].data[i].Total--
				}
			}
		}, "wrong"},
		{"total over load balancers", func(w *world) {
			for i, d := range w.publications[0].data {
				if d.Name == "FailedNegotiations" && len(d.Dims) == 0 {
					w.publications[0].data[i].Samples++
				}
			}
		}, "wrong"},
		{"doubled and not told", func(w *world) { w.publications = append(w.publications, w.publish(w.objects[0])) }, "untold"},
		{"doubled and told", func(w *world) { w.publications = append(w.publications, told(w.publish(w.objects[0]), 1)) }, ""},
		{"told by the one that came first", func(w *world) {
			told(w.publications[0], 1)
			w.publications = append(w.publications, w.publish(w.objects[0]))
		}, ""},
		{"told of another object", func(w *world) {
			told(w.publications[1], 1)
			w.publications = append(w.publications, w.publish(w.objects[0]))
		}, "untold"},
		{"three times, told once", func(w *world) {
			w.publications = append(w.publications, told(w.publish(w.objects[0]), 1), w.publish(w.objects[0]))
		}, "untold"},
		{"two in one request, told as one", func(w *world) { w.publications = append(w.publications, told(w.publish(w.objects...), 1)) }, "untold"},
		{"two in one request, told as two", func(w *world) { w.publications = append(w.publications, told(w.publish(w.objects...), 2)) }, ""},
		{"more clients than the budget", func(w *world) {
			o := w.objects[0]
			_, _, clients := o.failures("")
			for c := range clients {
				w.publications[0].data = append(w.publications[0].data, wire.Datum{
					Name: "FailedNegotiations", Dims: map[string]string{"Client": c, "LoadBalancer": o.lb}, Time: o.first,
					Sum: o.reference("FailedNegotiations", o.first, map[string]string{"Client": c}),
				})
			}
			w.publications[0].data = slices.DeleteFunc(w.publications[0].data, func(d wire.Datum) bool { return d.Dims["Client"] == "other" })
			w.settings["CLIENT_BUDGET"] = "3"
		}, "budget"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := history(t, rule{name: "failed-negotiations", minFailed: 1000, window: period}, 30, 20)
			test.change(w)
			w.judge()
			wantKinds(t, w, test.want)
		})
	}
}

// wantKinds finds violations of one kind, or none.
func wantKinds(t *testing.T, w *world, want string) {
	t.Helper()
	if want == "" && len(w.violations) > 0 || want != "" && len(w.violations) == 0 {
		t.Errorf("violations %v, want kind %q", w.violations, want)
	}
	for _, v := range w.violations {
		if v.kind != want {
			t.Errorf("%s: %s; want kind %q", v.kind, v.text, want)
		}
	}
}

func TestJudgeAlerts(t *testing.T) {
	cooldown := plainRule
	cooldown.cooldown = time.Hour
	clients := plainRule
	clients.name, clients.perClient, clients.minFailed = "client-failures", true, 4
	for _, test := range []struct {
		name   string
		rule   rule
		change func(w *world)
		want   string
	}{
		{"alerted", plainRule, func(w *world) { w.alerts = append(w.alerts, alertOf(w, "a", 50)) }, ""},
		{"missed", plainRule, func(w *world) {}, "missed"},
		{"below the threshold", rule{name: "failed-negotiations", minFailed: 51, window: period, growth: 3}, func(w *world) {}, ""},
		{"below the share", rule{name: "failed-negotiations", minFailed: 10, percent: 100, window: period, growth: 3}, func(w *world) {}, ""},
		{"alert of a part, which has not grown so much since", plainRule, func(w *world) {
			a := alertOf(w, "a", 30)
			a.Window.Objects, a.Window.ObjectCount = a.Window.Objects[:1], 1
			w.alerts = append(w.alerts, a)
		}, ""},
		{"alert of a part, outgrown", plainRule, func(w *world) {
			w.rules[0].growth = 1.5
			a := alertOf(w, "a", 30)
			a.Window.Objects, a.Window.ObjectCount = a.Window.Objects[:1], 1
			w.alerts = append(w.alerts, a)
		}, "missed"},
		{"alert of another window", plainRule, func(w *world) {
			a := alertOf(w, "a", 50)
			w.objects = append(w.objects, newLogObject(w.random(), "app/shop/1", w.objects[0].end.Add(period), 0, 40, false))
			w.publications = append(w.publications, w.publish(w.objects[2]))
			w.alerts = append(w.alerts, a)
		}, "missed"},
		{"alert of another window, in its cooldown", cooldown, func(w *world) {
			a := alertOf(w, "a", 50)
			w.objects = append(w.objects, newLogObject(w.random(), "app/shop/1", w.objects[0].end.Add(period), 0, 40, false))
			w.publications = append(w.publications, w.publish(w.objects[2]))
			w.alerts = append(w.alerts, a)
		}, ""},
		{"number that the window does not have", plainRule, func(w *world) { w.alerts = append(w.alerts, alertOf(w, "a", 49)) }, "wrong"},
		{"twice", plainRule, func(w *world) { w.alerts = append(w.alerts, alertOf(w, "a", 50), alertOf(w, "b", 50)) }, "double"},
		{"twice, taken over", plainRule, func(w *world) {
			w.alerts = append(w.alerts, alertOf(w, "a", 50), alertOf(w, "b", 50))
			w.alertsTold[sender{request: "b"}] = true
		}, ""},
		{"twice, by one that was killed", plainRule, func(w *world) {
			w.alerts = append(w.alerts, alertOf(w, "a", 50), alertOf(w, "b", 50))
			w.muted[sender{request: "b"}] = true
		}, ""},
		{"twice, after one that was killed", plainRule, func(w *world) {
			w.alerts = append(w.alerts, alertOf(w, "a", 50), alertOf(w, "b", 50))
			w.muted[sender{request: "a"}] = true
		}, "double"},
		{"twice by one attempt", plainRule, func(w *world) { w.alerts = append(w.alerts, alertOf(w, "a", 50), alertOf(w, "a", 50)) }, "double"},
		{"twice by one attempt, which told", plainRule, func(w *world) {
			w.alerts = append(w.alerts, alertOf(w, "a", 50), alertOf(w, "a", 50))
			w.alertsTold[sender{request: "a"}] = true
		}, ""},
		{"twice, after one that was killed, and a third took over", plainRule, func(w *world) {
			w.alerts = append(w.alerts, alertOf(w, "a", 50), alertOf(w, "b", 50))
			w.muted[sender{request: "a"}] = true
			w.takeOvers[w.objects[0].lb] = true
		}, ""},
		{"twice, and a third took over", plainRule, func(w *world) {
			w.alerts = append(w.alerts, alertOf(w, "a", 50), alertOf(w, "b", 50))
			w.takeOvers[w.objects[0].lb] = true
		}, "double"},
		{"twice by two attempts, an answer was lost", plainRule, func(w *world) {
			w.alerts = append(w.alerts, alertOf(w, "a", 50), alertOf(w, "b", 50))
			w.alerts[0].unheard = true
		}, "double"},
		{"single client missed", clients, func(w *world) {}, "missed"},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := history(t, test.rule, 30, 20)
			test.change(w)
			w.judge()
			wantKinds(t, w, test.want)
		})
	}
}

// A seed that failed has all of its trace in a file.
func TestTrace(t *testing.T) {
	w := history(t, plainRule, 30)
	w.judge()
	name, err := w.write(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(w.lines, "\n"); !strings.Contains(text, "VIOLATION missed: ") || !strings.HasSuffix(name, "batches-7.trace") {
		t.Errorf("%s:\n%s", name, text)
	}
}
