package main

import (
	"encoding/json"
	"fmt"
	"time"

	"tlswatch/internal/dev/chaos/wire"
)

const (
	namespace   = "tlswatch"
	topic       = "arn:aws:sns:" + region + ":" + account + ":chaos"
	logBucket   = "chaos-logs"
	stateBucket = "chaos-state"
)

// A publication is a request that CloudWatch accepted.
type publication struct {
	by      string // the attempt
	data    []wire.Datum
	objects []*logObject
}

// uncertain is what a request says in UncertainRepublishes.
func (p *publication) uncertain() float64 {
	total := 0.0
	for _, d := range p.data {
		if d.Name == "UncertainRepublishes" && len(d.Dims) == 0 {
			total += d.Total
		}
	}
	return total
}

// owns reports whether a datum is of an object.
func (o *logObject) owns(d wire.Datum) bool {
	minutes := d.Time.Sub(o.first) / time.Minute
	return d.Dims["LoadBalancer"] == o.lb && d.Time.Compare(o.first) >= 0 && (minutes == 0 || o.wide && minutes < 5)
}

// A sender is an attempt as the function's log says: a process and Lambda's id
// of the request.
type sender struct {
	process int
	request string
}

// An alertMessage is an alert that SNS accepted, as its text for machines says.
type alertMessage struct {
	by      string // the attempt
	sender  sender
	unheard bool // SNS's answer did not reach the sender

	Rule   string
	Failed int
	Window struct {
		LoadBalancer string
		End          time.Time
		Objects      []string
		ObjectCount  int
	}
}

func readAlert(body []byte) (*alertMessage, error) {
	texts, err := wire.Published(body, topic)
	if err != nil {
		return nil, err
	}
	a := new(alertMessage)
	if err := json.Unmarshal([]byte(texts["sqs"]), a); err != nil {
		return nil, fmt.Errorf("alert: %w", err)
	}
	if a.Rule == "" || a.Failed == 0 || a.Window.LoadBalancer == "" {
		return nil, fmt.Errorf("alert without its facts: %s", texts["sqs"])
	}
	return a, nil
}

func (a *alertMessage) String() string {
	return fmt.Sprintf("%s %s %s: %d failed", a.Rule, a.Window.LoadBalancer, a.Window.End.Format("15:04"), a.Failed)
}
