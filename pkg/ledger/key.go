package ledger

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
)

// Prefixes of keys in the store. An incompatible format gets another version.
const (
	periodsPrefix = "v1/periods/"
	alertsPrefix  = "v1/alerts/"
	clientsPrefix = "v1/clients/"
)

// Times in keys sort as the times do.
const (
	periodTime = "20060102T1504Z"
	hourTime   = "20060102T15Z"
)

// A recordKey identifies the record of a log object:
//
//	v1/periods/LOAD-BALANCER/PERIOD-END/ID
//
// The load balancer is "app/NAME/ID". The period's end has minutes, so one list
// with a prefix and a start returns the records of consecutive periods in order.
// The id is a hash of the version of the log object, so that all events about it
// lead to the same record.
type recordKey struct {
	loadBalancer string
	periodEnd    time.Time
	id           string
}

func (c Claim) recordKey() recordKey {
	sum := sha256.Sum256([]byte(c.Bucket + "\n" + c.Key + "\n" + c.ETag))
	return recordKey{c.LoadBalancer, c.PeriodEnd, hex.EncodeToString(sum[:16])}
}

func (k recordKey) String() string {
	return periodsPrefix + k.loadBalancer + "/" + k.periodEnd.UTC().Format(periodTime) + "/" + k.id
}

// parseRecordKey reads the key of a load balancer's record.
func parseRecordKey(lb, key string) (recordKey, bool) {
	period, id, _ := strings.Cut(strings.TrimPrefix(key, periodsPrefix+lb+"/"), "/")
	end, err := time.Parse(periodTime, period)
	return recordKey{lb, end, id}, err == nil && id != ""
}

func alertKey(lb, rule string) string { return alertsPrefix + lb + "/" + rule }

func clientsKey(lb string, hour time.Time) string {
	return clientsPrefix + lb + "/" + hour.UTC().Format(hourTime)
}
