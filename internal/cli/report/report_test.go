package report

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"tlswatch/internal/cli/clitest"
	"tlswatch/internal/cli/command"
	"tlswatch/internal/cli/hello"
	"tlswatch/internal/localaws/elb"
	"tlswatch/internal/localaws/wire"
	"tlswatch/pkg/report"
	"tlswatch/pkg/secpolicy"
)

// One object that cannot be read: the others are in the report, it is named,
// and the exit status is 1.
func TestReportS3OneFails(t *testing.T) {
	b := clitest.NewBucket(t)
	keys := b.Fill(t, 60)
	t.Setenv("AWS_ENDPOINT_URL_S3", clitest.NewProxy(t, b, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, keys[31]) {
			return false
		}
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, `<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>`)
		return true
	}))
	status, stdout, stderr := clitest.Run(t.Context(), New(), "report", "--format", "json", "s3://"+clitest.BucketName)
	var r report.Result
	if err := json.Unmarshal([]byte(stdout), &r); err != nil {
		t.Fatal(err)
	}
	bad := "s3://" + clitest.BucketName + "/" + keys[31]
	if status != command.ExitFailed || r.Objects != 59 || r.Connections != 118 || r.Failed != 59 || r.Partial {
		t.Errorf("exit status %d, %d objects, %d connections", status, r.Objects, r.Connections)
	}
	if len(r.FailedObjects) != 1 || r.FailedObjects[0].Object != bad || !strings.Contains(stderr, bad) {
		t.Errorf("failed %v; %s", r.FailedObjects, stderr)
	}
}

// --policy live judges each listener by the policy that it has.
func TestReportLive(t *testing.T) {
	b := clitest.NewBucket(t)
	b.ELB.SetLoadBalancers(elb.LoadBalancer{Path: "app/shop/50dc6c495c0c9188", Listeners: []elb.Listener{
		{Port: 443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-TLS13-1-3-2021-06"},
		{Port: 8443, Protocol: "HTTPS", SSLPolicy: "ELBSecurityPolicy-2016-08"},
	}})
	lines := ""
	for _, listener := range []string{"443 app/shop/50dc6c495c0c9188", "8443 app/shop/50dc6c495c0c9188", "443 app/unknown/1"} {
		port, loadBalancer, _ := strings.Cut(listener, " ")
		lines += "2026-11-23T10:00:00.000000Z 203.0.113.7 36280 " + port + ` TLSv1.2 ECDHE-RSA-AES256-SHA - "-" - - Failed:UnmappedConnectionError TID_1 - ` + loadBalancer + " 192.0.2.1\n"
	}
	var stdout, stderr bytes.Buffer
	if status := clitest.RunIO(t.Context(), New(), []string{"report", "--policy", "live", "--format", "json", "-"}, strings.NewReader(lines), &stdout, &stderr); status != command.ExitOK {
		t.Fatal(stderr.String())
	}
	var r report.Result
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range r.FailedNegotiations {
		for _, d := range r.Diagnoses {
			if d.Cause == x.Diagnosis {
				got = append(got, fmt.Sprint(x.LoadBalancer, ":", x.Port, " ", d.ID))
			}
		}
	}
	want := []string{
		"app/shop/50dc6c495c0c9188:443 " + string(secpolicy.ProtocolRefused),
		"app/shop/50dc6c495c0c9188:8443 " + string(secpolicy.OfferAccepted),
		"app/unknown/1:443 " + string(secpolicy.PolicyUnknown),
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if said := "tlswatch: --policy live: there is no app/unknown/1; if it is in another Region, use --region\n"; stderr.String() != said {
		t.Errorf("standard error has %q, want %q", &stderr, said)
	}

	b.ELB.SetFaults(func(string, int) wire.Fault { return wire.Refuse(403, "AccessDenied") })
	status, _, text := clitest.Run(t.Context(), New(), "report", "--policy", "live", "x.log")
	if status != command.ExitFailed || !strings.Contains(text, "elasticloadbalancing:DescribeLoadBalancers") {
		t.Errorf("denied: exit status %d, %s", status, text)
	}
}

// Ctrl-C shows what was read so far.
func TestReportInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	stdin, feed := io.Pipe()
	defer feed.Close()
	go func() {
		fmt.Fprintf(feed, clitest.SuccessLine, "192.0.2.1")
		io.WriteString(feed, strings.Repeat(" ", 1<<17)+"\n") // so that the first line is handed on
		cancel()
	}()
	var stdout, stderr bytes.Buffer
	status := clitest.RunIO(ctx, New(), []string{"report", "-"}, stdin, &stdout, &stderr)
	if status != command.ExitInterrupted || !strings.HasPrefix(stdout.String(), "PARTIAL: interrupted") || !strings.Contains(stdout.String(), "1 connection,") {
		t.Errorf("exit status %d\n%s", status, &stdout)
	}
	if !strings.Contains(stderr.String(), "the result is partial") {
		t.Errorf("standard error: %s", &stderr)
	}
}

// What captures do not show is said, as hello says it.
func TestReportCaptureRemarks(t *testing.T) {
	whole, err := os.ReadFile(clitest.Path("pkg/clienthello/testdata/captures/openssl_cbc_fail.pcap"))
	if err != nil {
		t.Fatal(err)
	}
	// The same with a snap length of 100, by which the ClientHello is cut.
	const fileHeader, packetHeader, snap = 24, 16, 100
	short := slices.Clone(whole[:fileHeader])
	for rest := whole[fileHeader:]; len(rest) > 0; {
		n := binary.LittleEndian.Uint32(rest[8:])
		kept := min(n, snap)
		short = append(short, rest[:8]...)
		short = binary.LittleEndian.AppendUint32(short, kept)
		short = append(short, rest[12:packetHeader+kept]...)
		rest = rest[packetHeader+n:]
	}
	dir := t.TempDir()
	capture, log := filepath.Join(dir, "short.pcap"), filepath.Join(dir, "conn.log")
	if err := errors.Join(os.WriteFile(capture, short, 0o666), os.WriteFile(log, fmt.Appendf(nil, clitest.SuccessLine, "192.0.2.1"), 0o666)); err != nil {
		t.Fatal(err)
	}
	for cmd, args := range map[*cobra.Command][]string{New(): {"report", "--captures", capture, log}, hello.New(): {"hello", capture}} {
		status, _, stderr := clitest.Run(t.Context(), cmd, args...)
		if status != command.ExitOK || !strings.Contains(stderr, "tlswatch: 1 TCP packet is truncated by the snap length: capture with 'tcpdump -s 0'\n") {
			t.Errorf("%s: exit status %d, %s", args[0], status, stderr)
		}
	}
}

// Package report knows no security policies, so it has the number of days again.
func TestCertificateDays(t *testing.T) {
	if report.CertificateDays*24*time.Hour != secpolicy.ExpiryWarning {
		t.Errorf("reports list certificates %d days before their expiry, diagnoses warn %v before", report.CertificateDays, secpolicy.ExpiryWarning)
	}
}
