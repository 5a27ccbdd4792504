package view

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
	"weak"

	"wreg/accel"
	"wreg/export"
	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
	"wreg/view/measure"
)

// compare compares a and b, and measures unless it should not.
func (b *bench) compare(was, is string, values bool, o measure.Options) *Comparison {
	b.Helper()
	c, err := b.tryCompare(was, is, values, o)
	if err != nil {
		b.Fatal(err)
	}
	if _, err := json.Marshal(c); err != nil {
		b.Fatal(err)
	}
	if n := int64(0); c.count(Equal) != n { // equal ones are not listed
		b.Errorf("%d equal tensors are listed", c.count(Equal))
	}
	if got := c.count("changed") + c.count("missing") + c.count("extra") + c.count(Uncompared); got != int64(len(c.Tensors)) ||
		c.Changed != c.count("changed") || c.Missing != c.count("missing") || c.Extra != c.count("extra") || c.Uncompared != c.count(Uncompared) {
		b.Errorf("%d of %d tensors counted: %+v", got, len(c.Tensors), c)
	}
	return c
}

func (c *Comparison) count(status string) (n int64) {
	for _, t := range c.Tensors {
		if t.Status == status {
			n++
		}
	}
	return n
}

func (b *bench) tryCompare(was, is string, values bool, o measure.Options) (c *Comparison, err error) {
	err = b.Registry.View(func(s *registry.Snapshot) error {
		x, err := s.Find(was)
		if err != nil {
			return err
		}
		y, err := s.Find(is)
		if err != nil {
			return err
		}
		c, err = Compare(b.Context(), s, x, y, nil)
		return err
	})
	if err == nil && values {
		err = c.Measure(b.Context(), o)
	}
	return c, err
}

func (c *Comparison) tensor(t testing.TB, path string) *Difference {
	t.Helper()
	i := slices.IndexFunc(c.Tensors, func(d Difference) bool { return d.Path == path })
	if i < 0 {
		t.Fatalf("%s is not among %d differences", path, len(c.Tensors))
	}
	return &c.Tensors[i]
}

// relativeOf is ‖y-x‖/‖x‖, plainly.
func relativeOf(x, y []float64) float64 {
	var d, n float64
	for i := range x {
		d += (y[i] - x[i]) * (y[i] - x[i])
		n += x[i] * x[i]
	}
	return math.Sqrt(d) / math.Sqrt(n)
}

func (d *Difference) expect(t testing.TB, x, y []float64) {
	t.Helper()
	want := relativeOf(x, y)
	if d.Change == nil || d.Change.Relative == nil || math.Abs(*d.Change.Relative-want) > 1e-12*want || d.Change.Elements != int64(len(x)) {
		t.Errorf("%s: %+v, want %g of %d elements", d.Path, d.Change, want, len(x))
	}
}

// A fine-tune: which tensors, and by how much; the rest is equal by its hash and not read.
func TestCompareTuned(t *testing.T) {
	b := newBench(t)
	b.Write("base", "llama", nil)
	b.Write("tuned", "llama", nil)
	const up, norm = "model.layers.1.mlp.up_proj.weight", "model.norm.weight"
	b.Edit("tuned", up, func(p []byte) { p[2*70] ^= 1; p[2*5] ^= 2 })
	b.Edit("tuned", norm, func(p []byte) { p[0], p[1] = 0xC0, 0x7F }) // NaN
	b.Ingest("base", false)
	b.Ingest("tuned", false)
	before := b.compare("base", "tuned", false, measure.Options{})
	if before.Changed != 2 || before.Equal != 19 || !before.Differs || before.Measured || before.Total != nil || before.tensor(t, up).Change != nil {
		t.Errorf("%+v", before)
	}
	c := b.compare("base", "tuned", true, measure.Options{})
	x, _, _ := b.read("base", up)
	y, _, _ := b.read("tuned", up)
	d := c.tensor(t, up)
	d.expect(t, x, y)
	if d.Change.Changed != 2 || d.Layer == nil || *d.Layer != 1 || d.Component != "mlp.up_proj" || d.A != "bf16" || d.BitsB != 16 || len(d.Change.At) != 2 || d.Reason != "" {
		t.Errorf("%+v %+v", d, d.Change)
	}
	at := d.Change.At[0]*64 + d.Change.At[1]
	if got := math.Abs(y[at] - x[at]); got != *d.Change.Max {
		t.Errorf("max %v at %v, where the change is %v", *d.Change.Max, d.Change.At, got)
	}
	n := c.tensor(t, norm)
	if n.Change.NaNs != 1 || n.Change.Changed != 1 || *n.Change.Relative != 0 || *n.Change.Max != 0 || n.Layer != nil || n.Change.At != nil {
		t.Errorf("NaN: %+v", n.Change)
	}
	if c.Total.Changed != 3 || c.Total.NaNs != 1 || c.Total.AtPath != up || c.Equal != 19 || !c.Measured {
		t.Errorf("%+v", c.Total)
	}
	one, _ := json.Marshal(c)
	for _, jobs := range []int{1, 2, 7} {
		again, _ := json.Marshal(b.compare("base", "tuned", true, measure.Options{Jobs: jobs, Memory: 64 << 20}))
		if string(again) != string(one) {
			t.Errorf("%d jobs:\n%s\nbut\n%s", jobs, again, one)
		}
	}
	part := c.Parts[slices.IndexFunc(c.Parts, func(p Part) bool { return p.Component == "mlp.up_proj" })]
	if part.Patches[0].Change != nil || part.Patches[0].Equal != 1 || part.Patches[1].Change == nil || part.Patches[1].Changed != 1 || part.Total.Change.Changed != 2 {
		t.Errorf("%+v %+v", part.Patches[0], part.Patches[1])
	}
	same := b.compare("base", "base", true, measure.Options{})
	if same.Differs || same.Equal != 21 || same.Bytes != 0 || same.Total != nil {
		t.Errorf("itself: %+v", same)
	}
}

// What one side has quantized, and stacked, is compared by what the codes stand for.
func TestCompareQuantized(t *testing.T) {
	b := newBench(t)
	b.Write("moe", "qwen3_moe", nil)
	b.Ingest("moe", false)
	for _, q := range []export.Quantize{{Group: 32}, {Bits: 8, Group: 32}, {Mode: accel.MXFP4}, {Mode: accel.NVFP4}} {
		name := fmt.Sprintf("moe-%s%d", q.Mode, q.Bits)
		b.Export("moe", name, export.Options{Quantize: &q})
		before := b.compare("moe", name, false, measure.Options{})
		if !before.Differs || before.Changed != 0 || before.Uncompared == 0 || before.Quantized == nil {
			t.Errorf("%s: %+v", name, before)
		}
		c := b.compare("moe", name, true, measure.Options{})
		if c.Uncompared != 0 || c.Changed != before.Uncompared || c.Missing+c.Extra != 0 || c.Equal != before.Equal || slices.ContainsFunc(c.Notes, func(n string) bool { return strings.Contains(n, "not compared") }) {
			t.Errorf("%s: %d changed, %d missing, %d extra, %d not compared, %q", name, c.Changed, c.Missing, c.Extra, c.Uncompared, c.Notes)
		}
		seen, bytes, elements := 0, int64(0), int64(0)
		squares, of := map[string]float64{}, map[string]float64{} // of each cell of the map
		for _, d := range c.Tensors {
			module := strings.TrimSuffix(d.Path, "weight")
			var x []float64
			if before, after, stacked := strings.Cut(d.Path, ".switch_mlp."); stacked {
				seen++
				for e := range 4 {
					one, _, _ := b.read("moe", fmt.Sprintf("%s.experts.%d.%s", before, e, after))
					x = append(x, one...)
				}
			} else {
				x, _, _ = b.read("moe", d.Path)
			}
			_, _, codes := b.read(name, d.Path)
			_, kind, scales := b.read(name, module+"scales")
			var biases []byte
			stored := len(codes) + len(scales)
			spec := accel.QuantSpec{Mode: q.Mode, Bits: 8 * len(codes) / len(x)}
			if kind != tensor.U8 { // a rule of the architecture's own may be affine
				_, _, biases = b.read(name, module+"biases")
				spec.Mode, spec.Group = accel.Affine, len(x)/(len(scales)/2)
				stored += len(biases)
			} else {
				kind = tensor.BF16
			}
			spec, err := spec.Resolve()
			if err != nil {
				t.Fatal(err)
			}
			out := make([]byte, 2*len(x))
			if err := accel.CPU().Dequantize(out, codes, scales, biases, kind, 1, len(x), spec); err != nil {
				t.Fatal(err)
			}
			y := wide(t, kind, out)
			d.expect(t, x, y)
			parts := strings.Split(strings.Replace(d.Path, "model.layers.", "layers.", 1), ".")
			cell := strings.Join(parts[:max(1, len(parts)-2)], ".")
			for i := range x {
				squares[cell] += (y[i] - x[i]) * (y[i] - x[i])
				of[cell] += x[i] * x[i]
			}
			if want := 8 * float64(stored) / float64(len(x)); d.BitsB != want || d.BitsA != 16 {
				t.Errorf("%s: %v bits, want %v", d.Path, d.BitsB, want)
			}
			bytes, elements = bytes+int64(stored), elements+int64(len(x))
		}
		if seen != 6 {
			t.Errorf("%s: %d stacks of experts, want 6", name, seen)
		}
		b.errorsOnMap(c, name, squares, of)
		if want := 8 * float64(bytes) / float64(elements); c.Quantized.BitsB != want || *c.Quantized.Change.Relative != *c.Total.Relative {
			t.Errorf("%s: %v bits in all, want %v", name, c.Quantized.BitsB, want)
		}
	}
	c := b.compare("moe-8", "moe-0", true, measure.Options{}) // two packings, each of mlx
	if c.Missing+c.Extra+c.Uncompared != 0 || len(c.Lines) != 0 || c.Changed == 0 {
		t.Errorf("8 and 4 bits: %+v", c)
	}
	for _, d := range c.Tensors {
		if d.Change == nil || d.Reason != "" || *d.Change.Relative <= 0 || *d.Change.Relative > 0.2 {
			t.Errorf("8 and 4 bits: %s: %+v %q", d.Path, d.Change, d.Reason)
		}
	}
	b.Export("moe", "moe-mlx", export.Options{})
	if c = b.compare("moe-mlx", "moe-0", true, measure.Options{}); c.Missing+c.Extra+c.Uncompared != 0 || c.Total.Relative == nil || *c.Total.Relative > 0.2 {
		t.Errorf("mlx, plain and packed: %d missing, %d extra, %d not compared, %+v, %+v", c.Missing, c.Extra, c.Uncompared, c.Total, c.Lines)
	}
	if c = b.compare("moe-mlx", "moe", true, measure.Options{}); c.Differs {
		t.Errorf("stacks and experts: %+v", c)
	}
	b.Export("moe-0", "moe-back", export.Options{Dequantize: true})
	if c = b.compare("moe-0", "moe-back", true, measure.Options{}); c.Differs || c.Changed != 0 {
		t.Errorf("dequantized: %+v", c.Tensors)
	}
}

// Codes whose scales differ are other weights: they are compared by what both stand for.
func TestCompareScaled(t *testing.T) {
	b := newBench(t)
	b.Write("fp8", "deepseek_v3-fp8", nil)
	b.Write("other", "deepseek_v3-fp8", nil)
	const scale = "model.layers.0.self_attn.o_proj.weight_scale_inv"
	b.Edit("other", scale, func(p []byte) {
		for i := 3; i < len(p); i += 4 { // an f32 times two
			p[i-1] ^= 0x80
			if p[i-1]&0x80 == 0 {
				p[i]++
			}
		}
	})
	b.Ingest("fp8", false)
	b.Ingest("other", false)
	c := b.compare("fp8", "other", true, measure.Options{})
	if len(c.Tensors) != 1 {
		t.Fatalf("%+v", c.Tensors)
	}
	d := c.Tensors[0]
	x, _, _ := b.read("fp8", scale)
	y, _, _ := b.read("other", scale)
	if ratio := y[0] / x[0]; ratio == 1 || math.Abs(*d.Change.Relative-math.Abs(ratio-1)) > 1e-9 || d.A != "f8_e4m3" {
		t.Errorf("%+v %+v, scales differ by %v", d, d.Change, y[0]/x[0])
	}
}

// Whatever is only on one side, or of another shape, is told and has no numbers.
func TestCompareUnlike(t *testing.T) {
	b := newBench(t)
	b.Write("base", "llama", nil)
	b.Write("odd", "llama", func(c *synth.Case) {
		c.Source = c.Without("layers.0.mlp.up_proj")
		for i := range c.Source {
			switch c.Source[i].Path {
			case "model.layers.1.mlp.gate_proj.weight":
				c.Source[i].Shape[0], c.Source[i].Shape[1] = c.Source[i].Shape[1], c.Source[i].Shape[0]
			case "model.layers.1.mlp.up_proj.weight":
				c.Source[i].DType = tensor.F32
				c.Source[i].Bytes *= 2
			case "model.norm.weight":
				c.Source = append(c.Source, tensor.Info{Path: "extra.weight", DType: tensor.I64, Shape: tensor.Shape{3}, Bytes: 24})
			}
		}
	})
	b.Ingest("base", false)
	b.Ingest("odd", false)
	c := b.compare("base", "odd", true, measure.Options{})
	if c.Missing != 1 || c.Extra != 1 || c.Changed != 2 || !c.Differs {
		t.Errorf("%+v", c)
	}
	if d := c.tensor(t, "model.layers.1.mlp.gate_proj.weight"); d.Change != nil || !strings.Contains(d.Reason, "shape is") || d.Remedy == "" {
		t.Errorf("%+v", d)
	}
	if d := c.tensor(t, "model.layers.1.mlp.up_proj.weight"); d.Change == nil || d.A != "bf16" || d.B != "f32" || !strings.Contains(d.Reason, "dtype") {
		t.Errorf("%+v", d)
	}
	if d := c.tensor(t, "model.layers.0.mlp.up_proj.weight"); d.Status != "missing" || d.Remedy == "" || d.A != "bf16" || d.B != "" {
		t.Errorf("%+v", d)
	}
	x, _, _ := b.read("base", "model.layers.1.mlp.up_proj.weight")
	b.Edit("odd", "model.layers.1.mlp.up_proj.weight", func(p []byte) { // the same numbers
		for i, v := range x {
			binary.LittleEndian.PutUint32(p[4*i:], math.Float32bits(float32(v)))
		}
	})
	b.Ingest("odd", false)
	if d := b.compare("base", "odd", true, measure.Options{}).tensor(t, "model.layers.1.mlp.up_proj.weight"); d.Status != "changed" || d.Change.Changed != 0 || !strings.Contains(d.Reason, "dtype") {
		t.Errorf("%+v", d)
	}
	if len(c.Lines) != 4 {
		t.Errorf("%+v", c.Lines)
	}
}

// A checkpoint that is not what was ingested is an error: by time, by size, and by its
// bytes where neither tells; without hashes by the first two.
func TestCompareChangedFiles(t *testing.T) {
	b := newBench(t)
	b.Write("base", "llama", nil)
	b.Write("tuned", "llama", nil)
	const up = "model.layers.1.mlp.up_proj.weight"
	b.Edit("tuned", up, func(p []byte) { p[0] ^= 1 })
	b.Ingest("base", false)
	b.Ingest("tuned", false)
	was, err := os.Stat(b.File("tuned"))
	if err != nil {
		t.Fatal(err)
	}
	b.Edit("tuned", up, func(p []byte) { p[9] ^= 1 })
	if err := os.Chtimes(b.File("tuned"), was.ModTime(), was.ModTime()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tryCompare("base", "tuned", true, measure.Options{}); err == nil || !strings.Contains(err.Error(), up) || !strings.Contains(err.Error(), "is not what tuned@1 has") {
		t.Errorf("a byte: %v", err)
	}
	later := was.ModTime().Add(time.Second)
	if err := os.Chtimes(b.File("tuned"), later, later); err != nil {
		t.Fatal(err)
	}
	for _, pair := range [][2]string{{"base", "tuned"}, {"tuned", "base"}, {"tuned", "tuned"}} {
		if _, err := b.tryCompare(pair[0], pair[1], true, measure.Options{}); err == nil || !strings.Contains(err.Error(), "changed since tuned@1 was ingested") {
			t.Errorf("the time, %v: %v", pair, err)
		}
	}
	if err := os.Truncate(b.File("tuned"), was.Size()-1); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tryCompare("base", "tuned", true, measure.Options{}); err == nil || !strings.Contains(err.Error(), "changed since tuned@1") {
		t.Errorf("the size: %v", err)
	}
	if err := os.Remove(b.File("tuned")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.tryCompare("base", "tuned", true, measure.Options{}); err == nil || !strings.Contains(err.Error(), "is not where it was ingested") {
		t.Errorf("gone: %v", err)
	}
}

// Without hashes nothing is equal before it was read.
func TestCompareUnhashed(t *testing.T) {
	b := newBench(t)
	b.Write("base", "llama", nil)
	b.Ingest("base", false)
	if err := os.CopyFS(filepath.Join(b.Dir, "raw"), os.DirFS(filepath.Join(b.Dir, "base"))); err != nil {
		t.Fatal(err)
	}
	b.Ingest("raw", true)
	if c := b.compare("base", "raw", false, measure.Options{}); c.Uncompared != 21 || c.Equal != 0 || !c.Differs || c.Bytes == 0 {
		t.Errorf("%+v", c)
	}
	if c := b.compare("base", "raw", true, measure.Options{}); c.Equal != 21 || c.Differs || len(c.Notes) != 0 {
		t.Errorf("%+v", c)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c, err := b.tryCompare("base", "raw", false, measure.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := c.Measure(ctx, measure.Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// What layout mlx leaves out on purpose is said to be left out.
func TestCompareDropped(t *testing.T) {
	b := newBench(t)
	b.Write("vision", "qwen2_vl", nil)
	b.Ingest("vision", false)
	b.Export("vision", "vision-mlx", export.Options{})
	c := b.compare("vision", "vision-mlx", false, measure.Options{})
	if c.Differs || !slices.ContainsFunc(c.Notes, func(n string) bool {
		return strings.HasPrefix(n, "19 tensors of vision@1 left out by layout mlx on purpose, not compared: visual.")
	}) {
		t.Errorf("%v %q", c.Differs, c.Notes)
	}
}

// What is needed to measure is let go once it was: of large models it is most of the memory.
// Gaps are let go before.
func TestMeasuredIsLean(t *testing.T) {
	b := newBench(t)
	b.Write("base", "llama", nil)
	b.Write("tuned", "llama", nil)
	b.Edit("tuned", "model.norm.weight", func(p []byte) { p[0] ^= 1 })
	b.Ingest("base", false)
	b.Ingest("tuned", false)
	c := b.compare("base", "tuned", false, measure.Options{})
	was := []weak.Pointer[side]{weak.Make(c.a), weak.Make(c.b)}
	parts := weak.Make(&c.Parts[0])
	if err := c.Measure(t.Context(), measure.Options{Progress: func(int64) {
		if runtime.GC(); parts.Value() != nil {
			t.Error("what was laid out before is held while reading")
		}
	}}); err != nil {
		t.Fatal(err)
	}
	runtime.GC()
	for _, w := range was {
		if w.Value() != nil {
			t.Errorf("%s is held", w.Value().revision.Ref())
		}
	}
	if c.Changed != 1 || c.Total == nil || len(c.Parts) == 0 {
		t.Errorf("%+v", c)
	}
}
