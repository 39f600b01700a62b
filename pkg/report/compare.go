package report

import (
	"cmp"
	"slices"
	"strconv"
	"time"
)

// A Comparison says what differs from the same span of time earlier.
type Comparison struct {
	Since time.Time  `json:"since"` // of the earlier span
	Until time.Time  `json:"until"`
	First *time.Time `json:"first"` // entry then; null if there were none
	Last  *time.Time `json:"last"`
	Counts

	FailedClients int             `json:"failedClients"` // then
	Differences   []Difference    `json:"differences"`   // the clearest first
	NewClients    []FailingClient `json:"newClients"`    // that fail and did not fail then, most failures first
	GoneClients   []FailingClient `json:"goneClients"`   // the other way round
	TotalNew      int             `json:"totalNewClients"`
	TotalGone     int             `json:"totalGoneClients"`
}

// A Difference is a row of a list that appeared, vanished, or has another failure
// rate than chance explains.
type Difference struct {
	List    string `json:"list"` // "byProtocol"
	Name    string `json:"name"` // in byCipher, protocol and cipher suite
	Now     Counts `json:"now"`
	Earlier Counts `json:"earlier"`

	clarity float64
}

// A FailingClient is a client's failed negotiations.
type FailingClient struct {
	Client string `json:"client"`
	Failed uint64 `json:"failed"`
}

// Failing is how often each client failed.
type Failing map[addr]uint64

// Failing returns the failing clients. It must be called before Result.
func (c *Collector) Failing() Failing {
	list := make(Failing)
	for r := range c.clients.t.All {
		if r.Value.failed > 0 {
			list[r.Key] = r.Value.failed
		}
	}
	return list
}

// chance is how clear a difference must be: the statistic G with one degree of
// freedom is larger in one of a thousand comparisons of equals.
const chance = 10.83

// Compare compares the result, whose failing clients are now, with what another
// Collector found in an earlier span. It lists the top clients; 0 means all.
func (r *Result) Compare(now Failing, earlier *Collector, since, until time.Time, top int) {
	then := earlier.Failing()
	e := earlier.Result(Source{}, 1)
	c := &Comparison{
		Since: since, Until: until, First: e.First, Last: e.Last,
		Counts: Counts{e.Connections, e.Failed}, FailedClients: e.TotalFailedClients, Differences: []Difference{},
	}
	c.NewClients, c.TotalNew = earlier.only(now, then, top)
	c.GoneClients, c.TotalGone = earlier.only(then, now, top)
	r.Comparison = c
	if e.Connections == 0 || r.Connections == 0 {
		return
	}
	earlierLists := e.lists()
	for i, list := range r.lists() {
		names := make(map[string]bool)
		for _, rows := range []map[string]Counts{list.rows, earlierLists[i].rows} {
			for name := range rows {
				names[name] = true
			}
		}
		if len(names) == 1 { // the same as all
			continue
		}
		for name := range names {
			d := Difference{List: list.name, Name: name, Now: list.rows[name], Earlier: earlierLists[i].rows[name]}
			if d.clarity = difference(d.Now, d.Earlier); d.Now.Connections == 0 || d.Earlier.Connections == 0 {
				d.clarity = difference(Counts{r.Connections, d.Now.Connections}, Counts{e.Connections, d.Earlier.Connections})
			}
			if d.clarity > chance {
				c.Differences = append(c.Differences, d)
			}
		}
	}
	slices.SortFunc(c.Differences, func(a, b Difference) int {
		return cmp.Or(cmp.Compare(b.clarity, a.clarity), cmp.Compare(a.List, b.List), cmp.Compare(a.Name, b.Name))
	})
}

// difference is the statistic G for two failure rates.
func difference(a, b Counts) float64 {
	sum := a
	sum.add(b)
	return 2 * (likelihood(a) + likelihood(b) - likelihood(sum))
}

// only lists the clients of one list that another one does not have.
func (c *Collector) only(list, without Failing, top int) (clients []FailingClient, all int) {
	var keys []addr
	for a := range list {
		if without[a] == 0 {
			keys = append(keys, a)
		}
	}
	slices.SortFunc(keys, func(a, b addr) int { return cmp.Or(cmp.Compare(list[b], list[a]), a.compare(b)) })
	all = len(keys)
	if top > 0 {
		keys = keys[:min(top, all)]
	}
	clients = []FailingClient{}
	for _, a := range keys {
		clients = append(clients, FailingClient{c.client(a), list[a]})
	}
	return clients, all
}

type countsByName struct {
	name string
	rows map[string]Counts
}

// lists returns the lists that can be compared.
func (r *Result) lists() []countsByName {
	lists := []countsByName{{name: "byLoadBalancer"}, {name: "byListenerPort"}, {name: "byProtocol"}, {name: "byCipher"}, {name: "byKeyExchange"}}
	for i := range lists {
		lists[i].rows = make(map[string]Counts)
	}
	for _, x := range r.ByLoadBalancer {
		lists[0].rows[x.LoadBalancer] = x.Counts
	}
	for _, x := range r.ByListenerPort {
		lists[1].rows[strconv.Itoa(int(x.Port))] = x.Counts
	}
	for _, x := range r.ByProtocol {
		lists[2].rows[x.Protocol] = x.Counts
	}
	for _, x := range r.ByCipher {
		lists[3].rows[x.Protocol+" "+x.Cipher] = x.Counts
	}
	for _, x := range r.ByKeyExchange {
		lists[4].rows[x.KeyExchange] = x.Counts
	}
	return lists
}
