package ui

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
	"wreg/view"
)

// hostile are names of tensors that would act if a page took them for more than text.
var hostile = []string{
	`<img src=x onerror="document.title='owned'">.weight`, `</script><script>document.title='owned'</script>`,
	"a\u202egnp.exe", `"><svg/onload=document.title='owned'>`, "layers.0.javascript:alert(1)", "{{.}}", "'; rm -rf ~ #", "\x1b[31m.red", `=HYPERLINK("http://127.0.0.1:1","x")`, "-1+cmd|x", "@SUM(1)", "+1", strings.Repeat("L", 8000), "__proto__", "a\xffb",
}

// checkpoint is what a golden was made of: its config.json, and tensors with hashes and
// statistics as an ingest would have them.
func checkpoint(t testing.TB, name string) (config []byte, list []tensor.Info) {
	t.Helper()
	c, err := synth.Golden("../../registry/arch/testdata/goldens/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	return c.Config, hashed(c.Source)
}

// hashed gives tensors the hash of their path, and statistics.
func hashed(list []tensor.Info) []tensor.Info {
	list = slices.Clone(list)
	for i := range list {
		list[i].Hash = tensor.Hash(sha256.Sum256([]byte(list[i].Path)))
		list[i].Stats = &tensor.Stats{Min: -0.125, Max: 0.125, AbsMax: 0.125}
		list[i].File = "model.safetensors"
	}
	return list
}

// large is a model of many layers and experts: 61 of 320 are 58,450 tensors.
func large(t testing.TB, layers, experts int) (config []byte, list []tensor.Info) {
	t.Helper()
	config, err := synth.Config("deepseek_v3")
	if err != nil {
		t.Fatal(err)
	}
	for size, n := range map[string]int{"num_hidden_layers": layers, "n_routed_experts": experts} {
		if config, err = synth.SetKey(config, size, strconv.Itoa(n)); err != nil {
			t.Fatal(err)
		}
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
	for _, w := range wants {
		n, err := w.Shape.Numel()
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tensor.Info{Path: w.Path, DType: tensor.BF16, Shape: w.Shape, Bytes: 2 * n})
	}
	return config, hashed(list)
}

// put adds a revision to a registry file.
func put(t testing.TB, path string, v registry.Revision, list []tensor.Info) {
	t.Helper()
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v.Hashed = true
	if v.Created.IsZero() {
		v.Created = time.Unix(1_700_000_000+int64(len(v.Model)), 0)
	}
	if v.Root == "" {
		v.Root = "/models/" + v.Model
	}
	v.Files = []tensor.File{{Name: "model.safetensors", Size: 1 << 20, Format: "safetensors"}}
	if _, err := r.Put(context.Background(), v, list); err != nil {
		t.Fatal(err)
	}
}

// without is a list without the tensors whose paths have a part.
func without(list []tensor.Info, part string) []tensor.Info {
	return slices.DeleteFunc(slices.Clone(list), func(t tensor.Info) bool { return strings.Contains(t.Path, part) })
}

// small is a registry with a whole model, one with a gap, a fine-tune, an export of a model that
// is gone, and one with hostile names.
func small(t testing.TB) (path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "registry.db")
	config, list := checkpoint(t, "hunyuan")
	put(t, path, registry.Revision{Model: "hy", Config: config}, list)
	put(t, path, registry.Revision{Model: "broken", Config: config}, without(list, "layers.3.mlp.experts.2.up_proj"))
	tuned := slices.Clone(list)
	for i := range tuned {
		if strings.Contains(tuned[i].Path, "q_proj") {
			tuned[i].Hash[0] ^= 1
		}
	}
	put(t, path, registry.Revision{Model: "hy-tuned", Config: config}, tuned)
	put(t, path, registry.Revision{Model: "hy-gone-mlx", Config: config, Source: "gone@1", Receipt: []byte(`{"a":1}`)}, list)
	var evil []tensor.Info
	for i, name := range hostile {
		evil = append(evil, tensor.Info{Path: name, DType: tensor.F32, Shape: tensor.Shape{2}, Bytes: 8, Offset: int64(8 * i)})
	}
	put(t, path, registry.Revision{Model: "evil", Root: "/models/<b>\u202e", Tool: "<b>"}, hashed(evil))
	return path
}

// running is a server that answers, and a browser without a screen that was let in.
type running struct {
	*Server
	*http.Client
	t    testing.TB
	stop func() // ends the server
}

func serve(t testing.TB, path string) *running {
	t.Helper()
	s, err := Listen(Options{Registry: path, Version: "wreg test"})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	var end sync.WaitGroup
	end.Go(func() {
		if err := s.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	ended := func() { stop(); end.Wait() }
	t.Cleanup(ended)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	r := &running{s, &http.Client{Jar: jar}, t, ended}
	if status, page := r.get("/?token=" + s.token); status != http.StatusOK {
		t.Fatalf("the token: %d\n%s", status, page)
	}
	return r
}

// get asks for a page.
func (r *running) get(path string) (status int, page string) {
	r.t.Helper()
	res, err := r.Client.Get("http://127.0.0.1:" + r.port + path)
	if err != nil {
		r.t.Error(err)
		return 0, ""
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Error(err)
	}
	return res.StatusCode, string(text)
}

// want asks for a page that must have some texts, and is fine.
func (r *running) want(path string, texts ...string) string {
	r.t.Helper()
	status, page := r.get(path)
	if status != http.StatusOK {
		r.t.Errorf("%s: %d\n%s", path, status, page)
	}
	for _, text := range texts {
		if !strings.Contains(page, text) {
			_, main, _ := strings.Cut(page, "<main")
			r.t.Errorf("%s does not say %q:\n%s", path, text, cmp.Or(main, page))
		}
	}
	return page
}

// Every page says what it is for, and how to ask the same on the command line.
func TestPages(t *testing.T) {
	r := serve(t, small(t))
	r.want("/", "5 models", ">hy@1<", `hx-get="/part/models?page=1"`, "<code>wreg ls</code>", `hx-get="/part/model/broken@1"`)
	r.want("/part/model/broken@1", ">1 gap<", ">hunyuan<")
	r.want("/part/model/hy@1", ">whole<")
	page := r.want("/part/models", ">all of it is in <", "exported from <span class=\"mono\">gone@1</span>, which is not in the registry", "<span class=\"tree\" aria-hidden=\"true\">└─ </span>")
	if !strings.Contains(page, ">1 gap<") {
		t.Errorf("what is known of a revision is not shown at once:\n%s", page)
	}
	r.want("/model/broken@1", "1 gap", "model.<wbr>layers.", "missing", "<code>wreg show broken@1</code>")
	r.want("/model/broken", "broken@1")
	r.want("/part/kin/hy@1", "hy-tuned@1", "has 96.1 % of its bytes from this", "has all of its bytes from this")
	r.want("/part/kin/hy-tuned@1", "96.1 % of it is in")
	r.want("/model/broken@1/coverage", `id="map-data"`, "1 missing", "<code>wreg coverage broken@1</code>")
	r.want("/model/broken@1/coverage?component=mlp.experts&column=0", "layer 0", "find ^model.layers.0.mlp.experts.* in broken@1")
	r.want("/model/broken@1/statistics", "0.125", "<code>wreg stats broken@1</code>")
	r.want("/model/hy@1/tensors", "1 to ", "find * in hy@1")
	r.want("/model/hy@1/tensors?filter=q_proj&sort=-bytes", "find * in hy@1 where path ~ /q_proj/ order by bytes desc", `aria-sort="descending"`)
	r.want("/model/hy@1/tensors?filter=mlp.*", "find mlp.* in hy@1")
	r.want("/model/hy@1/tensors?filter=nothing.there", "No tensor matches")
	r.want("/model/hy@1/tensor?path=model.embed_tokens.weight", "SHA-256", "The same bytes elsewhere", "hy-tuned@1", "<code>wreg show hy@1 model.embed_tokens.weight</code>")
	r.want("/model/hy@1/files", "model.<wbr>safetensors")
	r.want("/model/hy-gone-mlx@1/receipt", "&#34;a&#34;: 1", "<code>wreg verify hy-gone-mlx@1</code>")
	r.want("/model/hy@1/receipt", "no receipt", "config.json")
	r.want("/model/broken@1/compare", `<option value="hy@1"`)
	r.want("/model/broken@1/compare?with=hy", "missing", "<code>wreg diff hy@1 broken@1</code>")
	r.want("/model/hy@1/compare?with=hy-gone-mlx@1", "No gaps in hy@1, compared with hy-gone-mlx@1")
	r.want("/query", "To begin with")
	r.want("/query?q=find+*+wher+x", `class="fault"`, `data-column="8"`, "did you mean &#34;where&#34;", "\n         ^")
	r.want("/query?q=find+q_proj&model=hy", "find q_proj.*")
	if page := r.want("/query?q=find+model.norm.weight+in+*", "model.<wbr>norm"); strings.Contains(page, "%2C") || strings.Contains(page, ", hy") && strings.Contains(page, `href="/model/broken@1, `) {
		t.Error("a tensor of several models leads somewhere")
	}
	r.want("/query?q=gaps+in+broken", "missing", "<code>wreg query &#39;gaps in broken&#39;</code>")
	r.want("/query?q=find+*.weight&model=hy&explain=1", "list every row", "<code>wreg query &#39;find *.weight&#39; -m hy@1</code>")
	r.want("/complete?q=missing+mlp.&model=hy", `"text":"missing mlp.`)
	r.want("/complete?q=find+*+where+abs", "absmax", `"about":`)
}

// What cannot be shown is a page that says what to do.
func TestTroubles(t *testing.T) {
	r := serve(t, small(t))
	for path, want := range map[string]struct {
		status int
		text   string
	}{
		"/model/brokn":                                           {http.StatusNotFound, "did you mean broken?"},
		"/model/hy@9":                                            {http.StatusNotFound, "hy@1"},
		"/nothing":                                               {http.StatusNotFound, "no such page"},
		"/model/hy@1/nothing":                                    {http.StatusNotFound, "no such page"},
		"/model/evil@1/coverage":                                 {http.StatusOK, "There is no map of this model"},
		"/model/hy@1/tensor?path=a%20b":                          {http.StatusOK, "No rows"},
		"/query?q=" + strings.Repeat("x", 20000):                 {http.StatusRequestURITooLong, "--file"},
		"/model/hy@1/coverage?by=expert&of=x":                    {http.StatusBadRequest, "number of a layer"},
		"/model/hy@1/coverage?component=no":                      {http.StatusNotFound, "no component"},
		"/model/hy@1/tensor?path=" + strings.Repeat("*.", 10000): {http.StatusNotFound, "no tensor"},
		"/query?q=find+*&model=nope":                             {http.StatusNotFound, "not in the registry"},
		"/query?q=find+*":                                        {http.StatusOK, "choose with in NAME"},
	} {
		if status, page := r.get(path); status != want.status || !strings.Contains(page, want.text) {
			t.Errorf("%s: %d, want %d and %q:\n%s", path, status, want.status, want.text, page)
		}
	}
	none := serve(t, filepath.Join(t.TempDir(), "none.db"))
	if status, page := none.get("/"); status != http.StatusNotFound || !strings.Contains(page, "wreg ingest PATH makes one") {
		t.Errorf("without a registry: %d\n%s", status, page)
	}
}

// A registry of many revisions is shown in pages, each revision on one of them.
func TestManyModels(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	const many = 2*maxShown + 7
	for i := range many {
		list := hashed([]tensor.Info{{Path: fmt.Sprint("w", i), DType: tensor.U8, Shape: tensor.Shape{1}, Bytes: 1}})
		if _, err := r.Put(t.Context(), registry.Revision{Model: fmt.Sprintf("m%03d", i), Root: "/m"}, list); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s := serve(t, path)
	seen := 0
	for page := range 3 {
		seen += strings.Count(s.want(fmt.Sprintf("/?page=%d", page+1), fmt.Sprintf("page %d of 3", page+1), fmt.Sprintf(">m%03d@1<", page*maxShown)), `class="tree"`)
	}
	if seen != many {
		t.Errorf("%d revisions on three pages, want %d", seen, many)
	}
	s.want("/?page=99", "page 3 of 3")
	s.want("/part/models?page=2", "page 2 of 3", ">m100@1<")
}

// A cell lists its own tensors, whatever the names, the tower of its layers and the numbers in it; so many as the map says. So do
// filters and the pages of folded lines with whatever is typed.
func TestCells(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	config, list := large(t, 3, 2)
	put(t, path, registry.Revision{Model: "m", Config: config}, without(list, "layers.1.mlp.experts.1.up_proj"))
	for _, name := range []string{"llava", "qwen2_vl", "gemma3n", "llama4"} {
		config, list := checkpoint(t, name)
		put(t, path, registry.Revision{Model: name, Config: config}, list)
	}
	r := serve(t, path)
	cells := 0
	for _, model := range []string{"m", "llava", "qwen2_vl", "gemma3n", "llama4"} {
		for _, of := range []string{"", "?by=expert&of=1"} {
			if of != "" && model != "m" {
				continue
			}
			var m view.Map
			_, text, ok := strings.Cut(r.want("/model/"+model+"/coverage"+of), `id="map-data">`)
			text, _, _ = strings.Cut(text, "</script>")
			if err := json.Unmarshal([]byte(text), &m); err != nil || !ok {
				t.Fatalf("%s: %v in %s", model, err, text)
			}
			for _, row := range m.Rows {
				check := func(column string, c view.Cell) {
					cells++
					address := link(model+"@1", "coverage", "component", row.Component, "column", column)
					if of != "" {
						address += "&" + of[1:]
					}
					page := r.want(address)
					_, page, _ = strings.Cut(page, `id="cell"`)
					var there int64
					if at := strings.LastIndex(page, " row"); c.Tensors > 0 && at >= 0 {
						fmt.Sscan(page[strings.LastIndex(page[:at], " ")+1:at], &there)
					} else if c.Tensors > 0 {
						there = int64(strings.Count(page[strings.LastIndex(page, "<tbody>"):], "<tr>"))
					}
					if there < c.Tensors || there > c.Tensors && !strings.Contains(row.Component, ".") {
						t.Errorf("%s: %d tensors, the map has %d:\n%s", address, there, c.Tensors, page)
					}
				}
				for i, c := range row.Cells {
					check(fmt.Sprint(m.Layers[i]), c)
				}
				if row.Outside != nil && row.Cells == nil {
					check("", *row.Outside)
				}
			}
		}
	}
	if cells < 100 {
		t.Errorf("%d cells", cells)
	}
	for _, text := range []string{"a b", "it's", `say "x"`, "a/b", `back\slash`, "(", "[", "é", "a*'b", `{a,b c}*`, "^x y*", "where", "~", "#", ""} {
		if page := r.want(link("m", "tensors", "filter", text)); strings.Contains(page, `class="fault"`) {
			_, page, _ = strings.Cut(page, `class="fault"`)
			t.Errorf("filter %q: %s", text, page)
		}
	}
}
