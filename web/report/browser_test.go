//go:build browser

package report

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/web/webtest"
)

// open writes a report and opens it.
func open(t *testing.T, d *Data, look webtest.Look) (p *webtest.Page, url string) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(written(t, d)), 0o666); err != nil {
		t.Fatal(err)
	}
	url = "file://" + filepath.ToSlash(file)
	p = webtest.Open(t, url, look)
	p.Until("document.documentElement.dataset.ready")
	if ready := webtest.Eval[string](p, "document.documentElement.dataset.ready"); ready != "yes" {
		t.Fatalf("the report is not shown: %s", p.Faults())
	}
	return p, url
}

// damaged is a model that lacks some, and all, of what a component has in a layer, and
// has something changed and something extra.
func damaged(t *testing.T) (registry.Revision, []tensor.Info) {
	v, list := model(t, "hunyuan")
	list = slices.DeleteFunc(list, func(i tensor.Info) bool {
		return strings.Contains(i.Path, "layers.1.mlp.experts.1.up_proj") || strings.Contains(i.Path, "layers.0.input_layernorm")
	})
	for i := range list {
		if strings.HasSuffix(list[i].Path, "layers.2.self_attn.q_proj.weight") {
			list[i].Shape = tensor.Shape{7, 7}
			list[i].Bytes = 7 * 7 * 2
		}
	}
	extra := list[0]
	extra.Path = "model.layers.3.self_attn.nobody_needs.weight"
	return v, append(list, extra)
}

// Every gap is shown with its reason and remedy; what differs from another model, too.
func TestGapsAreShown(t *testing.T) {
	v, list := damaged(t)
	whole, all := model(t, "hunyuan")
	whole.Model = "whole"
	v.Files = nil
	d := gather(t, Options{Checks: []Check{{Name: "a check", Result: "fail", Expected: "none", Message: "wreg query x"}}}, v, list, whole, all)
	p, url := open(t, d, webtest.Look{})
	text := webtest.Eval[string](p, "document.querySelector('main').innerText")
	for _, g := range slices.Concat(d.Model.Verdict.Lines, d.layers.Against.Lines) {
		for _, want := range []string{g.Path, g.Status, g.Reason, g.Remedy} {
			if !strings.Contains(text, want) {
				t.Errorf("the page does not say %q", want)
			}
		}
	}
	for _, want := range []string{"a check", fmt.Sprintf("%d gaps", d.Model.Verdict.Gaps), "wreg diff whole@1 m@1", "wreg coverage m@1"} {
		if !strings.Contains(text, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if n := webtest.Eval[int](p, "document.querySelectorAll('#gaps li').length"); n != len(d.Model.Verdict.Lines) {
		t.Errorf("%d gaps are listed, want %d", n, len(d.Model.Verdict.Lines))
	}
	if stray := webtest.Eval[string](p, "[...document.querySelectorAll('section')].flatMap((s) => [...s.childNodes]).filter((n) => n.nodeType === Node.TEXT_NODE && n.data).map((n) => n.data).join()"); stray != "" {
		t.Errorf("%q stands between the parts of the page", stray)
	}
	p.Shot("gaps", true)
	p.Quiet(url)
}

// Where all names are otherwise, what to do first is said at once, and the map has one row.
func TestWrappedNames(t *testing.T) {
	v, list := model(t, "hunyuan")
	for i := range list {
		list[i].Path = "state_dict.net." + list[i].Path
	}
	d := gather(t, Options{}, v, list)
	if d.Model.Verdict.Note == "" {
		t.Fatalf("%+v has no note", d.Model.Verdict)
	}
	p, url := open(t, d, webtest.Look{})
	said := webtest.Eval[string](p, "document.querySelector('.verdict').textContent")
	if _, rest, _ := strings.Cut(d.Model.Verdict.Note, " "); !strings.Contains(said, rest) || !strings.Contains(said, fmt.Sprintf("%d missing", d.Model.Verdict.Missing)) {
		t.Errorf("the verdict says %q, not %q", said, d.Model.Verdict.Note)
	}
	p.Shot("wrapped", true)
	p.Quiet(url)
}

// A search finds what its words and comparisons say, and the command that it shows finds
// as much.
func TestSearch(t *testing.T) {
	v, list := model(t, "hunyuan")
	list[1].DType = tensor.F32
	list[2].Stats.NaNs = 3
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	rev, err := r.Put(t.Context(), v, list)
	if err != nil {
		t.Fatal(err)
	}
	var d *Data
	if err := r.View(func(s *registry.Snapshot) (err error) { d, err = Gather(t.Context(), s, rev, Options{}); return err }); err != nil {
		t.Fatal(err)
	}
	p, url := open(t, d, webtest.Look{})
	layer := func(i *tensor.Info) int64 {
		if template, index := tensor.SplitPath(i.Path); strings.Contains(template, "{layer}") {
			return index[0]
		}
		return -1
	}
	has := func(word string) func(*tensor.Info) bool {
		return func(i *tensor.Info) bool { return strings.Contains(i.Path, word) }
	}
	for _, c := range []struct {
		text    string
		keep    func(i *tensor.Info) bool
		command bool
	}{
		{"", func(*tensor.Info) bool { return true }, true},
		{"q_proj", has("q_proj"), true},
		{"self_attn.q", has("self_attn.q"), true},
		{"weight", has("weight"), true},
		{"0", has("0"), true},
		{"layer=1", func(i *tensor.Info) bool { return layer(i) == 1 }, true},
		{"layer!=1 expert>=2", func(i *tensor.Info) bool {
			return layer(i) >= 0 && layer(i) != 1 && regexp.MustCompile(`experts\.([2-9]|\d\d)`).MatchString(i.Path)
		}, true},
		{"proj absmax>20.25", func(i *tensor.Info) bool { return has("proj")(i) && i.Stats.AbsMax > 20.25 }, true},
		{"dtype=f32", func(i *tensor.Info) bool { return i.DType == tensor.F32 }, true},
		{"dtype!=BF16", func(i *tensor.Info) bool { return i.DType != tensor.BF16 }, true},
		{"nans>0", func(i *tensor.Info) bool { return i.Stats.NaNs > 0 }, true},
		{"rank=1 bytes<1e3", func(i *tensor.Info) bool { return len(i.Shape) == 1 && i.Bytes < 1000 }, true},
		{"q_proj layer=2 experts", func(i *tensor.Info) bool { return false }, false},
		{"mlp up_proj", func(i *tensor.Info) bool { return has("mlp")(i) && has("up_proj")(i) }, false},
		{"[x'\"", func(i *tensor.Info) bool { return false }, false},
	} {
		want := 0
		for i := range list {
			if c.keep(&list[i]) {
				want++
			}
		}
		p.Key("/")
		webtest.Eval[any](p, "document.activeElement.id === 'search' || document.activeElement.blur()")
		p.Key(c.text)
		if got := webtest.Eval[string](p, "document.getElementById('search').value"); got != c.text {
			t.Fatalf("/ and typing gives %q in the search", got)
		}
		status := webtest.Eval[string](p, "document.querySelector('.tensors-status').textContent")
		first, _, _ := strings.Cut(status, " ")
		if first != fmt.Sprint(want) {
			t.Errorf("%q: %s, want %d", c.text, status, want)
		}
		line := webtest.Eval[string](p, "document.querySelector('.tensors-command code')?.textContent || ''")
		if (line != "") != c.command {
			t.Errorf("%q: the command is %q", c.text, line)
		} else if c.command {
			_, text, _ := strings.Cut(line, "'")
			text, _, _ = strings.Cut(text, "'")
			if n := asked(t, r, text); n != want {
				t.Errorf("%q: %s finds %d rows, want %d", c.text, line, n, want)
			}
		}
		p.Key(webtest.Escape)
	}
	p.Quiet(url)
}

func asked(t *testing.T, r *registry.Registry, text string) (rows int) {
	t.Helper()
	q, err := query.Parse(text)
	if err != nil {
		t.Errorf("%s: %v", text, err)
		return -1
	}
	if err := r.View(func(s *registry.Snapshot) error {
		res, err := q.Run(t.Context(), s, query.Options{Model: "m"})
		if err == nil {
			rows = len(res.Rows)
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	return rows
}

// Everything is reached without a mouse.
func TestKeyboard(t *testing.T) {
	v, list := damaged(t)
	p, url := open(t, gather(t, Options{}, v, list), webtest.Look{})
	focused := func() string {
		return webtest.Eval[string](p, "(document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).slice(0, 60)")
	}
	var order []string
	for range 60 {
		p.Key(webtest.Tab)
		order = append(order, focused())
	}
	at := -1
	for _, want := range []string{"Skip to the report", "m@1", "Gaps", "Auto", "There", "As a table", "Map of", "Search tensors", "Tensors. Arrow"} {
		next := slices.IndexFunc(order, func(s string) bool { return strings.HasPrefix(s, want) })
		if next < at || next < 0 {
			t.Errorf("Tab reaches %q after %d steps, what comes before it after %d: %q", want, next, at, order)
		}
		at = next
	}

	// The theme, by arrows.
	webtest.Eval[any](p, "document.querySelector('[aria-label=Theme] [data-key=auto]').focus()")
	p.Key(webtest.Right, webtest.Right)
	if got := webtest.Eval[string](p, "document.documentElement.dataset.theme"); got != "dark" {
		t.Errorf("two arrows choose the theme %q", got)
	}
	p.Key(webtest.Right)
	if webtest.Eval[bool](p, "'theme' in document.documentElement.dataset") {
		t.Error("a third arrow does not go back to the system's theme")
	}

	// A cell's tensors, by Enter.
	webtest.Eval[any](p, "document.querySelector('.map-cells').focus()")
	p.Key(webtest.Down, webtest.Right, webtest.Enter)
	search := webtest.Eval[string](p, "document.getElementById('search').value")
	if !strings.HasPrefix(search, "layer=1 ") || !strings.HasPrefix(focused(), "Tensors") {
		t.Errorf("Enter on a cell searches %q and goes to %q", search, focused())
	}
	rows := func() string {
		return webtest.Eval[string](p, "document.querySelector('[aria-selected=true]').textContent")
	}
	if !strings.Contains(rows(), "layers.1.") {
		t.Errorf("the first row is %q", rows())
	}

	// The list: arrows, End, Enter.
	p.Key("/", webtest.Escape)
	first := rows()
	p.Key(webtest.Down)
	if rows() == first {
		t.Error("an arrow does not move in the list")
	}
	p.Key(webtest.End, webtest.Enter)
	detail := webtest.Eval[string](p, "document.querySelector('.tensors-detail').textContent")
	last := slices.MaxFunc(list, func(a, b tensor.Info) int { return natural(a.Path, b.Path) })
	if !strings.Contains(detail, last.Path) || !strings.Contains(detail, "wreg show m@1 "+last.Path) {
		t.Errorf("Enter at the end shows %q, want %s", detail, last.Path)
	}
	p.Quiet(url)
}

// Light and dark follow the system, then the switch; paper is light.
func TestThemesAndPaper(t *testing.T) {
	v, list := damaged(t)
	p, url := open(t, gather(t, Options{}, v, list), webtest.Look{})
	background := func() string {
		return webtest.Eval[string](p, "getComputedStyle(document.documentElement).backgroundColor")
	}
	visible := func(selector string) bool {
		return webtest.Eval[bool](p, fmt.Sprintf("[...document.querySelectorAll(%q)].some((e) => e.checkVisibility())", selector))
	}
	const light, dark = "rgb(255, 255, 255)", "rgb(13, 17, 23)"
	choose := func(theme string) {
		webtest.Eval[any](p, "document.querySelector('[aria-label=Theme] [data-key="+theme+"]').click()")
	}
	for _, c := range []struct {
		look  webtest.Look
		theme string
		want  string
	}{
		{webtest.Look{}, "auto", light}, {webtest.Look{Dark: true}, "auto", dark}, {webtest.Look{Dark: true}, "light", light}, {webtest.Look{}, "dark", dark},
		{webtest.Look{Media: "print"}, "dark", light}, {webtest.Look{Media: "print", Dark: true}, "auto", light},
	} {
		p.Show(webtest.Look{})
		choose(c.theme)
		p.Show(c.look)
		if got := background(); got != c.want {
			t.Errorf("%+v with the switch at %s: %s, want %s", c.look, c.theme, got, c.want)
		}
		if paper := c.look.Media == "print"; visible(".tensors-box, nav, [aria-label=Theme], .map-readout") == paper || visible(".print-only") != paper {
			t.Errorf("%+v: what is for a screen, or for paper alone, is shown on the other", c.look)
		}
	}
	choose("auto")

	// Nothing is wider than a telephone.
	p.Show(webtest.Look{Width: 400, Height: 800})
	if wide := webtest.Eval[int](p, "document.documentElement.scrollWidth"); wide > 400 {
		t.Errorf("the page is %d pixels wide, on 400", wide)
	}
	p.Shot("narrow", true)
	p.Show(webtest.Look{Media: "print", Width: 720, Height: 1000})
	p.Shot("print", true)
	p.Quiet(url)
}

// Every text element can be read: 4.5 to 1, in both themes.
func TestContrast(t *testing.T) {
	v, list := damaged(t)
	p, _ := open(t, gather(t, Options{}, v, list), webtest.Look{})
	for _, dark := range []bool{false, true} {
		p.Show(webtest.Look{Dark: dark})
		poor := webtest.Eval[[]string](p, `(() => {
			const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
			const rgb = (c, under) => { canvas.fillStyle = under; canvas.fillRect(0, 0, 1, 1); canvas.fillStyle = c; canvas.fillRect(0, 0, 1, 1); return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3); };
			const light = (c) => { const [r, g, b] = c.map((x) => { x /= 255; return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
			const behind = (e) => { const all = []; for (; e; e = e.parentElement) all.push(getComputedStyle(e).backgroundColor); return "rgb(" + all.reverse().reduce((under, c) => "rgb(" + rgb(c, under).join() + ")", "white").match(/\d+/g).join() + ")"; };
			const poor = new Set();
			for (const e of document.querySelectorAll("body *")) {
				if (!e.checkVisibility() || e.closest("svg") && e.tagName !== "text" || ![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
				const style = getComputedStyle(e), back = behind(e), ink = e.tagName === "text" ? style.fill : style.color;
				const [a, b] = [light(rgb(ink, back)), light(rgb("rgb(0 0 0 / 0)", back))].sort((x, y) => y - x);
				if ((a + 0.05) / (b + 0.05) < 4.5) poor.add(e.tagName + "." + e.getAttribute("class") + " " + e.textContent.slice(0, 30) + " " + ink + " on " + back + ": " + ((a + 0.05) / (b + 0.05)).toFixed(2));
			}
			return [...poor];
		})()`)
		if len(poor) > 0 {
			t.Errorf("dark %v: hard to read:\n%s", dark, strings.Join(poor, "\n"))
		}
	}
}
