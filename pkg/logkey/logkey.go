// Package logkey reads the S3 keys of log objects, and checks the identifiers of
// load balancers, accounts and Regions.
package logkey

import (
	"errors"
	"fmt"
	"time"
)

// Period is the time that one log object covers: each load-balancer node
// delivers an object every five minutes.
const Period = 5 * time.Minute

// A Key is what the S3 key of a log object says.
//
// Elastic Load Balancing puts everything into the base name: any prefix may
// precede it, the date in the path is that of the delivery, and access and
// health-check logs are in the same directory. CloudWatch, which delivers vended
// logs, puts less into the path. What the key does not say is zero and has to be
// learned from the entries.
type Key struct {
	Account      string    // AWS account of the load balancer, 12 digits
	Region       string    // such as "eu-west-2" or "us-gov-west-1"
	LoadBalancer string    // "app/NAME/ID" or "net/NAME/ID", as in the elb field and in CloudWatch's LoadBalancer dimension
	PeriodEnd    time.Time // end of the Period that the object covers, UTC

	delivered time.Time // without PeriodEnd: the start of the day or hour of delivery, UTC
	hourly    bool      // delivered is an hour
}

// Ends returns bounds of the end of the period that the object covers.
func (k Key) Ends() (earliest, latest time.Time) {
	switch {
	case !k.PeriodEnd.IsZero():
		return k.PeriodEnd, k.PeriodEnd
	case k.hourly:
		return k.delivered, k.delivered.Add(time.Hour)
	}
	return k.delivered, k.delivered.Add(24 * time.Hour)
}

// ErrMixed is found in the error for an object of several load balancers.
var ErrMixed = errors.New("log object has entries of several load balancers")

// Learn sets the load balancer from an entry, "" if the entry has none, unless
// the key names it. It must be called for every entry: two load balancers in one
// object are an error.
func (k *Key) Learn(loadBalancer string) error {
	switch {
	case loadBalancer == k.LoadBalancer || loadBalancer == "":
	case k.LoadBalancer == "":
		k.LoadBalancer = loadBalancer
	default:
		return fmt.Errorf("%w: %s, %s", ErrMixed, k.LoadBalancer, loadBalancer)
	}
	return nil
}

// LearnPeriod sets the period from the time of the newest entry, zero if there is
// none, unless the key has it. The period never ends after the delivery.
func (k *Key) LearnPeriod(newest time.Time) {
	if !k.PeriodEnd.IsZero() {
		return
	}
	earliest, latest := k.Ends()
	if newest.IsZero() {
		newest = earliest
	}
	k.PeriodEnd = newest.Truncate(Period).Add(Period)
	if k.PeriodEnd.After(latest) {
		k.PeriodEnd = latest
	}
}

// An Error says that an object is not a log of TLS connections. That is no
// failure: other objects share the bucket, and are skipped.
type Error struct {
	key    string
	Reason string // what the object is instead; one of a few, so that it can be counted
}

// Reasons of an Error, and names of logs for other packages.
const (
	TestFile       = "test file that Elastic Load Balancing writes when logging is enabled"
	AccessLog      = "access log of an Application Load Balancer"
	HealthCheckLog = "health-check log of an Application Load Balancer"
	ClassicLog     = "access log of a Classic Load Balancer"
	OtherObject    = "not a log of Elastic Load Balancing"
	OtherForm      = "named like a connection log, but not of its form"
	parquet        = "Apache Parquet file: choose json, plain or w3c as the output format of the log delivery"
	otherDelivery  = "delivery of another service"
)

func (e *Error) Error() string {
	return fmt.Sprintf("object key %q: %s", e.key, e.Reason)
}
