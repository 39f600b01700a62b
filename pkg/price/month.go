package price

import (
	"math"
	"time"
)

// A Month is the work of a month, estimated from logs or assumed.
type Month struct {
	Objects float64 // log objects
	Batches float64 // invocations: one for each object, or for each batch of messages

	Metrics  float64 // metrics with data, in the average hour
	Requests float64 // PutMetricData calls

	Bytes       float64 // of the log objects, after decompression
	StoredBytes float64 // of the log objects in S3

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
	LogDays      float64 // retention of log objects; 0 leaves out their storage, which is paid for anyway
	FunctionDays float64 // retention of the function's log
	Alarms       float64 // metrics that alarms watch; see [StackAlarms]
	Dashboards   float64
	InsightRules float64
	ObjectTime   time.Duration // billed for an object; 0 for the constants below
}

// Assumptions of the model. The waits are typical within a Region, without a guarantee.
// `make load` measures the CPU time.
const (
	WaitS3        = 25 * time.Millisecond // a request to S3, until its reply
	WaitMetrics   = 40 * time.Millisecond // PutMetricData
	ObjectCPU     = 2 * time.Millisecond  // requests, JSON, TLS, for one object
	CPUPerMB      = 7 * time.Millisecond  // decompress, parse and count, per decompressed MB
	FullCPU       = 1769                  // MB of memory for which Lambda gives one vCPU
	recordDays    = 30                    // retention of records in the state bucket
	invocationLog = 600                   // bytes that Lambda itself logs of an invocation
	objectLog     = 650                   // bytes of the function's line for an object
	clientLog     = 320                   // bytes of the line for a failing client of an object
	idlePolls     = 5 * 3 * 60            // receive requests an hour: Lambda keeps five long polls of 20 seconds
	receiveBatch  = 10                    // messages in one SQS request
	gigabyte      = 1e9
	daysPerMonth  = HoursPerMonth / 24.0
	ledgerWrites  = 3 // requests for an object: PUT to claim, PUT to commit, LIST of the window
)

// StackAlarms returns the number of metrics that the alarms of template.yaml watch with
// default parameters. A queue has its own alarm.
func StackAlarms(queue bool) float64 {
	if queue {
		return 12
	}
	return 11
}

// Usage returns the usage of a month with a set-up.
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

// seconds returns the run time of the function.
func (m Month) seconds(s Setup, u Usage) float64 {
	if s.ObjectTime > 0 {
		return m.Objects * s.ObjectTime.Seconds()
	}
	waiting := (u[S3Writes]+u[S3Reads])*WaitS3.Seconds() + m.Requests*WaitMetrics.Seconds()
	cpu := m.Objects*ObjectCPU.Seconds() + m.Bytes/million*CPUPerMB.Seconds()
	return waiting + cpu/math.Min(1, s.Memory/FullCPU)
}
