package widget

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// look runs in a browser beside the widget, and reports how the widget looks.
const look = `<script>
const root = document.querySelector('.tlswatch');
const rgb = c => c.match(/[\d.]+/g).map(Number);
const light = c => rgb(c).slice(0, 3).map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
	.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const page = light(getComputedStyle(root).backgroundColor);
let contrast = 99;
for (const e of root.querySelectorAll('p, td, th, a, span, code, b, h3')) {
	const l = light(getComputedStyle(e).color);
	contrast = Math.min(contrast, (Math.max(l, page) + 0.05) / (Math.min(l, page) + 0.05));
}
const all = s => [...root.querySelectorAll(s)];
document.documentElement.textContent = 'LOOK' + JSON.stringify({
	wide: root.scrollWidth - root.clientWidth,
	contrast,
	rows: all('td').filter(e => e.offsetHeight > 0 && e.offsetWidth > 0).length,
	bars: all('rect').filter(e => e.getBoundingClientRect().height > 0).length,
	actions: all('cwdb-action').filter(e => e.offsetHeight > 0).length,
	links: all('a.go').filter(e => e.nextElementSibling?.tagName === 'CWDB-ACTION').length,
}) + 'END';
</script>`

// In a browser, nothing is cut off or empty, text can be read in light and dark,
// and every link has its action.
func TestBrowser(t *testing.T) {
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("SKIPPED: chromium is not on PATH: the widget was not looked at in a browser")
	}
	list := windows(t, 30)
	for name, width := range map[string]string{"light": "560,600", "dark": "1300,900"} {
		v := view(3)
		v.Dark = name == "dark"
		file := filepath.Join(t.TempDir(), name+".html")
		if err := os.WriteFile(file, []byte("<!doctype html><body style='margin:0'>"+render(t, list, Filter{}, v)+look), 0o666); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
		out, err := exec.CommandContext(ctx, path, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--user-data-dir="+t.TempDir(), "--window-size="+width, "--dump-dom", "file://"+file).Output()
		cancel()
		if err != nil {
			t.Fatalf("chromium: %v", err)
		}
		m := regexp.MustCompile(`(?s)LOOK(\{.*\})END`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("no answer in %s", out)
		}
		var got struct {
			Wide, Contrast             float64
			Rows, Bars, Actions, Links int
		}
		if err := json.Unmarshal(m[1], &got); err != nil {
			t.Fatal(err)
		}
		if got.Wide > 0 || got.Contrast < 4.5 || got.Rows < 100 || got.Bars != 30 || got.Actions > 0 || got.Links < 20 {
			t.Errorf("%s at %s: %+v", name, width, got)
		}
	}
}
