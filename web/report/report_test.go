package report

import (
	"bytes"
	"compress/zlib"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
	"wreg/view"
	"wreg/web"
)

const goldens = "../../registry/arch/testdata/goldens/"

// model is a checkpoint as a registry has it.
func model(t testing.TB, name string) (registry.Revision, []tensor.Info) {
	t.Helper()
	c, err := synth.Golden(goldens + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	list := slices.Clone(c.Source)
	for i := range list {
		list[i].Hash = tensor.Hash{byte(i), byte(i >> 8), 1}
		list[i].File = "model.safetensors"
		list[i].Stats = &tensor.Stats{Min: -0.5, Max: float64(i), AbsMax: float64(i) + 0.5}
	}
	return registry.Revision{Model: "m", Root: "/m", Config: c.Config, Hashed: true, Tool: "wreg test",
		Files: []tensor.File{{Name: "model.safetensors", Size: 99, Format: "safetensors", ModTime: time.Unix(1, 0)}}}, list
}

// gather makes a report of the first of some models, compared with the second if there
// is one.
func gather(t testing.TB, o Options, models ...any) *Data {
	t.Helper()
	against := ""
	if len(models) > 2 {
		against = models[2].(registry.Revision).Model
	}
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var first *registry.Revision
	for i := 0; i < len(models); i += 2 {
		v, err := r.Put(t.Context(), models[i].(registry.Revision), models[i+1].([]tensor.Info))
		if err != nil {
			t.Fatal(err)
		}
		if first == nil {
			first = v
		}
	}
	var d *Data
	if err := r.View(func(s *registry.Snapshot) (err error) {
		if against != "" {
			other, err := s.Find(against)
			if err != nil {
				return err
			}
			if o.Against, err = view.Compare(t.Context(), s, other, first, nil); err != nil {
				return err
			}
		}
		d, err = Gather(t.Context(), s, first, o)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return d
}

func written(t testing.TB, d *Data) string {
	t.Helper()
	var b bytes.Buffer
	if err := d.Write(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// element is what stands in the first element that begins so.
func element(t testing.TB, page, begin string) string {
	t.Helper()
	_, rest, ok := strings.Cut(page, begin)
	text, _, ok2 := strings.Cut(rest, "</")
	if !ok || !ok2 {
		t.Fatalf("no %s in the page", begin)
	}
	return text
}

func inflated(t testing.TB, text string) []byte {
	t.Helper()
	raw, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	z, err := zlib.NewReader(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Equal registries give equal pages; only a date differs, and can be left out.
func TestEqualRegistriesGiveEqualPages(t *testing.T) {
	v, list := model(t, "hunyuan")
	v.Created = time.Unix(7, 0)
	first, again := written(t, gather(t, Options{Tool: "wreg test"}, v, list)), written(t, gather(t, Options{Tool: "wreg test"}, v, list))
	if first != again {
		t.Error("two pages of one model differ")
	}
	dated := written(t, gather(t, Options{Tool: "wreg test", Generated: time.Unix(1e9, 0)}, v, list))
	if without := strings.Replace(dated, `,"generated":"2001-09-09T01:46:40Z"`, "", 1); without != first {
		t.Error("a page with a date differs in more than the date")
	}
}

// The policy allows the page's own program and style, to the letter, and nothing else;
// the page names no address and handles no event in its markup.
func TestPolicy(t *testing.T) {
	v, list := model(t, "hunyuan")
	page := written(t, gather(t, Options{}, v, list))
	policy, _, _ := strings.Cut(element(t, page, `http-equiv="Content-Security-Policy" content="`), `"`)
	want := "default-src 'none'; script-src " + web.Hash(element(t, page, "<script>")) + "; style-src " + web.Hash(element(t, page, "<style>")) +
		"; img-src data:; base-uri 'none'; form-action 'none'"
	if policy != want {
		t.Errorf("policy %s, want %s", policy, want)
	}
	for _, e := range regexp.MustCompile(`<[a-zA-Z!][^>]*>`).FindAllString(asset("report.html"), -1) {
		if regexp.MustCompile(`(?i)\son|\sstyle=|https?:|\ssrc=`).MatchString(e) {
			t.Errorf("the page has %s", e)
		}
	}
	if strings.Contains(page, "{{") {
		t.Error("something was not put in")
	}
}

// Hostile names are data, whatever they hold, and two of them stay two.
func TestHostileNamesAreData(t *testing.T) {
	names := []string{"<img src=x onerror=alert(1)>", "</script><script>alert(1)</script>", "<!--<script>", "{{data}}.{{tensors}}", "a\u202eb", "a\xffb", `a\xffb`, "layers.00.x", "layers.9999999999999999999.x",
		"layers.{n}.x", "layers.999999999999999999.x", "x.1.{expert}.2"}
	var list []tensor.Info
	for i, name := range names {
		list = append(list, tensor.Info{Path: name, DType: tensor.F32, Shape: tensor.Shape{1}, Bytes: 4, File: name, Offset: int64(i)})
	}
	v := registry.Revision{Model: "m", Root: "/m</script>", Files: []tensor.File{{Name: "</script>", Size: 1}},
		Findings: []tensor.Finding{{Rule: "r", Tensor: names[0], Message: names[1] + names[4]}}}
	d := gather(t, Options{}, v, list)
	page := written(t, d)
	if n := strings.Count(page, "</script"); n != 4 {
		t.Errorf("%d script elements end, want 4", n)
	}
	var back Data
	if err := json.Unmarshal([]byte(element(t, page, `id="data">`)), &back); err != nil {
		t.Fatal(err)
	}
	if got, want := back.Model.Findings[0].Message, names[1]+`a\u202eb`; got != want {
		t.Errorf("a message is %q, want %q", got, want)
	}
	if m := d.layers.Map; d.Whole() || back.Model.Verdict.State != view.Unknown || m == nil || m.Total.Tensors != int64(len(list)) {
		t.Errorf("a model without an architecture is %+v, its map %+v", back.Model.Verdict, m)
	}
	var paths []string
	for _, r := range unpacked(t, element(t, page, `id="tensor-data">`)) {
		paths = append(paths, r.path)
	}
	for _, name := range []string{names[0], names[1], names[3], `a\u202eb`, `a\xffb`, `a\\xffb`, names[7], names[8], names[9], names[10], names[11]} {
		if !slices.Contains(paths, name) {
			t.Errorf("%q is not among %q", name, paths)
		}
	}
	if len(paths) != len(names) {
		t.Errorf("%d rows, want %d", len(paths), len(names))
	}
}

// Every exit of a report: whole, gaps, findings, checks that do not pass, and nothing to
// judge by.
func TestWhole(t *testing.T) {
	v, list := model(t, "hunyuan")
	lost := slices.DeleteFunc(slices.Clone(list), func(i tensor.Info) bool { return strings.Contains(i.Path, "layers.0.mlp.experts.1.up_proj") })
	found, unknown := v, v
	found.Findings = []tensor.Finding{{Rule: "stray-shard", File: "x"}}
	unknown.Config = nil
	noted := v
	noted.Findings = []tensor.Finding{{Rule: "variant", File: "x"}}
	for _, c := range []struct {
		v      registry.Revision
		list   []tensor.Info
		checks []Check
		whole  bool
		says   string
	}{
		{v, list, nil, true, "whole"},
		{noted, list, nil, true, "whole"},
		{v, lost, nil, false, "1 gap"},
		{found, list, nil, false, "whole, 1 finding"},
		{unknown, list, nil, false, "no architecture to judge it by"},
		{v, list, []Check{{Name: "a", Result: "pass"}}, true, "whole"},
		{v, list, []Check{{Name: "a", Result: "pass"}, {Name: "b", Result: "fail"}, {Name: "c", Result: "error"}}, false, "whole, 2 checks not passed"},
	} {
		if d := gather(t, Options{Checks: c.checks}, c.v, c.list); d.Whole() != c.whole || d.Summary() != c.says {
			t.Errorf("whole %v, %q; want %v, %q", d.Whole(), d.Summary(), c.whole, c.says)
		}
	}
}

// What a list has no room for is counted, never dropped.
func TestLongListsAreCounted(t *testing.T) {
	v, list := model(t, "hunyuan")
	for i := range maxList + 7 {
		v.Findings = append(v.Findings, tensor.Finding{Rule: "r", File: fmt.Sprint(i)})
		v.Files = append(v.Files, tensor.File{Name: fmt.Sprint("f", i)})
	}
	d := gather(t, Options{}, v, list)
	if len(d.Model.Findings) != maxList || d.Left.Findings != 7 || len(d.Files) != maxList || d.Left.Files != 8 {
		t.Errorf("%d findings and %d more, %d files and %d more", len(d.Model.Findings), d.Left.Findings, len(d.Files), d.Left.Files)
	}
}

// What another model has is compared with it; a comparison of others is refused.
func TestAgainst(t *testing.T) {
	v, list := model(t, "hunyuan")
	other := v
	other.Model = "other"
	lost := slices.DeleteFunc(slices.Clone(list), func(i tensor.Info) bool { return strings.Contains(i.Path, "layers.0.mlp.experts.1.up_proj") })
	d := gather(t, Options{}, v, lost, other, list)
	c := d.layers.Against
	if d.Against != "other@1" || c == nil || c.Missing != 1 || c.Changed+c.Extra != 0 || len(c.Lines) != 1 || c.Lines[0].Status != "missing" || c.Lines[0].Tensors != 1 {
		t.Errorf("against %s: %+v", d.Against, c)
	}
	if err := d.compared(&view.Comparison{A: "m@1", B: "other@1"}); err == nil {
		t.Error("a comparison of other models is taken")
	}
}
