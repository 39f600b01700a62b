package view_test

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"tlswatch/internal/dev/connlogtest"
	"tlswatch/internal/dev/reporttest"
	"tlswatch/pkg/incident"
	"tlswatch/pkg/report"
	"tlswatch/pkg/report/view"
)

var screenshots = flag.String("screenshots", "", "directory for pictures of the page")

// htmlPage writes the page of a day whose log tries to inject markup.
func htmlPage(t *testing.T) []byte {
	t.Helper()
	text := string(connlogtest.Log(connlogtest.Options{Seed: 5, Lines: 20_000, Duration: 26 * time.Hour}))
	for range 40 {
		text += reporttest.Line(reporttest.Start, "203.0.113.7", reporttest.Hostile)
	}
	c := reporttest.Collect(t, report.Options{Heat: true, ByListener: true}, text, 1)
	c.Diagnose(`Policy"><script>alert(3)</script>`, func(f report.Failure) report.Diagnosis {
		return report.Diagnosis{ID: "x", Cause: "The client had " + f.Cipher + " only.", Remedy: "Run `tlswatch hello`. <img src=x onerror=alert(4)>"}
	})
	r := c.Result(report.Source{
		Objects: 3, Lines: 20_041, MalformedLines: 1, Partial: true,
		Malformed:     []report.MalformedLine{{Object: "</td><script>alert(5)</script>.log", Line: 3, Error: "x"}},
		Skipped:       []report.SkippedCount{{Reason: "<i>something</i>", Count: 2}},
		FailedObjects: []report.FailedObject{{Object: "javascript:alert(6)", Error: "<b>cut</b>"}},
	}, 300)
	r.Story = reporttest.Stories()["several"]
	r.Story.Incidents[0].Onset = incident.Bracket{After: reporttest.Start.Add(10 * time.Hour), Until: reporttest.Start.Add(11 * time.Hour)}
	r.Story.Incidents[0].Causes[0].Evidence[0] = "<em>evidence</em>"
	then := &report.Comparison{Since: reporttest.Start, Until: reporttest.Start, Counts: report.Counts{Connections: 1}, TotalNew: 20}
	for i := range 20 {
		then.Differences = append(then.Differences, report.Difference{List: "byCipher", Name: fmt.Sprint("TLSv1.2 ECDHE-RSA-AES256-GCM-SHA", i), Now: report.Counts{Connections: 9}})
		then.NewClients = append(then.NewClients, report.FailingClient{Client: fmt.Sprint("2001:db8:1234:5678:9abc:def0:1234:", i), Failed: 5})
		r.Diagnoses = append(r.Diagnoses, r.Diagnoses[0])
	}
	r.Comparison = then
	r.WhatIf = &report.WhatIf{From: "a", To: `<u>b</u>`, Outcomes: []report.Outcome{{Text: "keeps working", Connections: 5, Clients: 2}}, Notes: []string{"<s>note</s>"}}
	var b bytes.Buffer
	if err := view.WriteHTML(&b, r); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The page loads nothing from elsewhere, and text stays text.
func TestHTML(t *testing.T) {
	page := string(htmlPage(t))
	for _, markup := range []string{"<script>alert", "<img", "<b>cut", "<i>something", "<u>b", "<s>note", "<em>", "`", "onerror=alert(2)>\"", "</script><b>", "http://", "https://", "src=\"", "url(", "@import", "\x1b", "\u202e"} {
		if strings.Contains(strings.ReplaceAll(page, "http://evil", ""), markup) {
			t.Errorf("%q is on the page", markup)
		}
	}
	for _, text := range []string{"&lt;script&gt;alert(1)&lt;/script&gt;", "Failing clients over time", "no connections", "<title>my-loadbalancer and a, 2026-11-23 10:00 to 2026-11-24 11:59 UTC</title>", "<b>Do:</b> put the former security policy back", "<code>tlswatch hello</code>", "&lt;em&gt;evidence", `class="onset" x="40.00" y="0" width="4.00"`, `text-anchor="start">Nov 23 12:00<`, "0.4&nbsp;%", "up to ", "On paper: the first 8 rows of 300", "Partial: interrupted", "javascript:alert(6)", "What if the policy were &lt;u&gt;b&lt;/u&gt;?", "Content-Security-Policy"} {
		if !strings.Contains(page, text) {
			t.Errorf("%q is not on the page", text)
		}
	}
	var b bytes.Buffer
	if err := view.WriteHTML(&b, report.New(report.Options{Heat: true}).Result(report.Source{}, 0)); err != nil || !strings.Contains(b.String(), "0 logs") {
		t.Errorf("nothing: %v", err)
	}
}

// The page works in Chromium from a file: with a clean console, sorted and
// filtered by the keyboard, in light and dark, on a phone and on paper.
func TestHTMLChromium(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, htmlPage(t), 0o666); err != nil {
		t.Fatal(err)
	}
	b := startChromium(t)
	b.call("Runtime.enable", nil)
	b.call("Log.enable", nil)
	b.call("Network.enable", nil)
	b.call("Page.enable", nil)
	b.call("Page.navigate", map[string]any{"url": "file://" + file})
	b.until(`document.readyState == "complete" && document.querySelectorAll("th button").length > 0`)

	// Sorting, with the keyboard.
	column := func(n int) string {
		return fmt.Sprintf(`JSON.stringify([...document.querySelector("#failed-clients table").tBodies[0].rows].filter(r => !r.hidden).slice(0, 3).map(r => r.cells[%d].textContent))`, n)
	}
	byFailures := b.eval(column(0))
	b.eval(`document.querySelector("#failed-clients th button").focus()`)
	b.key("Enter", "\r", 13)
	if got := b.eval(column(0)); got == byFailures || b.eval(`document.querySelector("#failed-clients th").getAttribute("aria-sort")`) != "ascending" {
		t.Errorf("not sorted by client: %v", got)
	}
	b.eval(`document.querySelectorAll("#failed-clients th button")[1].focus()`)
	b.key("Enter", "\r", 13)
	if got := b.eval(column(0)); got != byFailures {
		t.Errorf("not sorted by failures: %v, before %v", got, byFailures)
	}
	// Filtering, by typing.
	b.eval(`document.querySelector("#failed-clients input").focus()`)
	b.call("Input.insertText", map[string]any{"text": "198.51.100"})
	if got := b.eval(`document.querySelector("#failed-clients [role=status]").textContent`); got != " 3 of 300 rows" {
		t.Errorf("filtered: %q", got)
	}
	// Nothing that was injected became an element or ran.
	if n := b.eval(`document.querySelectorAll("img, iframe, object, b b, u, s, i, script:not(body > script:last-of-type)").length`); n != 0.0 {
		t.Errorf("%v injected elements", n)
	}

	for _, view := range []struct {
		name          string
		width, height int
		scheme, media string
		background    string
	}{
		{"desktop-light", 1280, 2400, "light", "screen", "rgb(251, 251, 252)"},
		{"desktop-dark", 1280, 2400, "dark", "screen", "rgb(20, 23, 27)"},
		{"phone-light", 390, 2400, "light", "screen", "rgb(251, 251, 252)"},
		{"phone-dark", 390, 2400, "dark", "screen", "rgb(20, 23, 27)"},
		{"paper", 800, 2400, "dark", "print", "rgb(255, 255, 255)"},
	} {
		b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": view.width, "height": view.height, "deviceScaleFactor": 1, "mobile": false})
		b.call("Emulation.setEmulatedMedia", map[string]any{"media": view.media, "features": []any{map[string]any{"name": "prefers-color-scheme", "value": view.scheme}}})
		if got := b.eval(`getComputedStyle(document.body).backgroundColor`); got != view.background {
			t.Errorf("%s: background %v", view.name, got)
		}
		if view.media == "screen" {
			cut := b.eval(`[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1).slice(0, 5).map(e => e.tagName + " in " + e.closest("section, header")?.id + ": " + e.textContent.slice(0, 40)).join("; ")`)
			if got := b.eval(`document.documentElement.scrollWidth`); got.(float64) > float64(view.width) || cut != "" {
				t.Errorf("%s: the page is %v wide on %d: %v", view.name, got, view.width, cut)
			}
		}
		const negotiations = `document.querySelector("#failed-negotiations .scroll")`
		if view.width >= 1280 {
			if cut := b.eval(negotiations + `.scrollWidth > ` + negotiations + `.clientWidth`); cut != false {
				t.Errorf("%s: failed negotiations have to be scrolled", view.name)
			}
			lines := `[...` + negotiations + `.querySelectorAll("td")].filter(c => c.textContent == "UnmappedConnectionError").map(c => { const r = document.createRange(); r.selectNodeContents(c); return r.getClientRects().length })`
			if n := b.eval(`Math.max(...` + lines + `)`); n != 1.0 {
				t.Errorf("%s: the commonest reason takes %v lines", view.name, n)
			}
		}
		if shown := b.eval(`getComputedStyle(document.querySelector("nav")).display`) != "none"; shown != (view.media == "screen") {
			t.Errorf("%s: navigation shown: %v", view.name, shown)
		}
		if *screenshots != "" {
			var shot struct{ Data string }
			json.Unmarshal(b.call("Page.captureScreenshot", nil), &shot)
			data, err := base64.StdEncoding.DecodeString(shot.Data)
			if err == nil {
				err = os.WriteFile(filepath.Join(*screenshots, view.name+".png"), data, 0o666)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
	// Printed, it is at most six pages.
	var printed struct{ Data []byte }
	json.Unmarshal(b.call("Page.printToPDF", map[string]any{"paperWidth": 8.27, "paperHeight": 11.69}), &printed)
	if pages := regexp.MustCompile(`/Type\s*/Page\b`).FindAll(printed.Data, -1); len(pages) == 0 || len(pages) > 6 {
		t.Errorf("%d pages on paper", len(pages))
	}
	for _, e := range b.events {
		switch e.Method {
		case "Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Page.javascriptDialogOpening":
			t.Errorf("%s: %s", e.Method, e.Params)
		case "Network.requestWillBeSent":
			if !strings.Contains(string(e.Params), `"url":"file://`+file) {
				t.Errorf("the page loads something: %s", e.Params)
			}
		}
	}
}

// A browser is Chromium, driven over pipes.
//
// https://chromedevtools.github.io/devtools-protocol/
type browser struct {
	t       *testing.T
	in      *os.File
	out     *bufio.Reader
	session string
	id      int
	events  []browserMessage
}

type browserMessage struct {
	ID     int             `json:"id"`
	Method string          `json:"method"`
	Params json.RawMessage `json:"params"`
	Result json.RawMessage `json:"result"`
	Error  json.RawMessage `json:"error"`
}

func startChromium(t *testing.T) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("SKIPPED: chromium is not on PATH: the page was not tried in a browser")
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--remote-debugging-pipe", "--user-data-dir="+t.TempDir())
	cmd.ExtraFiles = []*os.File{theirIn, theirOut}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	theirIn.Close()
	theirOut.Close()
	stuck := time.AfterFunc(90*time.Second, func() { cmd.Process.Kill() })
	t.Cleanup(func() {
		stuck.Stop()
		in.Close() // ends it
		cmd.Wait()
		out.Close()
	})
	b := &browser{t: t, in: in, out: bufio.NewReader(out)}
	var target struct{ TargetID string }
	json.Unmarshal(b.call("Target.createTarget", map[string]any{"url": "about:blank"}), &target)
	var attached struct{ SessionID string }
	json.Unmarshal(b.call("Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}), &attached)
	b.session = attached.SessionID
	return b
}

// call waits for the answer, and keeps events that come before it.
func (b *browser) call(method string, params any) json.RawMessage {
	b.t.Helper()
	b.id++
	message := map[string]any{"id": b.id, "method": method}
	if params != nil {
		message["params"] = params
	}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	data, err := json.Marshal(message)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.in.Write(append(data, 0)); err != nil {
		b.t.Fatalf("chromium: %v", err)
	}
	for {
		data, err := b.out.ReadBytes(0)
		if err != nil {
			b.t.Fatalf("chromium: %v", err)
		}
		var m browserMessage
		if err := json.Unmarshal(data[:len(data)-1], &m); err != nil {
			b.t.Fatal(err)
		}
		switch {
		case m.ID == 0:
			b.events = append(b.events, m)
		case m.ID == b.id && m.Error != nil:
			b.t.Fatalf("%s: %s", method, m.Error)
		case m.ID == b.id:
			return m.Result
		}
	}
}

// eval returns the value of an expression.
func (b *browser) eval(expression string) any {
	b.t.Helper()
	var r struct {
		Result           struct{ Value any }
		ExceptionDetails json.RawMessage
	}
	json.Unmarshal(b.call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}), &r)
	if r.ExceptionDetails != nil {
		b.t.Fatalf("%s: %s", expression, r.ExceptionDetails)
	}
	return r.Result.Value
}

// until waits for an expression to become true.
func (b *browser) until(expression string) {
	b.t.Helper()
	for began := time.Now(); b.eval(expression) != true; time.Sleep(20 * time.Millisecond) {
		if time.Since(began) > 60*time.Second {
			b.t.Fatalf("never true: %s", expression)
		}
	}
}

// key presses a key.
func (b *browser) key(name, text string, code int) {
	b.t.Helper()
	for _, kind := range []string{"keyDown", "keyUp"} {
		b.call("Input.dispatchKeyEvent", map[string]any{"type": kind, "key": name, "code": name, "text": text, "windowsVirtualKeyCode": code})
	}
}
