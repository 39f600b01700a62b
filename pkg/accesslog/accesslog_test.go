package accesslog

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
)

// documented is the example of an HTTPS request in AWS's documentation, with the trace id
// that newer lines have.
const documented = `https 2018-07-02T22:23:00.186641Z app/my-loadbalancer/50dc6c495c0c9188 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://www.example.com:443/ HTTP/1.1" "curl/7.46.0" ECDHE-RSA-AES128-GCM-SHA256 TLSv1.2 arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067 "Root=1-58337281-1d84f3d73c47ec4e58577259" "www.example.com" "arn:aws:acm:us-east-2:123456789012:certificate/12345678-1234-1234-1234-123456789012" 1 2018-07-02T22:22:48.364000Z "authenticate,forward" "-" "-" "10.0.0.1:80" "200" "-" "-" TID_1234abcd5678ef90`

func TestParse(t *testing.T) {
	swap := func(pairs ...string) string {
		s := documented
		for i := 0; i < len(pairs); i += 2 {
			if !strings.Contains(s, pairs[i]) {
				t.Fatalf("%q is not in the line", pairs[i])
			}
			s = strings.Replace(s, pairs[i], pairs[i+1], 1)
		}
		return s
	}
	whole := []string{"TID_1234abcd5678ef90", "www.example.com", "curl/7.46.0", "my-targets"}
	with := func(i int, s string) []string {
		list := slices.Clone(whole)
		list[i] = s
		return list
	}
	const sni, noSNI = `"www.example.com" "arn`, `"-" "arn`
	for _, test := range []struct {
		name, line string
		want       []string
		err        error
	}{
		{"documented", documented, whole, nil},
		{"rewritten URL", documented + ` "api.example.com" "/v2/x" TransformSuccess`, whole, nil},
		{"later fields", documented + ` x "y z" "open`, whole, nil},
		{"no SNI", swap(sni, noSNI), whole, nil},
		{"no SNI, address", swap(sni, noSNI, "https://www.example.com:443/", "https://[2001:db8::1]:443/"), with(1, "[2001:db8::1]"), nil},
		{"no SNI, no request", swap(sni, noSNI, "GET https://www.example.com:443/ HTTP/1.1", "- -"), with(1, ""), nil},
		{"no user agent", swap("curl/7.46.0", "-"), with(2, ""), nil},
		{"escaped quotes", swap("curl/7.46.0", `a \" b \\`), with(2, `a \" b \\`), nil},
		{"a quote that is not escaped", swap("curl/7.46.0", `a"b`), with(2, `a"b`), nil},
		{"no target group", swap("arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/my-targets/73e2d6bc24d8a067", "-"), with(3, ""), nil},
		{"a quote without an end", documented[:strings.Index(documented, "curl")+2], nil, errQuote},
		{"written before trace ids", strings.TrimSuffix(documented, " TID_1234abcd5678ef90"), nil, errFields},
		{"another log", "2023-10-04T17:05:15.514108Z 203.0.113.1 36280 443 TLSv1.2 - - - - - Success TID_1", nil, errType},
	} {
		r, err := parse([]byte(test.line))
		if !errors.Is(err, test.err) {
			t.Errorf("%s: error %v, want %v", test.name, err, test.err)
			continue
		}
		if err != nil {
			continue
		}
		if d := gocmp.Diff(test.want, []string{string(r.traceID), string(r.host), string(r.userAgent), string(r.targetGroup)}); d != "" {
			t.Errorf("%s: -want +got\n%s", test.name, d)
		}
	}
}

// line returns an entry.
func line(id, host, agent, group string) string {
	return fmt.Sprintf(`https 2026-11-23T10:01:02.186641Z app/shop/50dc6c495c0c9188 203.0.113.7:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://x:443/ HTTP/1.1" "%s" - - arn:aws:elasticloadbalancing:us-east-2:123456789012:targetgroup/%s/73e2d6bc24d8a067 "-" "%s" "-" 1 - "forward" "-" "-" "-" "-" "-" "-" %s`, agent, group, host, id)
}

func id(n int) string { return fmt.Sprintf("TID_%032x", n) }

func TestJoin(t *testing.T) {
	j := NewJoin()
	j.Want([]byte(id(1)), "a")
	j.Want([]byte(id(2)), "a")
	j.Want([]byte(id(2)), "a") // the log is given twice
	j.Want([]byte(id(3)), "b")
	j.Want([]byte(id(4)), "c")
	j.Want([]byte("opaque"), "c")
	j.Want(nil, "d")
	log := strings.Join([]string{
		line(id(1), "shop.example", "curl", "web"), line(id(1), "shop.example", "curl", "web"), line(id(2), "api.example", "Java/1.7", "api"),
		line(id(3), "-", "-", "web") + ` "h" "/u" TransformSuccess`,
		line(id(9), "x", id(1), "y"), // a trace id in another field
		line("-", "x", "agent "+id(1), "y"),
		strings.Replace(line(id(3), "x", "y", "z"), `"forward"`, `"forward`, 1),
		"", "\r", line(id(3), "b.example", "wget", "web") + "\r",
	}, "\n")
	for _, packed := range []bool{false, true} {
		var in io.Reader = strings.NewReader(log)
		if packed {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			io.WriteString(w, log)
			w.Close()
			in = &b
		}
		if _, err := j.Read(in); err != nil {
			t.Fatal(err)
		}
	}
	clients, read, left := j.Clients()
	want := []Client{
		{"a", 2, 6, []Name{{"shop.example", 4}, {"api.example", 2}}, []Name{{"curl", 4}, {"Java/1.7", 2}}, []Name{{"web", 4}, {"api", 2}}, false},
		{"b", 1, 4, []Name{{"b.example", 2}, {"x", 2}}, []Name{{"wget", 2}}, []Name{{"web", 4}}, false},
		{"c", 2, 0, []Name{}, []Name{}, []Name{}, false},
	}
	if d := gocmp.Diff(want, clients); d != "" {
		t.Errorf("-want +got\n%s", d)
	}
	if read != (Tally{Bytes: int64(2 * len(log)), Lines: 16, Malformed: 2}) || left != 0 {
		t.Errorf("read %+v, %d left out", read, left)
	}
	for _, other := range []string{"2026-11-23T10:01:02.123456Z 203.0.113.7 41000 443 - - - - - - Success TID_a\n", "hello"} {
		if _, err := NewJoin().Read(strings.NewReader(other)); err != errForeign {
			t.Errorf("%q: %v", other, err)
		}
	}
}

// Lines of any length are read in pieces of any length.
func TestPieces(t *testing.T) {
	var log strings.Builder
	want := 0
	for i := range 300 {
		agent := strings.Repeat("x", i*i)
		log.WriteString(line(id(1), "h", agent, "g") + "\n")
		if len(line(id(1), "h", agent, "g")) <= maxLine {
			want++
		}
	}
	for _, size := range []int{1, 7, 4096, 100_000, 1 << 20} {
		j := NewJoin()
		j.Want([]byte(id(1)), "a")
		read, err := j.Read(&pieces{strings.NewReader(log.String()), size})
		clients, _, _ := j.Clients()
		if err != nil || read.Lines != 300 || read.Bytes != int64(log.Len()) || clients[0].Requests != uint64(want) {
			t.Errorf("in pieces of %d: %d of %d requests, read %+v, %v", size, clients[0].Requests, want, read, err)
		}
	}
}

type pieces struct {
	io.Reader
	size int
}

func (p *pieces) Read(b []byte) (int, error) { return p.Reader.Read(b[:min(len(b), p.size)]) }

// Beyond their bound, the names of a client that are kept depend on the names alone.
func TestManyNames(t *testing.T) {
	var lines []string
	for i := range 100 {
		lines = append(lines, line(id(1), fmt.Sprintf("h%02d", i), "-", "-"), line(id(1), fmt.Sprintf("h%02d", i), "-", "-"))
	}
	for range 10 {
		rand.Shuffle(len(lines), func(i, k int) { lines[i], lines[k] = lines[k], lines[i] })
		j := NewJoin()
		j.Want([]byte(id(1)), "a")
		if _, err := j.Read(strings.NewReader(strings.Join(lines, "\n"))); err != nil {
			t.Fatal(err)
		}
		clients, _, _ := j.Clients()
		if c := clients[0]; len(c.Hosts) != maxNames || !c.More || c.Hosts[0] != (Name{"h00", 2}) || c.Hosts[maxNames-1] != (Name{"h31", 2}) || c.Requests != 200 {
			t.Fatalf("%+v", c)
		}
	}
}

// The join equals that of gawk, line for line, with readers at the same time.
func TestGawk(t *testing.T) {
	gawk, err := exec.LookPath("gawk")
	if err != nil {
		t.Skip("SKIPPED: gawk is not on PATH")
	}
	connections, requests := 2_000, 20_000
	if os.Getenv("TLSWATCH_LARGE") != "" {
		connections, requests = 1_000_000, 10_000_000
	}
	dir := t.TempDir()
	random := rand.New(rand.NewPCG(1, 2))
	create := func(name string, write func(io.Writer)) string {
		name = filepath.Join(dir, name)
		f, err := os.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		write(f)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		return name
	}
	j := NewJoin()
	wanted := create("wanted", func(w io.Writer) {
		var b bytes.Buffer
		for i := range connections {
			client := fmt.Sprintf("client%d", random.IntN(500))
			fmt.Fprintln(&b, id(2*i), client)
			j.Want([]byte(id(2*i)), client)
		}
		w.Write(b.Bytes())
	})
	var logs []string
	for part := range 4 {
		logs = append(logs, create(fmt.Sprint("access", part), func(w io.Writer) {
			var b bytes.Buffer
			for range requests / 4 {
				fmt.Fprintln(&b, line(id(random.IntN(4*connections)), fmt.Sprintf("h%d.example", random.IntN(20)), fmt.Sprintf("agent/%d", random.IntN(20)), fmt.Sprintf("t%d", random.IntN(5))))
				if b.Len() > 1<<20 {
					w.Write(b.Bytes())
					b.Reset()
				}
			}
			w.Write(b.Bytes())
		}))
	}
	var readers sync.WaitGroup
	for _, name := range logs {
		readers.Go(func() {
			f, err := os.Open(name)
			if err != nil {
				t.Error(err)
				return
			}
			defer f.Close()
			if _, err := j.Read(f); err != nil {
				t.Error(err)
			}
		})
	}
	readers.Wait()
	var got []string
	clients, _, _ := j.Clients()
	for _, c := range clients {
		for kind, names := range [][]Name{c.Hosts, c.UserAgents, c.TargetGroups} {
			for _, n := range names {
				got = append(got, fmt.Sprintf("%s %d %s %d", c.Client, kind, n.Name, n.Requests))
			}
		}
	}
	slices.Sort(got)
	out, err := exec.Command(gawk, append([]string{`
		function group(s) { match(s, /targetgroup\/[^\/]*/); return substr(s, RSTART + 12, RLENGTH - 12) }
		FILENAME ~ /wanted$/ { of[$1] = $2; next }
		$NF in of {
			split($0, q, "\"")
			count[of[$NF] " 0 " q[8]]++; count[of[$NF] " 1 " q[4]]++; count[of[$NF] " 2 " group($0)]++
		}
		END { for (k in count) print k, count[k] }`, wanted}, logs...)...).Output()
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(strings.TrimSpace(string(out)), "\n")
	slices.Sort(want)
	if d := gocmp.Diff(want, got); d != "" {
		t.Errorf("-gawk +got\n%.2000s", d)
	}
}

// BenchmarkRead reads a log in which one of a thousand lines is wanted, and compares it
// with looking for line feeds.
func BenchmarkRead(b *testing.B) {
	var log bytes.Buffer
	for i := range 100_000 {
		fmt.Fprintln(&log, line(id(i), "shop.example", "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36", "web"))
	}
	j := NewJoin()
	for i := 0; i < 100_000; i += 1000 {
		j.Want([]byte(id(i)), "a")
	}
	b.Run("lines", func(b *testing.B) {
		b.SetBytes(int64(log.Len()))
		for b.Loop() {
			bytes.Count(log.Bytes(), []byte("\n"))
		}
	})
	b.Run("join", func(b *testing.B) {
		b.SetBytes(int64(log.Len()))
		for b.Loop() {
			if _, err := j.Read(bytes.NewReader(log.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(documented))
	f.Add([]byte(line(id(1), "h", "a", "t") + ` "h" "/u" TransformSuccess` + "\n" + line(id(2), "-", "-", "-")))
	f.Fuzz(func(t *testing.T, log []byte) {
		j := NewJoin()
		j.Want([]byte(id(1)), "a")
		j.Want([]byte("TID_1234abcd5678ef90"), "a")
		_, _ = j.Read(bytes.NewReader(log))
		clients, read, _ := j.Clients()
		if clients[0].Requests+read.Malformed+read.Untraced > read.Lines {
			t.Errorf("%+v of %+v", clients[0], read)
		}
	})
}
