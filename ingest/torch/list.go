package torch

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
	"wreg/registry/tensor"
)

// rooted is a pickle's value and the keys that its paths begin with.
type rooted struct {
	prefix []any
	*pickle.Result
}

// listed is the memory of a tensor in File, besides its path.
const listed = 256

// list walks values for tensors and lists them. Where plain paths are not
// distinct it walks once more, now writing those with brackets.
func (f *File) list(values ...rooted) error {
	before := len(f.findings)
	if err := f.walk(values, nil); err != nil {
		return err
	}
	count := make(map[string]int, len(f.tensors))
	repeated := false
	for _, t := range f.tensors {
		count[t.Path]++
		repeated = repeated || count[t.Path] > 1 || strings.HasPrefix(t.Path, "[")
	}
	if !repeated {
		return nil
	}
	f.views, f.tensors, f.findings = nil, nil, f.findings[:before]
	if err := f.walk(values, count); err != nil {
		return err
	}
	f.number()
	return nil
}

// number gives the second tensor of a path, and those after it, a number.
func (f *File) number() {
	taken := make(map[string]bool, len(f.tensors))
	for _, t := range f.tensors {
		taken[t.Path] = true
	}
	last := map[string]int{}
	for i := range f.tensors {
		t := &f.tensors[i]
		n := last[t.Path]
		if n == 0 {
			last[t.Path] = 1
			continue
		}
		for name := t.Path; ; {
			if n++; !taken[fmt.Sprintf("%s#%d", name, n)] {
				last[name] = n
				t.Path = fmt.Sprintf("%s#%d", name, n)
				break
			}
		}
		f.find("path-collision", t.Path, fmt.Sprintf("tensor %.200q has the keys of %d before it", t.Path, n-1))
	}
}

// walk lists the tensors of values. count is how many tensors have each plain
// path; nil in the first walk.
func (f *File) walk(values []rooted, count map[string]int) error {
	for _, v := range values {
		w := walker{
			f: f, count: count, path: v.prefix, length: len(join(v.prefix)),
			visits: int64(v.Ops)*visitsPerOp + freeVisits, on: map[any]int{}, cyclic: map[any]any{}, barren: map[*pickle.Object]bool{},
		}
		w.low = 1
		if err := w.walk(v.Value); err != nil {
			return err
		}
		if err := w.walkKeys(); err != nil {
			return err
		}
	}
	return nil
}

// add lists one tensor.
func (f *File) add(at string, v *strided.View) error {
	if err := f.spend(listed + 2*int64(len(at))); err != nil {
		return err
	}
	if v.Meta {
		f.find("meta-tensor", at, fmt.Sprintf("tensor %q has a shape %v and no bytes; it is not listed", at, v.Shape))
		return nil
	}
	info := tensor.Info{Path: at, DType: v.DType, Shape: v.Shape, File: f.name, Offset: -1, Bytes: v.Size(), Format: "torch"}
	item := v.Item()
	if rec := f.records[v.Storage.Record]; v.Storage.Data == nil && !rec.Deflated && (v.Dense() || v.Empty()) && !v.Conj && !v.Neg && !f.swapped(v) {
		info.Offset = rec.Offset + v.Storage.Base + v.Offset*item
	}
	if v.Conj || v.Neg {
		f.find("pending-operation", at, fmt.Sprintf("tensor %q is stored before its conjugation or negation; its logical bytes are read", at))
	}
	if f.big && v.Storage.DType == tensor.Invalid && item > 1 {
		f.find("byte-order", at, fmt.Sprintf("tensor %q lies untyped in a big-endian file; its bytes are read as they are, as torch does", at))
	}
	f.tensors = append(f.tensors, info)
	f.views = append(f.views, v)
	return nil
}

// Bytes that no tensor looks at are worth a word when they are many: a file of
// which a tenth, and at least a MiB, is waste, or hides something.
const (
	unusedFree  = 1 << 20
	unusedShare = 10
)

// findUnused reports storage that no tensor looks at: a slice that was saved with
// all it was cut from, or a record that nothing refers to.
func (f *File) findUnused(used map[string][]int32) {
	type span struct{ from, to int64 }
	var spans []span
	var total, most int64
	var worst string
	for name, rec := range f.records {
		if !isStorage(name) {
			continue
		}
		spans = spans[:0]
		for _, i := range used[name] {
			v := f.views[i]
			from, to := v.Extent()
			spans = append(spans, span{v.Storage.Base + from, v.Storage.Base + to})
		}
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.from, b.from) })
		unused, end := rec.Size, int64(0)
		for _, s := range spans {
			if s.to > end {
				unused -= s.to - max(s.from, end)
				end = s.to
			}
		}
		total += unused
		if unused > most || unused == most && unused > 0 && name < worst {
			most, worst = unused, name
		}
	}
	if total >= unusedFree && total > f.size/unusedShare {
		f.find("unused-bytes", "", fmt.Sprintf("%d bytes of storage belong to no tensor, %d of them in %q; clone slices before saving them", total, most, worst))
	}
}

// isStorage tells storages from the other records of a zip: they are called by
// number, as all records of the older formats are.
func isStorage(record string) bool {
	folder, key := path.Split(record)
	switch path.Base(folder) {
	case ".", "data", "constants":
		return digits(key)
	}
	return false
}
