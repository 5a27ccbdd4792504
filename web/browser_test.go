//go:build browser

package web

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/view/words"
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

// Sizes and counts read the same in a browser and on a terminal.
func TestNumbersReadTheSame(t *testing.T) {
	file := filepath.Join(t.TempDir(), "page.html")
	if err := os.WriteFile(file, []byte("<!doctype html><title>t</title><script>"+Script()+"</script>"), 0o666); err != nil {
		t.Fatal(err)
	}
	var numbers []int64
	for n := int64(1); n < 1<<52; n *= 3 {
		numbers = append(numbers, n)
	}
	for unit := int64(1); unit < 1e12; unit *= 1000 { // where a number would need another digit
		for _, n := range []int64{994, 995, 999, 1000, 1005, 1023, 1024, 9994, 9995, 99994, 99995, 99999} {
			numbers = append(numbers, n*unit, n*unit/1000)
		}
	}
	numbers = append(numbers, 0, 1023<<10+511, 1023<<10+512, 999<<10+511, 999<<10+512, 999<<20+512<<10, 999_949, 999_950, 58_450)
	list, err := json.Marshal(numbers)
	if err != nil {
		t.Fatal(err)
	}
	p := webtest.Open(t, "file://"+filepath.ToSlash(file), webtest.Look{})
	got := webtest.Eval[[][3]string](p, string(list)+".map((n) => [wreg.size(n), wreg.params(n), wreg.count(n)])")
	for i, n := range numbers {
		if want := [3]string{words.Size(n), words.Params(n), words.Number(n)}; got[i] != want {
			t.Errorf("%d reads %q, on a terminal %q", n, got[i], want)
		}
	}
}
