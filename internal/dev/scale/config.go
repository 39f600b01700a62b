package main

import (
	"time"

	"tlswatch/pkg/price"
)

// period is how often each node of a load balancer delivers a log object; all
// nodes deliver at the same times.
const period = 5 * time.Minute

// config is a deployment and its load.
type config struct {
	loadBalancers int
	nodes         int // of each
	periods       int // simulated
	seed          uint64

	// The load of one object.
	bytes   float64 // after decompression, MB
	data    float64 // metric data
	metrics float64 // custom metrics of a load balancer
	failing float64 // failing clients
	record  float64 // KB of its ledger record

	// An object arrives within spread after the end of its period, its event
	// within announce after the object.
	spread, announce time.Duration

	queue       bool
	batch       int           // messages in a batch
	window      time.Duration // how long a consumer waits for a batch to fill
	concurrency int           // the account's, or the reserved or maximum concurrency if lower
	memory      float64       // of the function, MB

	quotas quotas

	// How long each step takes; package price has the constants.
	waitS3, waitMetrics, objectCPU, cpuPerMB, start time.Duration
}

// quotas are per account and Region.
type quotas struct {
	metricCalls   float64       // PutMetricData a second
	s3Writes      float64       // PUT and LIST a second, of the state bucket
	s3Reads       float64       // GET a second, of each bucket
	burst         int           // execution environments that Lambda adds at a time
	burstEach     time.Duration // how often it adds that many
	pollers       int           // a queue's consumers at the start
	pollersMinute int           // consumers added in a minute
	maxPollers    int
}

// defaults has AWS's default quotas and the template's defaults.
//
// Sources: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/cloudwatch_limits.html,
// https://docs.aws.amazon.com/lambda/latest/dg/scaling-behavior.html,
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-scaling.html,
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
func defaults() config {
	return config{
		nodes: 3, periods: 12, seed: 1,
		bytes: 0.37, data: 207, metrics: 39, failing: 10, record: 3.5,
		spread: 10 * time.Second, announce: time.Second,
		batch: 25, window: 15 * time.Second, concurrency: 1000, memory: 512,
		quotas: quotas{
			metricCalls: 500, s3Writes: 3500, s3Reads: 5500,
			burst: 1000, burstEach: 10 * time.Second,
			pollers: 5, pollersMinute: 300, maxPollers: 1000,
		},
		waitS3: price.WaitS3, waitMetrics: price.WaitMetrics, objectCPU: price.ObjectCPU, cpuPerMB: price.CPUPerMB,
		start: 250 * time.Millisecond,
	}
}
