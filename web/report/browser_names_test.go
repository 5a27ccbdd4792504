//go:build browser

package report

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
	"wreg/view/words"
	"wreg/web/webtest"
)

// What a stranger named is text, wherever it is shown.
func TestHostileNamesAreInert(t *testing.T) {
	const alert = "<img src=x onerror=alert(1)>"
	names := []string{alert, "</script><script>alert(1)</script>", "model.layers.0.<svg onload=alert(1)>.weight", "javascript:alert(1)", "{{tensors}}", "__proto__", "constructor.3.x", "a\u202eb", `=HYPERLINK("http://127.0.0.1:1","x")`, "@SUM(1)", "-1+cmd|x", strings.Repeat("L", 8000), "a\xffb", "x\ny"}
	v, list := model(t, "hunyuan")
	for _, name := range names {
		list = append(list, tensor.Info{Path: name, DType: tensor.F32, Shape: tensor.Shape{1}, Bytes: 4, File: name, Stats: &tensor.Stats{AbsMax: 1e9}})
	}
	v.Root = "/m/" + alert
	v.Files = append(v.Files, tensor.File{Name: names[1], Size: 1, Format: alert})
	v.Findings = []tensor.Finding{{Rule: alert, Tensor: names[1], Message: names[2]}}
	v.Receipt = []byte(`{"receipt": 1, "tool": "` + alert + `", "model": "</script>"}`)
	other := v
	other.Model = "other"
	d := gather(t, Options{Tool: alert, Checks: []Check{{alert, alert, alert, alert}}}, v, list, other, list[:len(list)-1])
	p, url := open(t, d, webtest.Look{})
	p.Key("/", alert[:4])
	if text := webtest.Eval[string](p, "document.querySelector('.tensors-window').textContent"); !strings.Contains(text, alert) {
		t.Errorf("the list shows %q", text)
	}
	if wide := webtest.Eval[int](p, "document.documentElement.scrollWidth"); wide > 1280 {
		t.Errorf("a window of 1280 shows a page of %d", wide)
	}
	p.Key(webtest.Escape)
	for _, selector := range []string{".tensors-box", "main"} {
		if copied := p.Copied(selector); !strings.Contains(copied, "'=HYPERLINK(") || len(webtest.Formulas(copied)) > 0 {
			t.Errorf("what is copied of %s holds formulas: %q", selector, webtest.Formulas(copied))
		}
	}
	p.Key(webtest.End, webtest.Enter)
	webtest.Eval[any](p, "document.querySelector('#map [aria-pressed]').click()")
	if n := webtest.Eval[int](p, "document.querySelectorAll('img, iframe, object, embed, base, form, main script, main svg [onload], a[href^=javascript]').length"); n != 0 {
		t.Errorf("%d elements came out of names", n)
	}
	if text := webtest.Eval[string](p, "document.querySelector('main').innerText"); strings.Count(text, alert) < 10 || strings.Contains(text, "\u202e") {
		t.Errorf("the names are shown %d times", strings.Count(text, alert))
	}
	if n := webtest.Eval[int](p, "[...document.querySelectorAll('*')].filter((e) => e.getAttributeNames().some((a) => a.startsWith('on') || a === 'srcdoc' || a === 'style' && !e.closest('.tensors-box, .shares-bar, .map'))).length"); n != 0 {
		t.Errorf("%d elements have an attribute that acts", n)
	}
	p.Quiet(url)
}

// A model of more than 58,450 tensors takes less than a megabyte, and its page never has
// more elements than one sees.
func TestLargeModel(t *testing.T) {
	config, err := synth.Config("deepseek_v3")
	for _, set := range [][2]string{{"num_hidden_layers", "61"}, {"n_routed_experts", "320"}} {
		if err == nil {
			config, err = synth.SetKey(config, set[0], set[1])
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := arch.ParseConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	a, err := arch.Find(cfg)
	if err != nil {
		t.Fatal(err)
	}
	wants, err := a.Expect(t.Context(), cfg, arch.HF, nil)
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	var list []tensor.Info
	for i, w := range wants {
		if strings.HasSuffix(w.Path, "layers.17.mlp.experts.30.up_proj.weight") || strings.HasSuffix(w.Path, "layers.44.self_attn.o_proj.weight") {
			continue
		}
		x := tensor.Info{Path: w.Path, DType: tensor.BF16, Shape: w.Shape, File: fmt.Sprintf("model-%05d-of-00163.safetensors", i*163/len(wants)+1),
			Stats: &tensor.Stats{AbsMax: float64(math.Float32frombits(uint32(0x3e00+rnd.IntN(600)) << 16)), Zeros: rnd.Int64N(9)}}
		x.Bytes, _ = w.Shape.Bytes(tensor.BF16)
		for k := range x.Hash {
			x.Hash[k] = byte(rnd.Uint32())
		}
		list = append(list, x)
	}
	d := gather(t, Options{Tool: "wreg test"}, registry.Revision{Model: "m", Root: "/m", Config: config, Hashed: true}, list)
	if n := len(written(t, d)); len(list) < 58_450 || n > 1_000_000 {
		t.Errorf("%d tensors make a page of %d bytes, more than 1,000,000", len(list), n)
	} else {
		t.Logf("%d tensors: a page of %d bytes", len(list), n)
	}
	p, url := open(t, d, webtest.Look{})
	elements := func() int { return webtest.Eval[int](p, "document.querySelectorAll('*').length") }
	before := elements()
	p.Visit(url)
	p.Until("document.documentElement.dataset.ready === 'yes'")
	t.Logf("opened again, it was shown within %.0f ms", webtest.Eval[float64](p, "performance.now()"))
	p.Shot("large-light", true)
	p.Show(webtest.Look{Dark: true})
	p.Shot("large-dark", true)
	p.Show(webtest.Look{})
	p.Key("/", webtest.Escape, webtest.End)
	last := slices.MaxFunc(list, func(a, b tensor.Info) int { return natural(a.Path, b.Path) })
	if text := webtest.Eval[string](p, "document.querySelector('.tensors-window').lastChild.textContent"); !strings.HasPrefix(text, last.Path) {
		t.Errorf("the last row is %q, want %s", text, last.Path)
	}
	webtest.Eval[any](p, "document.querySelector('.tensors-box').scrollTop = 700000")
	p.Until("document.querySelector('.tensors-window').firstChild.dataset.at > 20000")
	p.Key("/", "up_proj layer=17")
	if status := webtest.Eval[string](p, "document.querySelector('.tensors-status').textContent"); !strings.HasPrefix(status, "320 of "+words.Number(int64(len(list)))+" tensors") { // of the 320 experts one is missing; those that are shared are one
		t.Errorf("a search finds %s", status)
	}
	if most := max(before, elements()); most > 1500 {
		t.Errorf("the page has %d elements", most)
	}
	if n := webtest.Eval[int](p, "document.querySelectorAll('.tensors-row').length"); n > 60 {
		t.Errorf("the list has %d rows at once", n)
	}
	p.Quiet(url)
}

// What the program unpacks is what was packed, to the letter and the digit.
func TestUnpackedInTheBrowser(t *testing.T) {
	v, list := model(t, "hunyuan")
	for i := range list {
		list[i].Stats.AbsMax += 1e-9 * float64(i%3) // wide, some
		list[i].Stats.Infs = int64(i%2) << 40
		if i%5 == 0 {
			list[i].Stats = nil
		}
	}
	d := gather(t, Options{}, v, list)
	p, _ := open(t, d, webtest.Look{})
	webtest.Eval[any](p, `(async () => { const t = wreg.unpack(await wreg.inflate(document.getElementById("tensor-data").textContent));
		document.body.dataset.rows = JSON.stringify(Array.from({ length: t.rows }, (_, i) => [t.path(i), t.file(i), t.hash(i), t.dtype(i), t.shape(i), t.bytes(i), t.layer(i), t.expert(i), t.absmax(i), t.nans(i), t.infs(i), t.zeros(i)]));
	})() && ""`)
	p.Until("document.body.dataset.rows")
	text := webtest.Eval[string](p, "document.body.dataset.rows")
	var got [][]any
	if err := json.Unmarshal([]byte(text), &got); err != nil {
		t.Fatal(err)
	}
	want := unpacked(t, d.tensors)
	if len(got) != len(want) {
		t.Fatalf("%d rows, want %d", len(got), len(want))
	}
	for i, w := range want {
		number := func(x any) any {
			if x == nil {
				return nil
			}
			return x
		}
		row := []any{w.path, w.file, w.hash, w.kind.DType, nil, float64(w.kind.Bytes), nil, nil, nil, nil, nil, nil}
		var shape []any
		for _, n := range w.kind.Shape {
			shape = append(shape, float64(n))
		}
		row[4] = shape
		if w.layer >= 0 {
			row[6] = float64(w.layer)
		}
		if w.expert >= 0 {
			row[7] = float64(w.expert)
		}
		if w.stats {
			row[8], row[9], row[10], row[11] = w.absMax, float64(w.nans), float64(w.infs), float64(w.zeros)
		}
		for k := range row {
			if fmt.Sprint(number(row[k])) != fmt.Sprint(number(got[i][k])) {
				t.Errorf("%s: %v, want %v", w.path, got[i], row)
				break
			}
		}
	}
}
