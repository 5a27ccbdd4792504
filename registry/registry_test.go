package registry_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"wreg/registry"
	"wreg/registry/block"
	"wreg/registry/tensor"
)

// open opens a registry that is checked and closed when the test ends.
func open(t testing.TB, path string) *registry.Registry {
	t.Helper()
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !closed(r) {
			mustCheck(t, r)
		}
		r.Close()
	})
	return r
}

// closed reports that a test closed its registry before its end.
func closed(r *registry.Registry) bool {
	return errors.Is(r.View(func(*registry.Snapshot) error { return nil }), fs.ErrClosed)
}

func mustCheck(t testing.TB, r *registry.Registry) {
	t.Helper()
	faults, err := r.Check(context.Background())
	if err != nil {
		t.Error(err)
	}
	for _, f := range faults {
		t.Errorf("check: %s: %s", f.File, f.Message)
	}
}

func put(t testing.TB, r *registry.Registry, model string, tensors []tensor.Info) *registry.Revision {
	t.Helper()
	v, err := r.Put(context.Background(), registry.Revision{Model: model, Hashed: true}, tensors)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// hashOf is a hash that is nobody's content.
func hashOf(seed uint64) (h tensor.Hash) {
	x := seed*0x9E3779B97F4A7C15 + 0x2545F4914F6CDD1D
	for i := 0; i < len(h); i += 8 {
		x ^= x >> 29
		x *= 0xBF58476D1CE4E5B9
		x ^= x >> 32
		binary.LittleEndian.PutUint64(h[i:], x)
	}
	return h
}

// moe is a mixture-of-experts model: layers × experts × projections, a stacked
// tensor and a norm a layer, and one tensor without a number.
func moe(layers, experts int, seed uint64) []tensor.Info {
	var list []tensor.Info
	offset := int64(0)
	add := func(path string, d tensor.DType, shape ...int64) {
		n, err := tensor.Shape(shape).Bytes(d)
		if err != nil {
			panic(err)
		}
		k := seed<<32 + uint64(len(list))
		h := hashOf(k)
		i := tensor.Info{
			Path: path, DType: d, Shape: shape, File: fmt.Sprintf("model-%05d.safetensors", 1+offset/(1<<22)),
			Offset: offset % (1 << 22), Bytes: n, Format: "safetensors", Hash: h, Sum: tensor.Sum(h[:16]),
			Stats: &tensor.Stats{Min: -float64(float32(k)) / 7, Max: float64(k % 11), AbsMax: math.Abs(float64(k)), Zeros: int64(k % 5)},
		}
		if len(shape) >= 3 {
			for e := range shape[0] {
				i.Slices = append(i.Slices, hashOf(k<<16+uint64(e)+7))
			}
		}
		offset += n
		list = append(list, i)
	}
	add("model.embed_tokens.weight", tensor.BF16, 128, 64)
	for l := range layers {
		at := fmt.Sprintf("model.layers.%d.", l)
		add(at+"input_layernorm.weight", tensor.F32, 64)
		add(at+"mlp.stacked.weight", tensor.BF16, int64(experts), 8, 4)
		for e := range experts {
			for _, p := range []string{"down_proj", "gate_proj", "up_proj"} {
				add(fmt.Sprintf("%smlp.experts.%d.%s.weight", at, e, p), tensor.BF16, 32, 64)
			}
		}
	}
	return list
}

func byPath(list []tensor.Info) []tensor.Info {
	list = slices.Clone(list)
	slices.SortFunc(list, func(a, b tensor.Info) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func all(t testing.TB, s *registry.Snapshot, v *registry.Revision) []tensor.Info {
	t.Helper()
	var list []tensor.Info
	for i, err := range s.Tensors(t.Context(), v) {
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, i)
	}
	return byPath(list)
}

func TestPutThenRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sub", "registry.db")
	r := open(t, path)
	tensors := moe(5, 4, 1)
	tensors = slices.Delete(tensors, 7, 8) // a hole in a grid
	in := registry.Revision{
		Model: "hunyuan", Root: "/models/h", Config: []byte(`{"a":1}`), Created: time.Unix(1700000000, 5).UTC(),
		Tool: "wreg 0.1.0", Hashed: true, Source: "x@1", Layout: "hf", Receipt: []byte("{}"),
		Files: []tensor.File{{Name: "a.safetensors", Size: 9, ModTime: time.Unix(5, 6).UTC(), Inode: 1 << 63, Format: "safetensors",
			Digest: tensor.Hash{7}.String(), Trust: tensor.TrustVerified}, {Name: "b", Trust: tensor.TrustHashed}},
		Findings: []tensor.Finding{{Rule: "stray-shard", File: "f", Tensor: "t", Message: "m"}},
	}
	got, err := r.Put(context.Background(), in, tensors)
	if err != nil {
		t.Fatal(err)
	}
	want := in
	want.Number, want.Tensors = 1, len(tensors)
	for _, i := range tensors {
		want.Bytes += i.Bytes
	}
	if d := cmp.Diff(&want, got); d != "" {
		t.Errorf("Put (-want +got)\n%s", d)
	}
	err = r.View(func(s *registry.Snapshot) error {
		v, err := s.Find("hunyuan")
		if err != nil {
			return err
		}
		if d := cmp.Diff(&want, v); d != "" {
			t.Errorf("Find (-want +got)\n%s", d)
		}
		if d := cmp.Diff(byPath(tensors), all(t, s, v)); d != "" {
			t.Errorf("Tensors (-want +got)\n%s", d)
		}
		for _, i := range tensors {
			got, ok, err := s.Lookup(v, i.Path)
			if err != nil || !ok {
				t.Fatalf("Lookup(%q) = %v, %v", i.Path, ok, err)
			}
			if d := cmp.Diff(i, got); d != "" {
				t.Errorf("Lookup(%q) (-want +got)\n%s", i.Path, d)
			}
		}
		for _, path := range []string{"", "model", "model.layers.5.input_layernorm.weight", "model.layers.99999999999999999.input_layernorm.weight", moe(5, 4, 1)[7].Path, "model.layers.{layer}.input_layernorm.weight"} {
			if got, ok, err := s.Lookup(v, path); ok || err != nil {
				t.Errorf("Lookup(%q) = %v, %v, %v", path, got, ok, err)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestGrid(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "r.db"))
	full := put(t, r, "full", moe(3, 4, 1))
	holed := put(t, r, "holed", slices.DeleteFunc(moe(3, 4, 1), func(i tensor.Info) bool { return i.Path == "model.layers.1.mlp.experts.2.up_proj.weight" }))
	const template = "model.layers.{layer}.mlp.experts.{expert}.up_proj.weight"
	find := func(s *registry.Snapshot, v *registry.Revision) *block.Block {
		for b, err := range s.BlocksWhere(t.Context(), v, func(name string) bool { return name == template }) {
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		t.Fatalf("no block %s", template)
		return nil
	}
	err := r.View(func(s *registry.Snapshot) error {
		b := find(s, full)
		axes, ok := b.Grid()
		if d := cmp.Diff([]block.Range{{Start: 0, Count: 3}, {Start: 0, Count: 4}}, axes); !ok || d != "" {
			t.Errorf("Grid() = %v, %v", axes, ok)
		}
		if v, ok := b.Bytes().Const(); !ok || v != 32*64*2 {
			t.Errorf("Bytes().Const() = %d, %v", v, ok)
		}
		layers, _ := b.Index(0)
		experts, _ := b.Index(1)
		if d := cmp.Diff([]int64{0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2}, layers); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff([]int64{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}, experts); d != "" {
			t.Error(d)
		}
		if _, ok := b.Index(2); ok {
			t.Error("Index(2) of two placeholders")
		}
		b = find(s, holed)
		if _, ok := b.Grid(); ok {
			t.Error("a grid with a hole is not a product")
		}
		experts, _ = b.Index(1)
		if d := cmp.Diff([]int64{0, 1, 2, 3, 0, 1, 3, 0, 1, 2, 3}, experts); d != "" {
			t.Error(d)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Paths that hold a placeholder's text, or nothing at all, keep their names.
func TestStrangePaths(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "r.db"))
	paths := []string{"", ".", "..", "a", "a.", ".a", "0", "0.1", "00", "x.{n}", "x.3", "x.{n}.3", "x.3.{n}", "x.{n}.{n}", "x.3.4", "{layer}.3.w",
		"layers.{layer}", "layers.7", "a\x00b", "a\x00l", "ü.1.ü", "\xff\xfe.2", strings.Repeat("long.", 2000) + "5", "999999999999999999", "9999999999999999999", "-1", "+1", "x.{m}.1", "a{n}.1"}
	var tensors []tensor.Info
	for i, p := range paths {
		tensors = append(tensors, tensor.Info{Path: p, DType: tensor.U8, Shape: tensor.Shape{int64(i)}, Bytes: int64(i), Offset: -1})
	}
	v := put(t, r, "m", tensors)
	err := r.View(func(s *registry.Snapshot) error {
		if d := cmp.Diff(byPath(tensors), all(t, s, v)); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		for _, i := range tensors {
			got, ok, err := s.Lookup(v, i.Path)
			if d := cmp.Diff(i, got); d != "" || !ok || err != nil {
				t.Errorf("Lookup(%q) = %v, %v\n%s", i.Path, ok, err, d)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestPutRefuses(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "r.db"))
	fine := tensor.Info{Path: "a.1", DType: tensor.F32, File: "f"}
	cases := []struct {
		name    string
		model   string
		tensors []tensor.Info
		want    []string
	}{
		{"twice", "m", []tensor.Info{fine, {Path: "b", DType: tensor.F32}, fine}, []string{`"a.1": comes twice, in f at 0`}},
		{"dtype", "m", []tensor.Info{{Path: "a"}}, []string{`"a"`, "not an element type"}},
		{"size", "m", []tensor.Info{{Path: "a", DType: tensor.F32, Bytes: -1}}, []string{"-1 bytes"}},
		{"offset", "m", []tensor.Info{{Path: "a", DType: tensor.F32, Offset: -2}}, []string{"at -2"}},
		{"shape", "m", []tensor.Info{{Path: "a", DType: tensor.F32, Shape: tensor.Shape{-4}}}, []string{"negative"}},
		{"rank", "m", []tensor.Info{{Path: "a", DType: tensor.F32, Shape: make(tensor.Shape, 65)}}, []string{"rank 65"}},
		{"path", "m", []tensor.Info{{Path: strings.Repeat("p", 40000), DType: tensor.F32}}, []string{"40000 bytes"}},
		{"sum", "m", []tensor.Info{{Path: "a", DType: tensor.F32, Bytes: math.MaxInt64}, {Path: "b", DType: tensor.F32, Bytes: 1}}, []string{"more than 64 bits"}},
		{"all at once", "m", []tensor.Info{{Path: "a"}, {Path: "b"}}, []string{`"a"`, `"b"`}},
		{"no name", "", nil, []string{"it is empty"}},
		{"at", "a@1", nil, []string{"'@' separates"}},
		{"slash", "a/b", nil, []string{"'/' has a meaning"}},
		{"option", "-rf", nil, []string{"begins with '-'"}},
		{"control", "a\x1b[31m", nil, []string{"control character"}},
		{"space", "a b", nil, []string{"space"}},
		{"bytes", "a\xff", nil, []string{"not UTF-8"}},
		{"long", strings.Repeat("a", 201), nil, []string{"201 bytes"}},
		{"folder", "..", nil, []string{"folder"}},
		{"glob", "a*", nil, []string{"'*' has a meaning"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := r.Put(context.Background(), registry.Revision{Model: c.model}, c.tensors)
			for _, want := range c.want {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("error %v does not say %q", err, want)
				}
			}
		})
	}
	err := r.View(func(s *registry.Snapshot) error {
		models, err := s.Models()
		if len(models) != 0 {
			t.Errorf("models: %v", models)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestRevisions(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "r.db"))
	for i := range 3 {
		if v := put(t, r, "b", moe(1, 1, uint64(i))); v.Number != i+1 || v.Ref() != fmt.Sprintf("b@%d", i+1) {
			t.Fatalf("revision %d is %s", i+1, v.Ref())
		}
	}
	put(t, r, "a", nil)
	put(t, r, "bc", moe(1, 1, 9))
	refs := func(list []*registry.Revision, err error) string {
		if err != nil {
			return err.Error()
		}
		var names []string
		for _, v := range list {
			names = append(names, v.Ref())
		}
		return strings.Join(names, " ")
	}
	look := func(call, want string) {
		t.Helper()
		err := r.View(func(s *registry.Snapshot) error {
			verb, arg, _ := strings.Cut(call, " ")
			var got string
			switch verb {
			case "models":
				got = refs(s.Models())
			case "revisions":
				got = refs(s.Revisions(arg))
			case "match":
				got = refs(s.Match(arg))
			case "find":
				v, err := s.Find(arg)
				got = refs([]*registry.Revision{v}, err)
			}
			if got != want {
				t.Errorf("%s: %s, want %s", call, got, want)
			}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	}
	look("models", "a@1 b@3 bc@1")
	look("revisions b", "b@1 b@2 b@3")
	look("find b", "b@3")
	look("find b@2", "b@2")
	look("find b@4", `model "b@4" is not in the registry: did you mean b@3 or b@2 or b@1?`)
	look("find b@0", `model "b@0" is not in the registry: did you mean b@3 or b@2 or b@1?`)
	look("find bd", `model "bd" is not in the registry: did you mean b or bc?`)
	look("find zzzzzzzz", "model \"zzzzzzzz\" is not in the registry: wreg ls lists the models")
	look("match *", "a@1 b@3 bc@1")
	look("match b*", "b@3 bc@1")
	look("match b@1", "b@1")
	look("match *@1", "a@1 b@1 bc@1")
	look("match q*", "model \"q*\" is not in the registry: wreg ls lists the models")

	if err := r.Remove("b@3"); err != nil {
		t.Fatal(err)
	}
	look("find b", "b@2")
	if v := put(t, r, "b", nil); v.Number != 4 {
		t.Errorf("a removed revision's number is given again: %s", v.Ref())
	}
	if err := r.Remove("b"); err != nil {
		t.Fatal(err)
	}
	look("models", "a@1 bc@1")
	if v := put(t, r, "b", nil); v.Number != 1 {
		t.Errorf("a new model begins with %s", v.Ref())
	}
	var missing *registry.NotFoundError
	if err := r.Remove("nobody"); !errors.As(err, &missing) {
		t.Errorf("Remove of an unknown model: %v", err)
	}
	if err := r.Remove("a@7"); !errors.As(err, &missing) {
		t.Errorf("Remove of an unknown revision: %v", err)
	}
}

func TestByHash(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "r.db"))
	one, two := moe(2, 3, 1), moe(2, 3, 2)
	two[4].Hash = one[6].Hash
	two[2].Slices[1] = one[6].Hash
	// Alike in what the index keeps, different as a whole.
	two[5].Hash = one[6].Hash
	two[5].Hash[31] ^= 1
	put(t, r, "one", one)
	put(t, r, "two", two)
	err := r.View(func(s *registry.Snapshot) error {
		got, err := s.ByHash(one[6].Hash)
		want := []registry.Where{{Model: "one@1", Path: one[6].Path, Slice: -1}, {Model: "two@1", Path: two[4].Path, Slice: -1}, {Model: "two@1", Path: two[2].Path, Slice: 1}}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("ByHash (-want +got)\n%s", d)
		}
		if got, err := s.ByHash(tensor.Hash{}); got != nil || err != nil {
			t.Errorf("ByHash of no hash: %v, %v", got, err)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Duplicates finds what a map of all hashes finds, in order.
func TestDuplicates(t *testing.T) {
	r := open(t, filepath.Join(t.TempDir(), "r.db"))
	var revisions []*registry.Revision
	var models [][]tensor.Info
	for m := range 4 {
		list := moe(40, 8, uint64(m)) // more than one part
		for i := range list {
			switch {
			case i%7 == 0: // shared between models
				list[i].Hash = hashOf(uint64(i))
			case i%7 == 1: // shared within a model
				list[i].Hash = hashOf(uint64(m<<20 + i%70))
			case i%7 == 2 && m == 3:
				list[i].Hash = tensor.Hash{}
			case i%7 == 3: // alike in all that the index keeps
				list[i].Hash = hashOf(1 << 40)
				list[i].Hash[20] = byte(m*3 + i%5)
			}
		}
		models = append(models, byPath(list))
		revisions = append(revisions, put(t, r, fmt.Sprintf("m%d", m), list))
	}
	want := map[tensor.Hash][]string{}
	for m, list := range models {
		for _, i := range list {
			if !i.Hash.IsZero() {
				want[i.Hash] = append(want[i.Hash], fmt.Sprintf("%d %s", m, i.Path))
			}
		}
	}
	for h, paths := range want {
		slices.Sort(paths)
		if len(paths) < 2 {
			delete(want, h)
		}
	}
	err := r.View(func(s *registry.Snapshot) error {
		got := map[tensor.Hash][]string{}
		var last tensor.Hash
		for rows, err := range s.Duplicates(revisions) {
			if err != nil {
				return err
			}
			h := rows[0].Hash()
			if slices.Compare(last[:], h[:]) >= 0 {
				t.Errorf("%v comes after %v", h, last)
			}
			last = h
			for _, x := range rows {
				got[h] = append(got[h], fmt.Sprintf("%d %s", x.Revision, x.Path()))
			}
			slices.Sort(got[h])
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got)\n%s", d)
		}
		for rows, err := range s.Duplicates(revisions[:1]) {
			if err != nil {
				return err
			}
			if rows[0].Revision != 0 || len(rows) < 2 {
				t.Errorf("of one model: %v", rows)
			}
			break
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
