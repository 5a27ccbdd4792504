//go:build browser

package web

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/web/webtest"
)

// A page whose policy names the program and the style by their hashes runs both, and
// nothing else; what it would ask of the network, and what it would run, is refused and
// told. So the tests of pages see it when one does.
func TestPolicyHolds(t *testing.T) {
	style, script := Style(), Script()+`document.body.append(wreg.el("p", { id: "said" }, "<b>ran</b>"));`
	page := func(more string) string {
		file := filepath.Join(t.TempDir(), "page.html")
		text := `<!doctype html><meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src ` + Hash(script) + `; style-src ` + Hash(style) +
			`; img-src data:"><title>t</title><link rel="icon" href="` + Icon() + `"><style>` + style + `</style><body>` + more + `<script>` + script + `</script>`
		if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return "file://" + filepath.ToSlash(file)
	}

	url := page("")
	p := webtest.Open(t, url, webtest.Look{})
	if got := webtest.Eval[string](p, "document.getElementById('said').textContent"); got != "<b>ran</b>" {
		t.Errorf("the program wrote %q", got)
	}
	p.Quiet(url)

	for more, want := range map[string]string{
		`<img src=x onerror="alert(1)">`:                          "script-src",
		`<script>alert(1)</script>`:                               "script-src",
		`<p style="color: red">`:                                  "style-src",
		`<img src="http://127.0.0.1:1/x.png">`:                    "img-src",
		`<link rel="stylesheet" href="http://127.0.0.1:1/x.css">`: "style-src",
	} {
		p.Visit(page(more))
		p.Until("document.getElementById('said')")
		if faults := strings.Join(p.Faults(), "; "); !strings.Contains(faults, want) {
			t.Errorf("%s: the console says %q, nothing of %s", more, faults, want)
		}
	}
}
