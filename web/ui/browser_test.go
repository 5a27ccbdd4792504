//go:build browser

package ui

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/web/webtest"
)

// opened is a page of a server in a real browser.
type opened struct {
	*webtest.Page
	*running
	t *testing.T
}

// browse opens the registry in a browser, with the token, as a user does.
func browse(t *testing.T, path string, look webtest.Look) *opened {
	t.Helper()
	r := serve(t, path)
	o := &opened{webtest.Open(t, r.URL(""), look), r, t}
	o.at("/")
	return o
}

// at waits for the address and a page that works.
func (o *opened) at(path string) {
	o.t.Helper()
	o.Until("location.pathname + location.search === " + quote(path) + " && document.querySelector('#theme > *') !== null")
	if strings.Contains(webtest.Eval[string](o.Page, "location.href"), o.token) {
		o.t.Error("the token stays in the address")
	}
}

// visit opens a page as its address typed in.
func (o *opened) visit(path string) {
	o.t.Helper()
	o.good()
	o.Visit("http://127.0.0.1:" + o.port + path)
	o.at(path)
}

// click chooses what a selector finds first.
func (o *opened) click(selector string) {
	o.t.Helper()
	o.Until("document.querySelector(" + quote(selector) + ") !== null")
	webtest.Eval[bool](o.Page, "document.querySelector("+quote(selector)+").click() === undefined")
}

// text waits until what a selector finds holds some text.
func (o *opened) text(selector, text string) {
	o.t.Helper()
	o.Until("(document.querySelector(" + quote(selector) + ")?.textContent ?? '').includes(" + quote(text) + ")")
}

// typed puts text into the query box as keys do.
func (o *opened) typed(text string) {
	o.t.Helper()
	o.Key("/")
	o.Until("document.activeElement.id === 'q'")
	webtest.Eval[string](o.Page, "document.getElementById('q').value = ''")
	for _, c := range text {
		o.Key(string(c))
	}
}

// good fails the test when anything was asked of another server, or the console said anything.
func (o *opened) good() {
	o.t.Helper()
	for _, r := range o.Requests() {
		if !strings.HasPrefix(r, "http://127.0.0.1:"+o.port+"/") && !strings.HasPrefix(r, "data:") {
			o.t.Errorf("the page asked for %s", r)
		}
	}
	for _, f := range o.Faults() {
		o.t.Errorf("the console says %s", f)
	}
}

func quote(s string) string {
	return "`" + strings.NewReplacer("\\", "\\\\", "`", "\\`", "$", "\\$").Replace(s) + "`"
}

// From the registry to the cell with the hole, by clicks and by keys, and back again.
func TestBrowserFindsTheHole(t *testing.T) {
	o := browse(t, small(t), webtest.Look{})
	o.text("tbody", "1 gap")
	o.text("tbody", "of it is in")
	o.Until("document.querySelectorAll('tbody .badge').length >= 5")
	o.Shot("ui-registry", false)
	o.click("a[href='/model/broken@1']")
	o.at("/model/broken@1")
	o.text("main", "expert 2 of 4 missing")
	o.Until("document.querySelectorAll('.shares li').length > 3")
	o.Shot("ui-overview", false)
	o.click(".tabs a[href='/model/broken@1/coverage']")
	o.at("/model/broken@1/coverage")
	o.Until("document.querySelector('.map-cells svg path') !== null")
	webtest.Eval[bool](o.Page, "document.querySelector('.map-cells').focus() === undefined")
	rows := webtest.Eval[[]string](o.Page, "[...document.querySelectorAll('.map-names li')].map((li) => li.textContent)")
	o.Key(webtest.Home)
	for _, name := range rows {
		if name == "mlp.experts" {
			break
		}
		o.Key(webtest.Down)
	}
	o.Key(webtest.Right, webtest.Right, webtest.Right)
	o.text(".map-readout", "layer 3 · mlp.experts")
	o.Key(webtest.Enter)
	o.at("/model/broken@1/coverage?component=mlp.experts&column=3")
	o.text("#cell", "expert 2 of 4 missing in layer 3")
	o.text("#cell", "hy@1 has one")
	o.text("#cell", "find ^model.layers.3.mlp.experts.* in broken@1")
	o.Shot("ui-coverage", false)

	webtest.Eval[bool](o.Page, "history.back() === undefined")
	o.at("/model/broken@1/coverage")
	o.Until("document.querySelector('#cell').textContent.trim() === '' && document.querySelector('.map-cells svg path') !== null")
	webtest.Eval[bool](o.Page, "history.back() === undefined")
	o.at("/model/broken@1")
	o.text("main", "expert 2 of 4 missing")
	webtest.Eval[bool](o.Page, "history.back() === undefined")
	o.at("/")
	o.text("tbody", "1 gap")
	webtest.Eval[bool](o.Page, "history.forward() === undefined")
	o.at("/model/broken@1")

	// The same cell by its address alone, and by the mouse.
	o.visit("/model/broken@1/coverage?component=mlp.experts&column=3")
	o.text("#cell", "expert 2 of 4 missing in layer 3")
	o.good()
}

// The query box completes, with keys, answers, and points at what it does not understand.
func TestBrowserAsks(t *testing.T) {
	o := browse(t, small(t), webtest.Look{})
	o.typed("find * in hy where abs")
	o.Until("!document.getElementById('hints').hidden && document.querySelectorAll('#hints li').length >= 2")
	o.text("#hints", "absmax")
	o.text("#hints", "greatest magnitude")
	o.Shot("ui-completion", false)
	o.Key(webtest.Escape)
	o.Until("document.getElementById('hints').hidden")
	o.typed("find * in hy where absm")
	o.Until("document.querySelectorAll('#hints li').length === 1")
	o.Key(webtest.Tab)
	o.Until("document.getElementById('q').value === 'find * in hy where absmax'")
	for _, c := range " > 0.1 limit 3" {
		o.Key(string(c))
	}
	o.Key(webtest.Enter)
	o.at("/query?q=find+*+in+hy+where+absmax+%3E+0.1+limit+3")
	o.text("main", "model.")
	o.text(".foot", "wreg query 'find * in hy where absmax > 0.1 limit 3'")
	o.Shot("ui-query", false)

	o.typed("find * wher x")
	o.Key(webtest.Enter)
	o.at("/query?q=find+*+wher+x")
	o.text(".fault", "did you mean \"where\"?")
	o.Until("document.activeElement.id === 'q' && document.activeElement.selectionStart === 7")
	if caret := webtest.Eval[string](o.Page, "document.querySelector('.fault').textContent.split('\\n')[2]"); caret != "         ^" {
		t.Errorf("the caret is %q", caret)
	}
	o.Shot("ui-error", false)
	webtest.Eval[bool](o.Page, "history.back() === undefined")
	o.at("/query?q=find+*+in+hy+where+absmax+%3E+0.1+limit+3")
	o.text("main", "model.")
	o.good()
}

// Two models are compared; a list of tensors is filtered and sorted as one types.
func TestBrowserComparesAndFilters(t *testing.T) {
	o := browse(t, small(t), webtest.Look{})
	o.visit("/model/hy-tuned@1/compare")
	webtest.Eval[bool](o.Page, "(document.getElementById('with').value = 'hy@1') === ''")
	o.click("form.filter button")
	o.at("/model/hy-tuned@1/compare?with=hy%401")
	o.text("main", "q_proj")
	o.Until("document.querySelectorAll('[data-differences] path.changed').length > 0")
	o.text("main", "--values")
	o.text(".foot", "wreg diff hy@1 hy-tuned@1")
	o.Shot("ui-compare", false)
	o.click(".tabs a[href='/model/hy-tuned@1/tensors']")
	o.at("/model/hy-tuned@1/tensors")
	webtest.Eval[bool](o.Page, "document.getElementById('filter').focus() === undefined")
	for _, c := range "q_proj" {
		o.Key(string(c))
	}
	o.text("#listed", "1 to 4 of 4 tensors")
	o.Until("location.search === '?filter=q_proj' && document.activeElement.id === 'filter'")
	o.click("#listed th a[href*='sort=-bytes']")
	o.at("/model/hy-tuned@1/tensors?filter=q_proj&sort=-bytes")
	o.text("#listed", "order by bytes desc")
	o.Shot("ui-tensors", false)
	o.good()
}

// Names that would act do not, wherever they are shown.
func TestBrowserHostileNames(t *testing.T) {
	o := browse(t, small(t), webtest.Look{})
	o.text("tbody", "not checked")
	for _, path := range []string{"/model/evil@1", "/model/evil@1/tensors", "/model/evil@1/statistics", "/model/evil@1/coverage", "/model/evil@1/files", "/query?q=find+*+in+evil&expand=1",
		link("evil@1", "tensor", "path", hostile[0]), link("evil@1", "tensor", "path", hostile[1]), "/model/evil@1/compare?with=hy@1"} {
		o.visit(path)
		if n := webtest.Eval[int](o.Page, "document.querySelectorAll('img, svg[onload], main script:not([type=\"application/json\"]), b').length"); n > 0 {
			t.Errorf("%s: %d elements out of names", path, n)
		}
		if title := webtest.Eval[string](o.Page, "document.title"); strings.Contains(title, "owned") && !strings.Contains(title, "<") {
			t.Errorf("%s: a name acted: %q", path, title)
		}
		if wide := webtest.Eval[int](o.Page, "document.documentElement.scrollWidth"); wide > 1280 {
			t.Errorf("%s: a window of 1280 shows a page of %d", path, wide)
		}
		if path == "/model/evil@1/tensors" {
			o.text("#listed", hostile[0])
			o.Shot("ui-hostile", false)
			if copied := o.Copied("#listed"); !strings.Contains(copied, "'=HYPERLINK(") || len(webtest.Formulas(copied)) > 0 {
				t.Errorf("what is copied holds formulas: %q", webtest.Formulas(copied))
			}
		}
	}
	o.typed("find * in evil where path = ")
	o.Key(webtest.Escape)
	o.good()
}

// Both themes, by the system and by choice, which holds from page to page; a narrow window.
func TestBrowserThemes(t *testing.T) {
	o := browse(t, small(t), webtest.Look{Dark: true})
	background := func() string {
		return webtest.Eval[string](o.Page, "getComputedStyle(document.documentElement).backgroundColor")
	}
	dark := background()
	o.visit("/model/broken@1")
	o.Until("document.querySelectorAll('.shares li').length > 3")
	o.Shot("ui-overview-dark", false)
	o.visit("/model/broken@1/coverage?component=mlp.experts&column=3")
	o.Until("document.querySelector('.map-cells svg path') !== null")
	o.Shot("ui-coverage-dark", false)
	o.click("#theme [data-key=light]")
	light := background()
	if dark == light {
		t.Errorf("both themes have the background %s", dark)
	}
	o.click(".crumbs a[href='/']")
	o.at("/")
	if got := background(); got != light {
		t.Errorf("the choice is lost: %s", got)
	}
	o.visit("/model/hy@1")
	if got := background(); got != light {
		t.Errorf("the choice is lost after a reload: %s", got)
	}
	o.Show(webtest.Look{Width: 400, Height: 800})
	o.visit("/model/broken@1/coverage")
	o.Until("document.querySelector('.map-cells svg path') !== null")
	if wide := webtest.Eval[int](o.Page, "document.documentElement.scrollWidth"); wide > 400 {
		t.Errorf("a window of 400 shows a page of %d", wide)
	}
	o.Shot("ui-narrow", false)
	o.good()
}

// A model of 58,450 tensors and one of 200 layers: pages stay small, and the map is there.
func TestBrowserLarge(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	config, list := large(t, 61, 320)
	put(t, path, registry.Revision{Model: "big", Config: config}, without(list, "layers.17.mlp.experts.31.up_proj"))
	config, list = large(t, 200, 4)
	put(t, path, registry.Revision{Model: "deep", Config: config}, list)
	o := browse(t, path, webtest.Look{})
	o.text("tbody", "1 gap")
	o.visit("/model/big@1/tensors")
	o.text("#listed", "1 to 100 of 58,4")
	if n := webtest.Eval[int](o.Page, "document.querySelectorAll('#listed tbody tr').length"); n != 100 {
		t.Errorf("%d rows", n)
	}
	o.click("a[rel=next] + a") // the last
	o.Until("document.querySelectorAll('#listed tbody tr').length < 100 && document.querySelector('a[rel=prev]') !== null")
	o.visit("/model/big@1/coverage?component=mlp.experts&column=17")
	o.text("#cell", "expert 31 of 320")
	o.click("#cell a[href*='by=expert']")
	o.at("/model/big@1/coverage?by=expert&of=17")
	o.Until("document.querySelectorAll('.map-cells svg path').length > 1")
	o.text(".map-notes", "expert 31")
	o.Shot("ui-experts", false)
	o.visit("/model/big@1/statistics")
	o.Until("document.querySelectorAll('.lines svg path').length > 5")
	o.Shot("ui-statistics", false)
	o.visit("/model/deep@1/coverage")
	o.Until("document.querySelectorAll('.map-cells svg path').length > 0")
	if n := webtest.Eval[int](o.Page, "document.querySelectorAll('*').length"); n > 600 {
		t.Errorf("a map of 200 layers takes %d elements", n)
	}
	o.Shot("ui-200-layers", false)
	o.good()
}

// A server that has ended is told of, in the page that is open.
func TestBrowserAfterTheEnd(t *testing.T) {
	o := browse(t, small(t), webtest.Look{})
	o.text("tbody", "1 gap")
	o.good()
	o.stop()
	o.click("a[href='/model/hy@1']")
	o.text("#gone", "Start it again")
}

// Of two models that are compared, a module is measured where it stands.
func TestBrowserMeasures(t *testing.T) {
	path := tuned(t)
	o := browse(t, path, webtest.Look{})
	o.visit("/model/tuned@1/compare?with=base%401")
	o.text("main", "By how much")
	measure := `button[aria-label="Measure self_attn.q_proj"]`
	o.click(measure)
	o.Until("!document.querySelector(" + quote(measure) + ")")
	o.text("main", "self_attn.q_proj")
	for _, p := range measuredWhole(t, path, "tuned").Parts {
		if p.Component == "self_attn.q_proj" {
			o.text("tbody", fmt.Sprintf("%.3g %%", 100**p.Total.Change.Relative))
		}
	}
	if n := webtest.Eval[int](o.Page, "document.querySelectorAll('main tr tr, main td td').length"); n != 0 {
		t.Errorf("%d rows within rows", n)
	}
	o.Shot("ui-measured", true)
	o.good()
}

// Of a 4-bit export, a module's error and bits are shown where it stands, in both themes.
func TestBrowserMeasuresQuantized(t *testing.T) {
	path := quantized(t)
	o := browse(t, path, webtest.Look{})
	o.visit("/model/base-4bit@1/compare?with=base%401")
	o.text("main", "bits a weight")
	for _, p := range measuredWhole(t, path, "base-4bit").Parts {
		if p.Total.BitsB >= 16 {
			continue
		}
		button := fmt.Sprintf(`button[aria-label="Measure %s"]`, p.Component)
		o.click(button)
		o.Until("!document.querySelector(" + quote(button) + ")")
		row := webtest.Eval[string](o.Page, "[...document.querySelectorAll('main tr')].find((r) => r.cells[0].textContent === "+quote(p.Component)+")?.textContent ?? ''")
		for _, want := range []string{fmt.Sprintf("%.3g %%", 100**p.Total.Change.Relative), fmt.Sprintf("16 → %.4g", p.Total.BitsB)} {
			if !strings.Contains(row, want) {
				t.Errorf("%s: %q, want %s", p.Component, row, want)
			}
		}
	}
	o.Shot("ui-quantized", true)
	o.Show(webtest.Look{Dark: true})
	o.Shot("ui-quantized-dark", true)
	o.good()
}
