package realtls

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// host is the name by which programs call the servers, all of which are on this machine.
const host = "server.example.test"

// needReal skips a test that runs other programs for minutes, unless TLSWATCH_REAL is
// set.
func needReal(t *testing.T) {
	t.Helper()
	if os.Getenv("TLSWATCH_REAL") == "" {
		t.Skip("SKIPPED: real programs run in `make real`")
	}
}

// A program is an installed TLS client that fetches a page in its default settings.
type program struct {
	path, software, kind string
	version              string // with what it uses: "7.88.1", "OpenSSL 3.0.19"
	library              string
	fetch                func(ctx context.Context, p *program, dir string, port int) *exec.Cmd
}

// known are the programs that can be run, by the name of their executable.
var known = map[string]struct {
	software, kind string
	version        []string // arguments that print it
	pattern        string   // the version, and the library if it has one of its own
	fetch          func(ctx context.Context, p *program, dir string, port int) *exec.Cmd
}{
	"openssl": {"OpenSSL", "library", []string{"version"}, `OpenSSL (\S+)`, func(ctx context.Context, p *program, _ string, port int) *exec.Cmd {
		return exec.CommandContext(ctx, p.path, "s_client", "-connect", local(port), "-servername", host)
	}},
	"gnutls-cli": {"GnuTLS", "library", []string{"--version"}, `gnutls-cli (\S+)`, func(ctx context.Context, p *program, _ string, port int) *exec.Cmd {
		return exec.CommandContext(ctx, p.path, "--insecure", "--sni-hostname", host, "-p", strconv.Itoa(port), "127.0.0.1")
	}},
	"curl": {"curl", "library", []string{"--version"}, `curl (\S+) .*(OpenSSL|GnuTLS)/(\S+)`, func(ctx context.Context, p *program, _ string, port int) *exec.Cmd {
		return exec.CommandContext(ctx, p.path, "-sk", "--connect-to", host+":443:"+local(port), "https://"+host+"/")
	}},
	"wget": {"Wget", "library", []string{"--version"}, `GNU Wget (\S+)`, func(ctx context.Context, p *program, _ string, port int) *exec.Cmd {
		return exec.CommandContext(ctx, p.path, "-q", "-O", "-", "--tries=1", "--no-hsts", "--no-check-certificate", fmt.Sprintf("https://localhost:%d/", port))
	}},
	"python3": {"Python", "library", []string{"-c", "import ssl, sys; print('Python', sys.version.split()[0], ssl.OPENSSL_VERSION)"}, `Python (\S+) (OpenSSL|LibreSSL) (\S+)`, func(ctx context.Context, p *program, _ string, port int) *exec.Cmd {
		c := exec.CommandContext(ctx, p.path, "-c", `import socket, ssl, sys, urllib.request
lookup = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: lookup("127.0.0.1", *rest, **more)
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
urllib.request.urlopen(sys.argv[1], context=context)`, fmt.Sprintf("https://%s:%d/", host, port))
		return c
	}},
	"node": {"Node.js", "library", []string{"-p", "process.version + ' OpenSSL ' + process.versions.openssl"}, `v(\S+) (OpenSSL) ([^\s+]+)`, func(ctx context.Context, p *program, _ string, port int) *exec.Cmd {
		return exec.CommandContext(ctx, p.path, "-e", fmt.Sprintf(`require('https').get({host: '127.0.0.1', port: %d, servername: '%s', rejectUnauthorized: false}).on('error', () => {})`, port, host))
	}},
	"java": {"Java", "library", []string{"-version"}, `version "(\S+)"`, func(ctx context.Context, p *program, dir string, port int) *exec.Cmd {
		c := exec.CommandContext(ctx, p.path, filepath.Join("testdata", "Fetch.java"))
		c.Stdin = strings.NewReader(fmt.Sprintf("%d\t\t\n", port))
		return c
	}},
	"go": {"Go", "library", []string{"version"}, `go version go(\S+)`, func(ctx context.Context, p *program, dir string, port int) *exec.Cmd {
		source, err := os.ReadFile(filepath.Join("testdata", "fetch.go.txt"))
		if err != nil {
			panic(err)
		}
		for name, content := range map[string]string{"main.go": string(source), "go.mod": "module fetch\n\ngo " + languageVersion(p.version) + "\n"} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
				panic(err)
			}
		}
		c := exec.CommandContext(ctx, p.path, "run", "main.go", strconv.Itoa(port))
		c.Dir = dir
		c.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GO111MODULE=on", "GOFLAGS=", "GOROOT=", "PWD="+dir)
		return c
	}},
	"chromium": {"Chromium", "browser", []string{"--version"}, `Chromium (\d+)`, func(ctx context.Context, p *program, dir string, port int) *exec.Cmd {
		return exec.CommandContext(ctx, p.path, "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+dir,
			"--host-resolver-rules=MAP "+host+" 127.0.0.1", "--ignore-certificate-errors", "--dump-dom", fmt.Sprintf("https://%s:%d/", host, port))
	}},
	"firefox-esr": {"Firefox", "browser", []string{"--version"}, `Mozilla Firefox (\S+)esr`, func(ctx context.Context, p *program, dir string, port int) *exec.Cmd {
		settings := fmt.Sprintf("user_pref(\"network.dns.localDomains\", %q);\nuser_pref(\"network.dns.native-is-localhost\", true);\nuser_pref(\"network.captive-portal-service.enabled\", false);\n", host)
		if err := os.WriteFile(filepath.Join(dir, "user.js"), []byte(settings), 0o600); err != nil {
			panic(err)
		}
		c := exec.CommandContext(ctx, p.path, "--headless", "--no-remote", "--profile", dir, "--screenshot", filepath.Join(dir, "page.png"), fmt.Sprintf("https://%s:%d/", host, port))
		c.Env = append(os.Environ(), "HOME="+dir)
		return c
	}},
}

// languageVersion returns the version of the language, which chooses the defaults of
// crypto/tls: 1.26 for 1.26.8.
func languageVersion(version string) string {
	return strings.Join(strings.SplitN(version, ".", 3)[:2], ".")
}

func local(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }

// programs returns the programs on PATH, and those whose paths TLSWATCH_PROGRAMS lists.
func programs(t *testing.T) []*program {
	t.Helper()
	var paths []string
	for name := range known {
		path, err := exec.LookPath(name)
		if err != nil {
			t.Logf("SKIPPED: %s is not on PATH", name)
			continue
		}
		paths = append(paths, path)
	}
	paths = append(paths, filepath.SplitList(os.Getenv("TLSWATCH_PROGRAMS"))...)
	var list []*program
	for _, path := range paths {
		p, err := newProgram(path)
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		list = append(list, p)
	}
	return list
}

func newProgram(path string) (*program, error) {
	k, ok := known[filepath.Base(path)]
	if !ok {
		return nil, errors.New("an unknown program")
	}
	c := exec.Command(path, k.version...)
	c.Env = append(os.Environ(), "GOTOOLCHAIN=local", "GOROOT=", "GOFLAGS=")
	out, err := c.CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	m := regexp.MustCompile(k.pattern).FindSubmatch(out)
	if m == nil {
		return nil, fmt.Errorf("no version in %q", out)
	}
	p := &program{path: path, software: k.software, kind: k.kind, version: string(m[1]), fetch: k.fetch}
	if len(m) == 4 {
		p.library = fmt.Sprintf("%s %s", m[2], m[3])
	}
	return p, nil
}

func (p *program) String() string { return p.software + " " + p.version }

// timeout is for one run of a program. A Go compiler may have to build its library first.
const timeout = 5 * time.Minute
