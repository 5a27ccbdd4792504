package export_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"wreg/export"
	"wreg/ingest"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
	"wreg/synth"
)

// family is a small checkpoint of one model_type, ingested, and what its stacks of
// experts are made of.
type family struct {
	root    string
	config  []byte
	arch    *arch.Arch
	laid    *arch.Config
	files   []tensor.File
	tensors []tensor.Info
	stacks  []arch.Target // one of each kind: gate, up, down
}

// list is a checkpoint that is a list, sorted.
type list []tensor.Info

func (l list) Lookup(path string) (tensor.Info, bool) {
	i := slices.IndexFunc(l, func(t tensor.Info) bool { return t.Path == path })
	if i < 0 {
		return tensor.Info{}, false
	}
	return l[i], true
}

func (l list) All(yield func(tensor.Info) bool) {
	for _, t := range l {
		if !yield(t) {
			return
		}
	}
}

// familyOf writes and ingests the small checkpoint that synth keeps a config for.
// Its stacks are found by what mlx_lm can quantize and has three axes: no names, so
// that a family added tomorrow is here, too.
func familyOf(t *testing.T, name string) (f family) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(name, err)
		}
	}
	var err error
	f.config, err = synth.Config(name)
	must(err)
	f.laid, err = arch.ParseConfig(f.config)
	must(err)
	f.arch, err = arch.Find(f.laid)
	must(err)
	want, err := f.arch.Expect(t.Context(), f.laid, arch.HF, nil)
	must(err)
	var source list
	for _, w := range want {
		d := w.DType
		if d == tensor.Invalid {
			d = tensor.BF16
		}
		source = append(source, tensor.Info{Path: w.Path, DType: d, Shape: w.Shape})
	}
	r, err := f.arch.Resolve(t.Context(), f.laid, source)
	must(err)
	kinds := map[string]bool{}
	for _, target := range r.Targets {
		kind, _ := tensor.SplitPath(target.Path)
		if target.Make != nil && len(target.Shape) == 3 && target.Quant.Eligible && !kinds[kind] {
			kinds[kind] = true
			f.stacks = append(f.stacks, target)
		}
	}
	if len(f.stacks) == 0 {
		return f
	}
	f.root = filepath.Join(t.TempDir(), name)
	must(synth.Write(f.root, source, synth.Options{Config: f.config}))
	c, err := ingest.Open(t.Context(), f.root, ingest.Options{})
	must(err)
	defer c.Close()
	f.tensors, err = c.Hash(context.Background(), ingest.HashOptions{})
	must(err)
	f.files = c.Files()
	return f
}

// inputs are the source tensors that a target is made of.
func inputs(n *op.Node) (paths []string) {
	if n.Op == op.Load {
		return []string{n.Path}
	}
	for _, m := range n.In {
		for _, p := range inputs(m) {
			if !slices.Contains(paths, p) {
				paths = append(paths, p)
			}
		}
	}
	return paths
}

// renumbered is a name with the number in which the first two differ replaced.
func renumbered(a, b string, n int) string {
	k := 0
	for a[k] == b[k] {
		k++
	}
	end := strings.IndexByte(a[k:], '.')
	if end < 0 {
		end = len(a) - k
	}
	return fmt.Sprintf("%s%d%s", a[:k], n, a[k+end:])
}

// expertFaults break what one stack is made of; nil when a fault cannot be there:
// a square matrix looks the same turned round, and only its hash tells.
var expertFaults = map[string]func(l list, target arch.Target, in []string) list{
	"one missing": func(l list, _ arch.Target, in []string) list {
		return slices.DeleteFunc(l, func(t tensor.Info) bool { return t.Path == in[len(in)-1] })
	},
	"one too many": func(l list, target arch.Target, in []string) list {
		k := at(l, in[0])
		if target.Make.Op != op.Stack {
			l[k].Shape[0]++
			return l
		}
		more := l[k]
		more.Path = renumbered(in[0], in[1], len(in))
		return append(l, more)
	},
	"numbered from one": func(l list, target arch.Target, in []string) list {
		if target.Make.Op != op.Stack {
			return nil
		}
		l[at(l, in[0])].Path = renumbered(in[0], in[1], len(in))
		return l
	},
	"copies beside the stack": func(l list, target arch.Target, in []string) list {
		if at(l, target.Path) >= 0 {
			return nil
		}
		stack := l[at(l, in[0])]
		stack.Path, stack.Shape = target.Path, target.Shape
		return append(l, stack)
	},
	"transposed": func(l list, _ arch.Target, in []string) list {
		t := &l[at(l, in[len(in)-1])]
		n := len(t.Shape)
		if t.Shape[n-1] == t.Shape[n-2] {
			return nil
		}
		t.Shape[n-1], t.Shape[n-2] = t.Shape[n-2], t.Shape[n-1]
		return l
	},
	"fp8 without its scale": func(l list, _ arch.Target, in []string) list {
		t := &l[at(l, in[len(in)-1])]
		if t.DType != tensor.BF16 {
			return nil
		}
		t.DType = tensor.F8E4M3
		return l
	},
}

func at(l list, path string) int {
	return slices.IndexFunc(l, func(t tensor.Info) bool { return t.Path == path })
}

// Of every family of experts each fault of each stack is found, and stops the
// export: nothing is written.
func TestExpertFaultsStopExport(t *testing.T) {
	var mu sync.Mutex
	families, tried := 0, map[string]int{}
	t.Run("of", func(t *testing.T) {
		for _, name := range synth.ConfigNames() {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				f := familyOf(t, name)
				if len(f.stacks) == 0 {
					return
				}
				done := f.try(t)
				mu.Lock()
				defer mu.Unlock()
				families++
				for _, what := range done {
					tried[what]++
				}
			})
		}
	})
	for what := range expertFaults {
		if most := families / 2; tried[what] <= most { // the least common needs experts one by one
			t.Errorf("%s: tried on %d of %d families", what, tried[what], families)
		}
	}
}

// try breaks each stack in each way; the faults that could be there are told.
func (f *family) try(t *testing.T) (done []string) {
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	dir := t.TempDir()
	refused := func(l list) (err error) {
		v, err := r.Put(context.Background(), registry.Revision{Model: "m", Root: f.root, Config: f.config, Files: f.files}, l)
		if err != nil {
			t.Fatal(err)
		}
		return r.View(func(s *registry.Snapshot) error {
			_, err := export.New(t.Context(), s, v, export.Options{Out: filepath.Join(dir, "out")})
			return err
		})
	}
	if err := refused(f.tensors); err != nil {
		t.Errorf("whole, and refused: %v", err)
	}
	for what, fault := range expertFaults {
		exported := false
		for _, stack := range f.stacks {
			l := slices.Clone(f.tensors)
			for i := range l {
				l[i].Shape = slices.Clone(l[i].Shape)
			}
			if l = fault(l, stack, inputs(stack.Make)); l == nil {
				continue
			}
			for i := range l { // as an ingest would have found it
				if l[i].Bytes, err = l[i].Shape.Bytes(l[i].DType); err != nil {
					t.Fatal(err)
				}
				l[i].Slices = nil
			}
			slices.SortFunc(l, func(a, b tensor.Info) int { return strings.Compare(a.Path, b.Path) })
			res, err := f.arch.Resolve(t.Context(), f.laid, list(l))
			if err != nil || len(res.Gaps)+len(res.Unused) == 0 {
				t.Errorf("%s, %s: not found (%v)", stack.Path, what, err)
			}
			if exported { // a fault that is found is one that stops: shown once
				continue
			}
			exported = true
			done = append(done, what)
			err = refused(l)
			var gaps *export.GapError
			if !errors.As(err, &gaps) {
				t.Errorf("%s, %s: exported: %v", stack.Path, what, err)
			}
		}
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) > 0 {
		t.Errorf("written: %v %v", left, err)
	}
	return done
}
