package export_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"wreg/export"
	"wreg/ingest"
	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
)

// Everything that would go wrong is said before the first byte is written.
func TestRefusedBeforeTheFirstByte(t *testing.T) {
	src := written(t, "llama")
	dir := t.TempDir()
	for _, name := range []string{"there/", "Twin/", "file"} {
		path := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			if err := os.Mkdir(path, 0o755); err != nil {
				t.Fatal(err)
			}
		} else if err := os.WriteFile(path, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(src, link); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		o    export.Options
		want string
	}{
		"exists":           {export.Options{Out: filepath.Join(dir, "there")}, "exists"},
		"the input":        {export.Options{Out: src}, "exists"},
		"in the input":     {export.Options{Out: filepath.Join(src, "mlx")}, "inside the source"},
		"through a link":   {export.Options{Out: filepath.Join(link, "mlx")}, "inside the source"},
		"case twin":        {export.Options{Out: filepath.Join(dir, "twin")}, "differs only in case"},
		"no parent":        {export.Options{Out: filepath.Join(dir, "no", "out")}, "no such file"},
		"parent is a file": {export.Options{Out: filepath.Join(dir, "file", "out")}, "file"},
		"no out":           {export.Options{}, "no output folder"},
		"memory":           {export.Options{Out: filepath.Join(dir, "out"), Memory: 1000}, "give more --memory"},
		"dtype":            {export.Options{Out: filepath.Join(dir, "out"), DType: tensor.I8}, "want f16, bf16 or f32"},
		"target":           {export.Options{Out: filepath.Join(dir, "out"), Target: "gguf"}, "target"},
		"prove":            {export.Options{Out: filepath.Join(dir, "out"), Prove: "md5"}, "want xxh3 or sha256"},
		"both":             {export.Options{Out: filepath.Join(dir, "out"), Quantize: &export.Quantize{}, Dequantize: true}, "not both"},
		"no quantized":     {export.Options{Out: filepath.Join(dir, "out"), Dequantize: true}, "nothing to dequantize"},
		"bits":             {export.Options{Out: filepath.Join(dir, "out"), Quantize: &export.Quantize{Bits: 7}}, "7"},
		"recipe":           {export.Options{Out: filepath.Join(dir, "out"), Quantize: &export.Quantize{Recipe: "mixed_1_2"}}, "mixed_2_6"},
		"recipe mode":      {export.Options{Out: filepath.Join(dir, "out"), Quantize: &export.Quantize{Recipe: "mixed_2_6", Mode: "mxfp4"}}, "affine"},
		"override": {export.Options{Out: filepath.Join(dir, "out"), Quantize: &export.Quantize{Group: 32, Overrides: []export.Override{{Pattern: "**.q_proj", Group: 128}}}},
			"not a multiple of the group of 128"},
		"part":   {export.Options{Out: filepath.Join(dir, "out"), Part: 4, Parts: 3}, "part 4 of 3"},
		"parts":  {export.Options{Out: filepath.Join(dir, "out"), Part: 1, Parts: 1_000_000_000}, "at most 10000 parts"},
		"finish": {export.Options{Out: filepath.Join(dir, "out"), Part: 1, Parts: 3, Finish: true}, "cannot be combined"},
	} {
		before := contents(t, src)
		p, err := plan(t, src, c.o)
		if err == nil { // of the disk, only what writes to it speaks
			_, err = p.Run(t.Context())
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want … %s …", name, err, c.want)
		}
		if after := contents(t, src); len(after) != len(before) {
			t.Errorf("%s: the source changed", name)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 4 {
		t.Errorf("left %v", left)
	}
}

// A number that does not fit the new type is foretold from the statistics.
func TestOverflowForetold(t *testing.T) {
	src := written(t, "llama")
	patch(t, src, "model.norm.weight", []byte{0x74, 0x49}) // 1e6 in bf16
	_, err := plan(t, src, export.Options{Out: filepath.Join(t.TempDir(), "out"), DType: tensor.F16})
	if err == nil || !strings.Contains(err.Error(), "model.norm.weight") || !strings.Contains(err.Error(), "do not fit f16") {
		t.Error(err)
	}
	exported(t, src, export.Options{NoSync: true})
	patch(t, src, "model.norm.weight", []byte{0x80, 0x7f}) // infinity fits
	exported(t, src, export.Options{DType: tensor.F16, NoSync: true})
}

// What is wrong with every tensor is told of a few, and the memory that is said to be
// enough is.
func TestFaultsOfManyTensorsAreFewLines(t *testing.T) {
	src := written(t, "llama")
	o := export.Options{Out: filepath.Join(t.TempDir(), "out"), Memory: 1, Jobs: 3}
	_, err := plan(t, src, o)
	if err == nil || strings.Contains(err.Error(), "\n") || !strings.Contains(err.Error(), "so do 20 other tensors") {
		t.Fatal(err)
	}
	_, enough, _ := strings.Cut(err.Error(), "--memory ")
	_, enough, _ = strings.Cut(enough, "--memory ") // that of the advice
	if _, err := fmt.Sscanf(enough, "%d is enough for 3 workers", &o.Memory); err != nil {
		t.Fatalf("%q: %v", enough, err)
	}
	if _, err := plan(t, src, o); err != nil {
		t.Error(err)
	}
	o.Memory--
	if _, err := plan(t, src, o); err == nil {
		t.Error("less is enough, too")
	}

	weights := []string{"q", "k", "v", "o"}
	for _, w := range weights {
		patch(t, src, "model.layers.0.self_attn."+w+"_proj.weight", []byte{0x74, 0x49}) // 1e6 in bf16
		patch(t, src, "model.layers.1.self_attn."+w+"_proj.weight", []byte{0x74, 0x49})
	}
	o = export.Options{Out: o.Out, DType: tensor.F16}
	if _, err = plan(t, src, o); err == nil || strings.Count(err.Error(), "\n") != 3 || !strings.HasSuffix(err.Error(), "\nand 5 more tensors have values that do not fit") {
		t.Error(err)
	}
	for _, w := range weights {
		patch(t, src, "model.layers.0.self_attn."+w+"_proj.weight", []byte{0xc0, 0x7f}) // NaN
		patch(t, src, "model.layers.1.self_attn."+w+"_proj.weight", []byte{0xc0, 0x7f})
	}
	o.DType, o.Quantize = tensor.Invalid, &export.Quantize{}
	if _, err = plan(t, src, o); err == nil || strings.Count(err.Error(), "\n") != 3 || !strings.HasSuffix(err.Error(), "\nand 5 more tensors have NaN or infinite values") {
		t.Error(err)
	}
	o.Quantize = nil
	p, err := plan(t, src, o)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(p.Notes); n < 4 || !strings.HasPrefix(p.Notes[n-1], "and 5 more tensors with NaN") || strings.Count(strings.Join(p.Notes, "\n"), "as in the source: ") != 3 {
		t.Errorf("%q", p.Notes)
	}
}

// The greatest numbers of a type fit it, and those after them do not.
func TestOverflowLimits(t *testing.T) {
	src := written(t, "llama")
	wide, _ := exported(t, src, export.Options{NoSync: true, DType: tensor.F32})
	for _, c := range []struct {
		src  string
		to   tensor.DType
		bits []byte
		fits bool
	}{
		{src, tensor.F16, []byte{0x7f, 0x47}, true},               // 65280 in bf16
		{src, tensor.F16, []byte{0x80, 0x47}, false},              // 65536
		{src, tensor.F16, []byte{0x80, 0xc7}, false},              // -65536
		{wide, tensor.F16, []byte{0x00, 0xe0, 0x7f, 0x47}, true},  // 65504 in f32
		{wide, tensor.F16, []byte{0x00, 0xf0, 0x7f, 0x47}, false}, // 65520
		{wide, tensor.BF16, []byte{0x00, 0x00, 0x7f, 0x7f}, true}, // the greatest of bf16
		{wide, tensor.BF16, []byte{0xff, 0xff, 0x7f, 0x7f}, false},
	} {
		patch(t, c.src, "model.norm.weight", c.bits)
		_, err := plan(t, c.src, export.Options{Out: filepath.Join(t.TempDir(), "out"), DType: c.to})
		if (err == nil) != c.fits || err != nil && !strings.Contains(err.Error(), "do not fit "+c.to.String()) {
			t.Errorf("% x to %v: %v", c.bits, c.to, err)
		}
	}
}

// NaN and infinity are said before the first byte; to quantize them is refused,
// unless that weight is kept.
func TestNonFinite(t *testing.T) {
	const module = "model.layers.1.mlp.up_proj"
	src := written(t, "llama")
	patch(t, src, module+".weight", []byte{0xc0, 0x7f, 0x80, 0x7f, 0x80, 0xff}) // NaN, ±infinity in bf16
	o := export.Options{Out: filepath.Join(t.TempDir(), "out")}
	p, err := plan(t, src, o)
	if err != nil || len(p.Notes) != 1 || !strings.Contains(p.Notes[0], module+`.weight": 1 NaN and 2 infinite values`) {
		t.Fatal(p, err)
	}
	o.Quantize = &export.Quantize{Group: 32}
	if _, err := plan(t, src, o); err == nil || strings.Count(err.Error(), "1 NaN and 2 infinite") != 1 || !strings.Contains(err.Error(), "'"+module+"=keep'") {
		t.Error(err)
	}
	o.Quantize.Overrides = []export.Override{{Pattern: module, Keep: true}}
	if _, err := plan(t, src, o); err != nil {
		t.Error(err)
	}
}

// patch overwrites the first bytes of a tensor.
func patch(t *testing.T, dir, path string, data []byte) {
	t.Helper()
	c, err := ingest.Open(t.Context(), dir, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	info, ok := c.Lookup(path)
	if !ok {
		t.Fatal(path)
	}
	f, err := os.OpenFile(filepath.Join(dir, info.File), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(data, info.Offset); err != nil {
		t.Fatal(err)
	}
}

// A source that changed after it was planned, or whose bytes are not what was
// ingested though the file looks the same, stops the export and leaves nothing.
func TestChangedSource(t *testing.T) {
	for name, c := range map[string]struct {
		change func(t *testing.T, file string, was os.FileInfo)
		want   []string
	}{
		"touched": {func(t *testing.T, file string, _ os.FileInfo) {
			now := time.Now().Add(time.Hour)
			os.Chtimes(file, now, now)
		}, []string{"model.safetensors", "ingest it again"}},
		"cut": {func(t *testing.T, file string, was os.FileInfo) { os.Truncate(file, was.Size()-1) },
			[]string{"model.safetensors", "ingest it again"}},
		"gone": {func(t *testing.T, file string, _ os.FileInfo) { os.Remove(file) }, []string{"model.safetensors"}},
		"rotten": {func(t *testing.T, file string, was os.FileInfo) { // same size, same time, other bytes
			patch(t, filepath.Dir(file), "model.embed_tokens.weight", []byte{1, 2, 3})
			os.Chtimes(file, was.ModTime(), was.ModTime())
		}, []string{`source tensor "model.embed_tokens.weight"`, "ingest it again"}},
	} {
		t.Run(name, func(t *testing.T) {
			src, dir := written(t, "llama"), t.TempDir()
			p, err := plan(t, src, export.Options{Out: filepath.Join(dir, "out")})
			if err != nil {
				t.Fatal(err)
			}
			file := filepath.Join(src, "model.safetensors")
			was, err := os.Stat(file)
			if err != nil {
				t.Fatal(err)
			}
			c.change(t, file, was)
			_, err = p.Run(context.Background())
			for _, w := range c.want {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%v, want … %s …", err, w)
				}
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// Tensors that no rule knows stop an export, unless they may be left out; the
// receipt then says so.
func TestUnused(t *testing.T) {
	c, err := synth.Golden(filepath.Join(goldens, "llama.json"))
	if err != nil {
		t.Fatal(err)
	}
	src := filepath.Join(t.TempDir(), "m")
	extra := tensor.Info{Path: "model.layers.0.adapter.weight", DType: tensor.BF16, Shape: tensor.Shape{4}}
	if err := synth.Write(src, append(c.Source, extra), synth.Options{Config: c.Config}); err != nil {
		t.Fatal(err)
	}
	if _, err := plan(t, src, export.Options{Out: filepath.Join(t.TempDir(), "out")}); err == nil || !strings.Contains(err.Error(), extra.Path) {
		t.Error(err)
	}
	out, r := exported(t, src, export.Options{AllowUnused: true, NoSync: true})
	for _, s := range r.Sources {
		if (s.Path == extra.Path) != (s.Dropped != "" && s.Rule == "") && s.Into == nil {
			t.Errorf("%+v", s)
		}
	}
	if f := verify(t, out); f != nil {
		t.Error(f)
	}
}

// A cancelled export leaves nothing.
func TestCancelled(t *testing.T) {
	src, dir := written(t, "hunyuan"), t.TempDir()
	ctx, cancel := context.WithCancel(context.Background())
	p, err := plan(t, src, export.Options{Out: filepath.Join(dir, "out"), Progress: func(int64, int64) { cancel() }})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// A plan is pure: made twice it is the same, to the last byte of its JSON, and it
// knows its offsets, memory and disk.
func TestPlanIsDeterministic(t *testing.T) {
	src := written(t, "hunyuan")
	o := export.Options{Out: filepath.Join(t.TempDir(), "out"), Quantize: &export.Quantize{Group: 32}}
	var plans [2]string
	for i := range plans {
		p, err := plan(t, src, o)
		if err != nil {
			t.Fatal(err)
		}
		data, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		plans[i] = string(data)
		if p.Memory <= 0 || p.Memory > export.DefaultMemory || p.Disk <= p.TotalSize {
			t.Errorf("memory %d, disk %d for %d bytes", p.Memory, p.Disk, p.TotalSize)
		}
		for _, x := range p.Tensors {
			if x.Quant == "" {
				t.Errorf("%s: nothing says whether it is quantized", x.Path)
			}
		}
	}
	if plans[0] != plans[1] {
		t.Error("two plans of one export differ")
	}
}

// Nothing about an export depends on hashes having been taken.
func TestUnhashedSource(t *testing.T) {
	src := written(t, "llama")
	c, err := ingest.Open(t.Context(), src, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := registry.Open(filepath.Join(t.TempDir(), "r.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v, err := r.Put(context.Background(), registry.Revision{Model: "m", Root: src, Config: c.Config(), Files: c.Files()}, c.Tensors())
	if err != nil {
		t.Fatal(err)
	}
	var p *export.Plan
	if err := r.View(func(s *registry.Snapshot) (err error) {
		p, err = export.New(t.Context(), s, v, export.Options{Out: filepath.Join(t.TempDir(), "out"), NoSync: true})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	receipt, err := p.Run(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range receipt.Sources {
		if s.XXH3 == "" || s.Checked != "" {
			t.Errorf("%+v: want what was read, compared with nothing", s)
		}
	}
}
