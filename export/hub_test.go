package export_test

import (
	"bufio"
	"compress/gzip"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wreg/export"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// fact is what is known of a real model: a line of registry/arch/testdata/hub, whose
// README says what the keys mean.
type fact struct {
	Name, Kind        string
	Config            string
	Refused, Mistaken string
	Unread            string
	Layout            string
	Names             map[string]json.RawMessage `json:"packed_names"`
	Total             int64                      `json:"total_size"`
	Shards            map[string]int64
	Parameters        int64

	doc    *pyjson.Object
	config *arch.Config
	arch   *arch.Arch
}

// known is a tensor of a fact: dtype and shape where the dump has them.
type known struct {
	shard string
	dtype tensor.DType
	shape tensor.Shape
}

// Real models resolve without a gap and export without a refusal, and where the dump
// has no shapes, those that are expected add up to the sizes that are known.
func TestHub(t *testing.T) {
	files, err := filepath.Glob("../registry/arch/testdata/hub/*.jsonl.gz")
	if err != nil || len(files) == 0 {
		t.Fatal("no facts", err)
	}
	served := 0
	for _, file := range files {
		for _, f := range readFacts(t, file) {
			if f.doc, err = pyjson.Parse([]byte(f.Config)); err != nil {
				t.Errorf("%s: %v", f.Name, err)
				continue
			}
			f.config = arch.NewConfig(f.doc)
			var unknown *arch.UnknownError
			if f.arch, err = arch.Find(f.config); errors.As(err, &unknown) {
				continue
			}
			served++
			t.Run(f.Name, func(t *testing.T) {
				t.Parallel()
				f.check(t)
			})
			if whole, err := arch.FindIn(arch.MLXVLM, f.config); err == nil && f.arch.Layout == arch.MLX && whole.Name != "text" && f.Kind != "gguf" && f.Kind != "total" { // those tell of the language model alone
				g := *f
				g.arch = whole
				t.Run(f.Name+" for mlx-vlm", func(t *testing.T) {
					t.Parallel()
					g.check(t)
				})
			}
		}
	}
	if served < 360 {
		t.Errorf("%d models are served, 360 were", served)
	}
}

func readFacts(t *testing.T, file string) (all []*fact) {
	t.Helper()
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	z, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 4<<20)
	for lines.Scan() {
		f := &fact{}
		if err := json.Unmarshal(lines.Bytes(), f); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all = append(all, f)
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return all
}

func (f *fact) check(t *testing.T) {
	hf, err := f.arch.Expect(t.Context(), f.config, arch.HF, nil)
	var refusal *arch.Error
	if f.arch.Layout == arch.MLXVLM && errors.As(err, &refusal) && refusal.Refused {
		return // mlx_vlm does not load it
	}
	if f.Refused != "" {
		if err == nil {
			t.Errorf("taken, though %s", f.Refused)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range hf {
		if w.Shape == nil {
			t.Errorf("%s: its shape cannot be told (%s)", w.Path, w.Rule)
		}
	}
	mlx, err := f.arch.Expect(t.Context(), f.config, f.arch.Layout, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = f.arch.Refuses(t.Context(), f.config)
	if f.Mistaken != "" {
		var refused *arch.Error
		if !errors.As(err, &refused) || !refused.Refused {
			t.Errorf("%v, want a refusal: %s", err, f.Mistaken)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	switch f.Kind {
	case "config":
	case "total":
		sum := int64(0)
		for _, w := range hf {
			n, err := w.Shape.Numel()
			if err != nil {
				t.Fatal(w.Path, err)
			}
			sum += n
		}
		if sum != f.Parameters {
			t.Errorf("%d parameters are expected, the hub counts %d", sum, f.Parameters)
		}
	case "gguf":
		f.sameShapes(t, mlx)
	case "checkpoint":
		f.planned(t, f.rebuilt(t, append(mlx, hf...)))
	default:
		t.Fatalf("kind %q", f.Kind)
	}
}

func (f *fact) info(t *testing.T, path string, dtype tensor.DType, shape tensor.Shape) tensor.Info {
	if dtype == tensor.Invalid {
		dtype = f.dtype()
	}
	size, err := shape.Bytes(dtype)
	if err != nil {
		t.Fatal(path, err)
	}
	return tensor.Info{Path: path, DType: dtype, Shape: shape, Bytes: size}
}

// dtype is that of plain floats.
func (f *fact) dtype() tensor.DType {
	for _, o := range f.objects("", "text_config", "llm_config", "language_config") {
		for _, key := range []string{"torch_dtype", "dtype"} {
			name, _ := o.Text(key)
			if d, ok := map[string]tensor.DType{"float32": tensor.F32, "float": tensor.F32, "float16": tensor.F16, "half": tensor.F16, "bfloat16": tensor.BF16}[strings.TrimPrefix(name, "torch.")]; ok {
				return d
			}
		}
	}
	return tensor.BF16
}

// objects are those of config.json's that are there; "" is all of it.
func (f *fact) objects(keys ...string) (all []*pyjson.Object) {
	for _, key := range keys {
		o := f.doc
		if key != "" {
			o = f.doc.Object(key)
		}
		if o != nil {
			all = append(all, o)
		}
	}
	return all
}

// planned plans an export, which is refused for every gap (TestGapsAndExportAgree).
func (f *fact) planned(t *testing.T, list []tensor.Info) {
	root := t.TempDir()
	r, err := registry.Open(filepath.Join(root, "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v, err := r.Put(t.Context(), registry.Revision{Model: "m", Root: root, Config: []byte(f.Config)}, list)
	if err != nil {
		t.Fatal(err)
	}
	err = r.View(func(s *registry.Snapshot) error {
		_, err := export.New(t.Context(), s, v, export.Options{Out: filepath.Join(t.TempDir(), "out"), Target: f.arch.Layout})
		return err
	})
	var gaps *export.GapError
	if f.Unread == "" && err != nil || f.Unread != "" && !errors.As(err, &gaps) {
		t.Errorf("export: %v; to be refused: %q", err, f.Unread)
	}
}

// sameShapes compares the mlx layout with a dump that names all of it.
func (f *fact) sameShapes(t *testing.T, wants []arch.Want) {
	have := f.unfolded(t)
	for _, w := range wants {
		k, there := have[w.Path]
		if !there && !w.Optional {
			t.Errorf("%s (%s) is not in the dump", w.Path, w.Rule)
		}
		if there && w.Shape != nil && !k.shape.Equal(w.Shape) {
			t.Errorf("%s is %v, %v is expected (%s)", w.Path, k.shape, w.Shape, w.Rule)
		}
		delete(have, w.Path)
	}
	for path := range have {
		t.Errorf("%s is not expected", path)
	}
}

// numbers is {0..31} in a folded name.
var numbers = regexp.MustCompile(`\{(\d+)\.\.(\d+)\}`)

// unfolded are the tensors of a fact by name.
func (f *fact) unfolded(t *testing.T) map[string]known {
	out := map[string]known{}
	for folded, value := range f.Names {
		k := known{}
		if value[0] == '"' {
			if err := json.Unmarshal(value, &k.shard); err != nil {
				t.Fatal(folded, err)
			}
		} else {
			var dtype string
			if err := json.Unmarshal(value, &[]any{&dtype, &k.shape, &k.shard}); err != nil {
				t.Fatal(folded, err)
			}
			var ok bool
			if k.dtype, ok = dtypeOf[dtype]; !ok {
				t.Fatalf("%s: dtype %q", folded, dtype)
			}
		}
		names := []string{folded}
		for numbers.MatchString(names[0]) {
			var next []string
			for _, name := range names {
				at := numbers.FindStringSubmatchIndex(name)
				from, _ := strconv.Atoi(name[at[2]:at[3]])
				to, _ := strconv.Atoi(name[at[4]:at[5]])
				for i := from; i <= to; i++ {
					next = append(next, name[:at[0]]+strconv.Itoa(i)+name[at[1]:])
				}
			}
			names = next
		}
		for _, name := range names {
			out[name] = k
		}
	}
	return out
}

// dtypeOf are dtypes as safetensors names them.
var dtypeOf = map[string]tensor.DType{"F32": tensor.F32, "F16": tensor.F16, "BF16": tensor.BF16, "I64": tensor.I64, "I32": tensor.I32, "U32": tensor.U32, "U8": tensor.U8,
	"F8_E4M3": tensor.F8E4M3, "F8_E5M2": tensor.F8E5M2, "F8_E8M0": tensor.F8E8M0}

// rebuilt is the checkpoint of a fact. Where it has no shapes they are those that are
// expected, as is or as a stored form; then they must add up to its sizes.
func (f *fact) rebuilt(t *testing.T, wants []arch.Want) (list []tensor.Info) {
	expected := map[string]arch.Want{}
	for _, w := range wants {
		expected[w.Path] = w
	}
	names := f.unfolded(t)
	total, told := int64(0), true
	inShard, open := map[string]int64{}, map[string]bool{}
	for _, path := range slices.Sorted(maps.Keys(names)) {
		k := names[path]
		if k.shape == nil {
			told = false
			if w, ok := f.stored(path, names, expected); ok {
				k.dtype, k.shape = w.DType, w.Shape
			} else if w, ok := ofFused(path, expected); ok {
				k.dtype, k.shape = w.DType, w.Shape
			} else { // a tower that nothing is known of
				k.shape = tensor.Shape{1}
				open[k.shard], open[""] = true, true
			}
		}
		i := f.info(t, path, k.dtype, k.shape)
		list = append(list, i)
		total += i.Bytes
		inShard[k.shard] += i.Bytes
	}
	if told || open[""] && f.Shards == nil {
		return list
	}
	if f.Total > 0 && !open[""] && total != f.Total {
		t.Errorf("the index says %d bytes, %d are expected", f.Total, total)
	}
	for shard, size := range f.Shards {
		header := size - inShard[shard]
		if !open[shard] && strings.HasSuffix(shard, ".safetensors") && (header < 0 || header > 4096+256*int64(len(list))) {
			t.Errorf("%s has %d bytes, %d are expected in it", shard, size, inShard[shard])
		}
	}
	return list
}

// ofFused is an expert's own tensor where a fused one is expected, or one whose name has a
// prefix that newer files have.
func ofFused(path string, expected map[string]arch.Want) (arch.Want, bool) {
	if w, ok := expected[strings.TrimPrefix(path, "model.")]; ok {
		return w, true
	}
	m := oneExpert.FindStringSubmatch(path)
	if m == nil {
		return arch.Want{}, false
	}
	name, halves := m[1]+".down_proj", int64(1)
	if m[2] != "down_proj" {
		name, halves = m[1]+".gate_up_proj", 2
	}
	w, ok := expected[name]
	if !ok || len(w.Shape) != 3 {
		return w, false
	}
	w.Shape = tensor.Shape{w.Shape[1] / halves, w.Shape[2]}
	return w, true
}

var oneExpert = regexp.MustCompile(`^(.*\.experts)\.\d+\.(gate_proj|up_proj|down_proj)\.weight$`)

// stored is a tensor that a name stands for: an expected one, or a part of one.
func (f *fact) stored(path string, names map[string]known, expected map[string]arch.Want) (arch.Want, bool) {
	base, last := path, ""
	if at := strings.LastIndexByte(path, '.'); at >= 0 {
		base, last = path[:at], path[at+1:]
	}
	w, ok := expected[base+".weight"]
	has := func(part string) bool { _, ok := names[base+"."+part]; return ok }
	if ok && len(w.Shape) >= 2 {
		rows, width := w.Shape[len(w.Shape)-2], w.Shape[len(w.Shape)-1]
		as := func(dtype tensor.DType, last ...int64) (arch.Want, bool) {
			return arch.Want{DType: dtype, Shape: append(slices.Clone(w.Shape[:len(w.Shape)-2]), last...)}, true
		}
		bits, group := f.packing("bits", 4), f.packing("group_size", 64)
		switch {
		case has("weight_scale_inv") && last == "weight":
			return as(tensor.F8E4M3, rows, width)
		case has("weight_scale_inv") && last == "weight_scale_inv":
			return as(tensor.F32, (rows+127)/128, (width+127)/128)
		case has("scales") && has("weight") && last == "weight":
			return as(tensor.U32, rows, width*bits/32)
		case has("scales") && has("weight") && (last == "scales" || last == "biases"):
			return as(f.dtype(), rows, width/group)
		case has("qweight") && last == "qweight":
			return as(tensor.I32, width*bits/32, rows)
		case has("qweight") && last == "qzeros":
			return as(tensor.I32, width/group, rows*bits/32)
		case has("qweight") && last == "scales":
			return as(tensor.F16, width/group, rows)
		case has("qweight") && last == "g_idx":
			return arch.Want{DType: tensor.I32, Shape: tensor.Shape{width}}, true
		}
	}
	w, ok = expected[path]
	return w, ok && w.Shape != nil
}

// packing is a number of config.json's quantization.
func (f *fact) packing(key string, otherwise int64) int64 {
	for _, o := range f.objects("quantization", "quantization_config") {
		if v, ok := o.Get(key); ok {
			if n, ok := v.(pyjson.Number); ok {
				if i, ok := n.Int(); ok {
					return i
				}
			}
		}
	}
	return otherwise
}
