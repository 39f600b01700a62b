package report

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"tlswatch/internal/cli/clitest"
	"tlswatch/pkg/report"
)

// --compare opens the logs of the span and of the same span earlier, and no others.
// Where there are none, the report says so.
func TestCompareS3(t *testing.T) {
	b := clitest.NewBucket(t)
	at := clitest.Day.Add(10*time.Hour + 2*time.Minute)
	var keys []string
	for n, daysAgo := range []int{0, 1, 2} {
		key := clitest.LogKey(at.AddDate(0, 0, -daysAgo).Add(3*time.Minute), n)
		keys = append(keys, key)
		b.Put(t, key, string(clitest.TinyLog(at.AddDate(0, 0, -daysAgo))))
	}
	var mu sync.Mutex
	var opened []string
	t.Setenv("AWS_ENDPOINT_URL_S3", clitest.NewProxy(t, b, func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, ".log") {
			mu.Lock()
			defer mu.Unlock()
			opened = append(opened, strings.TrimPrefix(r.URL.Path, "/"+clitest.BucketName+"/"))
		}
		return false
	}))
	for _, test := range []struct {
		by     string
		opened []string
		then   uint64
	}{{"1d", keys[:2], 1}, {"5d", keys[:1], 0}} {
		opened = nil
		stdout, stderr := clitest.Want(t, 0, New(), "report", "--since", "2026-11-23 10:00", "--until", "2026-11-23 10:10", "--compare", test.by, "--format", "json", "s3://"+clitest.BucketName)
		var r report.Result
		if err := json.Unmarshal([]byte(stdout), &r); err != nil {
			t.Fatal(err)
		}
		if slices.Sort(opened); !slices.Equal(opened, slices.Sorted(slices.Values(test.opened))) {
			t.Errorf("%s: opened %q, want %q", test.by, opened, test.opened)
		}
		if r.Connections != 1 || r.Comparison == nil || r.Comparison.Connections != test.then || stderr != "" {
			t.Errorf("%s: %d connections, %+v, %s", test.by, r.Connections, r.Comparison, stderr)
		}
	}
}
