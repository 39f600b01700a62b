package price

import (
	"math"
	"time"
)

// A Month is the work of a month, as it is found in logs or assumed.
type Month struct {
	Objects float64 // log objects
	Batches float64 // invocations: one for each object, or for each batch of messages

	Metrics  float64 // metrics with data, in the average hour
	Requests float64 // PutMetricData calls

	Bytes       float64 // of the log objects, after decompression
	StoredBytes float64 // of the log objects as S3 has them

	NamingObjects  float64 // objects with clients that become metric dimensions
	FirstNamings   float64 // those of them with a client that is new in its hour
	AlarmingReads  float64 // objects in windows whose failures reach the alert's minimum
	FailingClients float64 // clients with failures, summed over the objects: lines in the log
	RecordBytes    float64 // of the ledger's records
}

// A Setup is what an operator chooses.
type Setup struct {
	Queue        bool    // SQS between S3 and the function
	Memory       float64 // of the function, MB
	LogDays      float64 // that the log bucket keeps log objects; 0 leaves their storage out, as being paid for anyway
	FunctionDays float64 // that the log group keeps the function's log
	Alarms       float64 // metrics that alarms watch; see [StackAlarms]
	Dashboards   float64
	InsightRules float64
	FreeTier     bool
	ObjectTime   time.Duration // billed for an object; 0 lets the constants below say
}

// What the model takes for granted. The waits are usual within a Region, no
// guarantee; `make load` measures the CPU time.
const (
	WaitS3        = 25 * time.Millisecond // a request to S3, to its reply
	WaitMetrics   = 40 * time.Millisecond // PutMetricData
	ObjectCPU     = 2 * time.Millisecond  // requests, JSON, TLS, for one object
	CPUPerMB      = 7 * time.Millisecond  // gunzip, parse and count, for a decompressed MB
	FullCPU       = 1769                  // MB of memory for which Lambda gives one vCPU
	recordDays    = 30                    // that the state bucket keeps records
	invocationLog = 600                   // bytes that Lambda itself logs of an invocation
	objectLog     = 650                   // bytes of the function's line for an object
	clientLog     = 320                   // bytes of the line for a failing client of an object
	idlePolls     = 5 * 3 * 60            // receive requests an hour: Lambda keeps five long polls of 20 seconds
	receiveBatch  = 10                    // messages that one SQS request can carry
	gigabyte      = 1e9
	daysPerMonth  = HoursPerMonth / 24.0
	ledgerWrites  = 3 // requests for an object: PUT to claim, PUT to commit, LIST of the window
)

// StackAlarms are the metrics that alarms of template.yaml watch, unless its
// parameters add or take away some. A queue has an alarm of its own.
func StackAlarms(queue bool) float64 {
	if queue {
		return 12
	}
	return 11
}

// Usage is what a month takes under a set-up.
func (m Month) Usage(s Setup) Usage {
	var u Usage
	u[CustomMetrics] = m.Metrics
	u[MetricRequests] = m.Requests
	u[FunctionRequests] = m.Batches
	u[S3Writes] = ledgerWrites*m.Objects + m.FirstNamings
	u[S3Reads] = m.Objects + m.NamingObjects + m.AlarmingReads
	u[FunctionTime] = m.seconds(s, u) * s.Memory / 1024
	u[S3Storage] = (m.RecordBytes*recordDays + m.StoredBytes*s.LogDays) / daysPerMonth / gigabyte
	u[BusEvents] = m.Objects
	if s.Queue {
		// Sent by EventBridge one by one; received and deleted in batches.
		u[QueueRequests] = m.Objects + m.Batches + math.Max(m.Batches, m.Objects/receiveBatch) + idlePolls*HoursPerMonth
	}
	logged := m.Batches*invocationLog + m.Objects*objectLog + m.FailingClients*clientLog
	u[LogIngestion] = logged / gigabyte
	u[LogStorage] = logged * s.FunctionDays / daysPerMonth / gigabyte
	u[Alarms] = s.Alarms
	u[Dashboards] = s.Dashboards
	u[InsightRules] = s.InsightRules
	u[InsightEvents] = s.InsightRules * m.FailingClients
	return u
}

// seconds are those that the function runs.
func (m Month) seconds(s Setup, u Usage) float64 {
	if s.ObjectTime > 0 {
		return m.Objects * s.ObjectTime.Seconds()
	}
	waiting := (u[S3Writes]+u[S3Reads])*WaitS3.Seconds() + m.Requests*WaitMetrics.Seconds()
	cpu := m.Objects*ObjectCPU.Seconds() + m.Bytes/million*CPUPerMB.Seconds()
	return waiting + cpu/math.Min(1, s.Memory/FullCPU)
}
