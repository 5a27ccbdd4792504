package torch

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// list walks a value as if a file of one storage had held it.
func list(value any, ops int) (*File, error) {
	f := newFile(context.Background(), bytes.NewReader(nil), 1<<20, "t.pt")
	f.records["0"] = &zipfile.Record{Name: "0", Size: 64, Stored: 64}
	return f, f.list(rooted{nil, &pickle.Result{Value: value, Ops: ops}})
}

func leafTensor() *strided.View {
	return &strided.View{Storage: &strided.Storage{Key: "0", Record: "0", DType: tensor.F32, Bytes: 64, Numel: 16}, DType: tensor.F32, Shape: tensor.Shape{4}, Stride: []int64{1}}
}

func dict(pairs ...any) *pickle.Dict {
	d := pickle.Dict{}
	for i := 0; i < len(pairs); i += 2 {
		d = append(d, pickle.Pair{Key: pairs[i], Value: pairs[i+1]})
	}
	return &d
}

// TestPaths gives dicts and the paths of their tensors: no two tensors share one,
// and where dots do not tell them apart, brackets do.
func TestPaths(t *testing.T) {
	v := leafTensor()
	for _, c := range []struct {
		value any
		want  []string
	}{
		{v, []string{""}},
		{dict("a", v, "b", dict("c", v)), []string{"a", "b.c"}},
		{dict("a", dict("b.c", v), "a.b", dict("c", v)), []string{`["a"]["b.c"]`, `["a.b"]["c"]`}},
		{dict("0", v, 0, v), []string{`["0"]`, `[0]`}},
		{dict("a", v, "a.b", v, "a", dict("b", v)), []string{`["a.b"]`, `["a"]["b"]`}}, // of equal keys the last
		{dict(1, v, true, v), []string{"True"}},
		{dict("None", v, nil, v), []string{`["None"]`, `[None]`}},
		{dict("x\n\"", v, `["y"]`, v), []string{"x\n\"", `["[\"y\"]"]`}},
		{dict("\xed\xa0\x80", v, `\ud800`, v), []string{`["\xed\xa0\x80"]`, `["\\ud800"]`}},
		{dict([]byte("k"), v, &pickle.Tuple{1, "x"}, v), []string{`b'k'`, `(1, 'x')`}},
		// As Python writes floats.
		{dict(1.0, v, 0.5, v, 1e16, v, 123456789012345680.0, v, 1e15, v, 1e-5, v, 0.0001, v), []string{"1.0", "0.5", "1e+16", "1.2345678901234568e+17", "1000000000000000.0", "1e-05", "0.0001"}},
		{dict(math.Inf(1), v, math.Inf(-1), v, math.NaN(), v), []string{"inf", "-inf", "nan"}},
		{&pickle.List{v, nil, &pickle.Tuple{v}}, []string{"0", "2.0"}},
	} {
		f, err := list(c.value, 100)
		if err != nil {
			t.Errorf("%q: %v", c.want, err)
			continue
		}
		var got []string
		for _, info := range f.Tensors() {
			got = append(got, info.Path)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("paths %q, want %q", got, c.want)
		}
	}
}

// TestWalkLimits are values that cannot be listed: each ends with an error, soon.
func TestWalkLimits(t *testing.T) {
	shared := any(leafTensor())
	for range 60 {
		shared = &pickle.Tuple{shared, shared} // 2^60 paths
	}
	deep := any(leafTensor())
	for range maxDepth + 1 {
		deep = &pickle.List{deep}
	}
	leaves := pickle.Tuple(make([]any, 100_000)) // none of them a value that is walked
	var lists, classes, functions, nested pickle.List
	for range 1000 {
		of := func(name string, args ...any) any {
			return &pickle.Object{Class: &pickle.Class{Module: "m", Name: name, Count: new(int)}, Args: args, Called: true}
		}
		lists, classes = append(lists, &leaves), append(classes, of("C", leaves...))
		functions, nested = append(functions, of("f", leaves...)), append(nested, of("C", &leaves))
	}
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"leaves":              {&lists, "shared so often"},
		"arguments":           {&classes, "shared so often"},
		"a function's":        {&functions, "shared so often"},
		"arguments of leaves": {&nested, "shared so often"},
		"shared":              {shared, "shared so often"},
		"deep":                {deep, fmt.Sprintf("more than %d deep", maxDepth)},
		"long":                {dict(strings.Repeat("k", maxPathBytes+1), leafTensor()), "a path of more than"},
	} {
		if _, err := list(c.value, 1000); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		} else if len(err.Error()) > 1000 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
	deepest := any(leafTensor())
	for range maxDepth {
		deepest = &pickle.List{deepest}
	}
	if f, err := list(deepest, 1000); err != nil || len(f.Tensors()) != 1 {
		t.Errorf("as deep as it may be: %v", err)
	}
}

// TestBarren: what holds no tensor is walked once, as the config that each module of a
// model refers to, with its thousand labels.
func TestBarren(t *testing.T) {
	labels := dict()
	for i := range 1000 {
		*labels = append(*labels, pickle.Pair{Key: i, Value: fmt.Sprint(i)})
	}
	class := &pickle.Class{Module: "m", Name: "C"}
	config := &pickle.Object{Class: class, State: []any{dict("labels", labels)}}
	model := dict()
	for i := range 300 {
		*model = append(*model, pickle.Pair{Key: i, Value: &pickle.Object{Class: class, State: []any{dict("config", config, "w", leafTensor())}}})
	}
	if f, err := list(model, 3000); err != nil || len(f.Tensors()) != 300 {
		t.Errorf("%d tensors of 300: %v", len(f.Tensors()), err)
	}
}

// TestLogical reads bytes in the other order, conjugated and negated, in pieces
// that end anywhere.
func TestLogical(t *testing.T) {
	stored := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}
	for _, c := range []struct {
		dtype           tensor.DType
		conj, neg, swap bool
		want            []byte
	}{
		{tensor.F32, false, false, true, []byte{4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13}},
		{tensor.BF16, false, false, true, []byte{2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15}},
		{tensor.C64, false, false, true, []byte{4, 3, 2, 1, 8, 7, 6, 5, 12, 11, 10, 9, 16, 15, 14, 13}}, // halves
		{tensor.C64, true, false, false, []byte{1, 2, 3, 4, 5, 6, 7, 0x88, 9, 10, 11, 12, 13, 14, 15, 0x90}},
		{tensor.C64, false, true, false, []byte{1, 2, 3, 0x84, 5, 6, 7, 0x88, 9, 10, 11, 0x8c, 13, 14, 15, 0x90}},
		{tensor.C64, true, true, false, []byte{1, 2, 3, 0x84, 5, 6, 7, 8, 9, 10, 11, 0x8c, 13, 14, 15, 16}},
		{tensor.C64, true, false, true, []byte{4, 3, 2, 1, 8, 7, 6, 0x85, 12, 11, 10, 9, 16, 15, 14, 0x8d}},
		{tensor.F64, false, true, false, []byte{1, 2, 3, 4, 5, 6, 7, 0x88, 9, 10, 11, 12, 13, 14, 15, 0x90}},
	} {
		_, item := c.dtype.Block()
		v := &strided.View{DType: c.dtype, Shape: tensor.Shape{16 / item}, Stride: []int64{1}, Conj: c.conj, Neg: c.neg}
		l := strided.Turn(bytes.NewReader(stored), v, c.swap)
		for from := range c.want {
			for to := from + 1; to <= len(c.want); to++ {
				p := make([]byte, to-from)
				if n, err := l.ReadAt(p, int64(from)); n != len(p) || err != nil || !bytes.Equal(p, c.want[from:to]) {
					t.Fatalf("%v conj %v neg %v swap %v: bytes %d:%d are %v (%v), want %v", c.dtype, c.conj, c.neg, c.swap, from, to, p, err, c.want[from:to])
				}
			}
		}
	}
}

// TestCycles: what contains itself is walked once; what is only shared has all its paths.
func TestCycles(t *testing.T) {
	v := leafTensor()
	cycle := &pickle.List{nil}
	(*cycle)[0] = &pickle.Tuple{cycle, v}
	object := func() *pickle.Object { return &pickle.Object{Class: &pickle.Class{Module: "m", Name: "C"}} }
	root, child, shared := object(), object(), dict("w", v)
	child.State = []any{dict("parent", root, "w", v, "s", shared)}
	root.State = []any{dict("child", child, "s", shared)}
	// a ring of objects that all know one another: its paths are more than can be counted
	ring := make([]any, 40)
	for i := range ring {
		ring[i] = object()
	}
	for i := range ring {
		all := pickle.List(slices.Clone(ring))
		ring[i].(*pickle.Object).State = []any{dict("all", &all, "w", v)}
	}
	// two that know each other, the second found by a way that does not come back
	a, b, c := object(), object(), object()
	a.State = []any{dict("b", b, "c", c)}
	b.State = []any{dict("a", a, "w", v)}
	c.State = []any{dict("b", b)}
	for name, c := range map[string]struct {
		value any
		want  []string
	}{
		"list":   {cycle, []string{"0.1"}},
		"parent": {dict("a", root, "b", child, "s", shared), []string{"a.child.w", "a.child.s.w", "a.s.w", "s.w"}},
		"shared": {dict("a", shared, "b", shared), []string{"a.w", "b.w"}},
		"three":  {dict("x", a, "y", c, "z", b), []string{"x.b.w"}},
	} {
		f, err := list(c.value, 100)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var got []string
		for _, info := range f.Tensors() {
			got = append(got, info.Path)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: paths %q, want %q", name, got, c.want)
		}
	}
	if f, err := list(ring[0], 4000); err != nil || len(f.Tensors()) != len(ring) {
		t.Errorf("a ring: %d tensors of %d: %v", len(f.Tensors()), len(ring), err)
	}
}
