// Package torch reads PyTorch checkpoints without Python and without running
// anything: zip archives (torch >= 1.6), the stream of pickles before them, and
// the tar of torch 0.1.
//
// Most users need Open, File.Tensors and File.Bytes.
//
// Rules that bite: classes are inert, and a pickle that names one of Python's
// standard library beyond plain containers is refused; every storage, offset and
// stride is checked against its record; Offset is -1 for a tensor whose bytes do
// not lie plainly in the file.
//
// A tensor's path is its keys joined by dots: {"state_dict": {"conv.weight": t}}
// gives state_dict.conv.weight. Keys that are no text are written as Python's str
// writes them. Where two tensors would have one path, all of them are written with
// brackets, ["a.b"]["c"] and ["a"]["b.c"], and a finding says so: nothing is lost,
// and which is which can be read back.
package torch

import (
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"wreg/ingest/torch/pickle"
	"wreg/registry/tensor"
)

// File is an opened checkpoint: directory and pickles read, no tensor data.
type File struct {
	name     string
	r        io.ReaderAt
	size     int64
	big      bool // byte order of typed storages
	records  map[string]*record
	root     string // folder of the records inside the archive, with its slash
	views    []*view
	tensors  []tensor.Info
	findings []tensor.Finding
	inert    map[string]int
	keys     [][]any // of each tensor, until paths are distinct
}

// Sniff reports whether head begins a checkpoint of torch: a zip file, the magic
// number of the older stream, or a tar.
func Sniff(head []byte) bool {
	return bytes.HasPrefix(head, []byte("PK\x03\x04")) || sniffStream(head) || sniffTar(head)
}

// Open reads a checkpoint's directory and pickles. Errors name file, record or
// tensor, and offset.
func Open(r io.ReaderAt, size int64, name string) (*File, error) {
	f := &File{name: name, r: r, size: size, inert: map[string]int{}}
	head := make([]byte, min(size, tarHeader))
	if _, err := r.ReadAt(head, 0); err != nil && err != io.EOF {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	open := f.openZip
	switch {
	case sniffTar(head):
		open = f.openTar
	case len(head) > 0 && !bytes.HasPrefix(head, []byte("PK")):
		open = f.openStream
	}
	if err := open(); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, class := range slices.Sorted(maps.Keys(f.inert)) {
		f.find("inert-object", "", fmt.Sprintf("holds %s: it stays inert; tensors inside are listed by their attributes", class))
	}
	return f, nil
}

// Tensors lists every tensor in the order of its pickle.
func (f *File) Tensors() []tensor.Info { return f.tensors }

// Findings are what a reader should know about the file.
func (f *File) Findings() []tensor.Finding { return f.findings }

func (f *File) find(rule, path, message string) {
	f.findings = append(f.findings, tensor.Finding{Rule: rule, File: f.name, Tensor: path, Message: f.name + ": " + message})
}

// Bytes gives tensor i's logical bytes: dense, row-major, little-endian.
func (f *File) Bytes(i int) (io.ReaderAt, error) {
	v := f.views[i]
	rec := f.records[f.root+v.st.records+v.st.key]
	data := rec.open(f.r)
	_, item := v.dtype.Block()
	var r io.ReaderAt
	switch {
	case v.empty():
		return bytes.NewReader(nil), nil
	case v.dense() && v.st.base == 0 && v.offset == 0 && v.size() == rec.size:
		r = data
	case v.dense():
		r = io.NewSectionReader(data, v.st.base+v.offset*item, v.size())
	default:
		r = &gatherer{v: v, r: data, first: v.st.base}
	}
	swap := f.swapped(v)
	if swap || v.conj || v.neg {
		r = &logical{r: r, v: v, swap: swap}
	}
	return r, nil
}

func (f *File) swapped(v *view) bool {
	return f.big && v.st.dtype != tensor.Invalid && component(v.dtype) > 1
}

// openZip finds the records below the archive's root folder and reads data.pkl.
func (f *File) openZip() error {
	records, err := readZip(f.r, f.size)
	if err != nil {
		return err
	}
	if len(records) == 0 {
		return fmt.Errorf("a zip file without records")
	}
	f.records = make(map[string]*record, len(records))
	root, _, folder := strings.Cut(records[0].name, "/")
	if folder {
		f.root = root + "/"
	}
	outside := 0
	for i := range records {
		if rec := &records[i]; strings.HasPrefix(rec.name, f.root) {
			f.records[rec.name] = rec
		} else {
			outside++
		}
	}
	if outside > 0 {
		f.find("second-root", "", fmt.Sprintf("%d records lie outside the folder %q of the first; torch reads none of them, nor does wreg", outside, text(f.root)))
	}
	if f.records[f.root+"data.pkl"] == nil {
		return fmt.Errorf("no record %q: a zip file, but not one torch.save wrote", text(f.root)+"data.pkl")
	}
	if !folder {
		f.find("no-root-folder", "", "its records lie in no folder; torch refuses the file")
	}
	if err := f.byteOrder(); err != nil {
		return err
	}
	if err := f.pickle("data.pkl", "data/", nil); err != nil {
		return err
	}
	if f.records[f.root+"constants.pkl"] != nil { // TorchScript
		f.find("torchscript", "", "a TorchScript archive: its code is not read; tensors are listed by their attributes, constants below constants.pkl")
		if err := f.pickle("constants.pkl", "constants/", []any{"constants.pkl"}); err != nil {
			return err
		}
	}
	return f.distinct()
}

func (f *File) byteOrder() error {
	rec := f.records[f.root+"byteorder"]
	if rec == nil {
		return nil
	}
	b, err := rec.whole(f.r, smallRecord)
	if err != nil {
		return err
	}
	switch string(b) {
	case "little":
	case "big":
		f.big = true
	default:
		return fmt.Errorf("record %q says %q, neither little nor big", text(rec.name), b)
	}
	return nil
}

// pickle reads one pickle and lists its tensors, whose storages are in folder.
func (f *File) pickle(name, folder string, prefix []any) error {
	rec := f.records[f.root+name]
	data, err := rec.whole(f.r, inflateFree+inflateTimes*f.size)
	if err != nil {
		return err
	}
	found, err := f.load(name, data, prefix, func(id any) (any, error) { return f.persistent(id, folder) })
	if err != nil {
		return err
	}
	for _, t := range found {
		f.add(t)
	}
	return nil
}

// load reads a pickle that must take all of data, and walks it.
func (f *File) load(name string, data []byte, prefix []any, persistent func(any) (any, error)) ([]found, error) {
	result, err := pickle.Load(data, pickle.Options{
		Budget:     budgetFree + budgetTimes*int64(len(data)),
		Class:      f.class,
		Persistent: persistent,
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if result.Size != len(data) {
		return nil, fmt.Errorf("%s: %d bytes follow the end of the pickle at byte %d", name, len(data)-result.Size, result.Size)
	}
	return f.walk(name, result, prefix)
}

// The memory that the values of a pickle may take.
const (
	budgetFree  = 64 << 20
	budgetTimes = 16
)

func (f *File) walk(name string, result *pickle.Result, prefix []any) ([]found, error) {
	w := walker{
		visits: int64(result.Ops)*visitsPerOp + freeVisits, bytes: budgetFree + int64(result.Size)*visitsPerOp,
		on: map[any]bool{}, path: prefix, length: len(join(prefix)),
	}
	if err := w.walk(result.Value); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for _, path := range w.bare {
		f.find("bare-storage", path, fmt.Sprintf("%q is a storage and no tensor; it is not listed", path))
	}
	return w.found, nil
}

// persistent serves ('storage', class, key, device, numel).
func (f *File) persistent(id any, folder string) (any, error) {
	t, ok := id.(*pickle.Tuple)
	if !ok || t.Len() < 5 || t.Get(0) != "storage" {
		return nil, fmt.Errorf("a persistent id that is no storage of a zip archive")
	}
	st, err := storageOf(t.Get(1), t.Get(2), t.Get(4))
	if err != nil {
		return nil, err
	}
	st.records = folder
	if !digits(st.key) {
		return nil, fmt.Errorf("storage key %q is no number", st.key)
	}
	rec := f.records[f.root+folder+st.key]
	if rec == nil {
		return nil, fmt.Errorf("storage %q: there is no record %q", st.key, text(f.root)+folder+st.key)
	}
	if st.bytes > rec.size {
		return nil, fmt.Errorf("storage %q: its %d elements take %d bytes, its record %q at offset %d holds %d", st.key, st.numel, st.bytes, text(rec.name), rec.data, rec.size)
	}
	return st, nil
}

// storageOf reads the class, key and element count of a persistent id.
func storageOf(class, key, numel any) (*storage, error) {
	c, ok := class.(*pickle.Class)
	if !ok {
		return nil, fmt.Errorf("a storage whose class is a %s", kindOf(class))
	}
	st := &storage{dtype: storages[c.Name]}
	switch {
	case c.Name == "UntypedStorage" && (c.Module == "torch" || c.Module == "torch.storage"):
		st.dtype = tensor.Invalid
	case c.Module != "torch" && c.Module != "torch.cuda" || st.dtype == tensor.Invalid:
		return nil, fmt.Errorf("unknown storage class %s", c)
	}
	if st.key, ok = key.(string); !ok {
		return nil, fmt.Errorf("a storage whose key is a %s", kindOf(key))
	}
	var err error
	if st.numel, err = integer(numel); err != nil {
		return nil, fmt.Errorf("storage %q: element count: %w", st.key, err)
	}
	st.bytes = st.numel
	if st.dtype != tensor.Invalid {
		if st.bytes, err = st.dtype.Size(st.numel); err != nil {
			return nil, fmt.Errorf("storage %q: %w", st.key, err)
		}
	}
	if st.bytes < 0 {
		return nil, fmt.Errorf("storage %q: %d elements", st.key, st.numel)
	}
	return st, nil
}

func digits(s string) bool {
	if s == "" || len(s) > 18 {
		return false
	}
	return strings.Trim(s, "0123456789") == ""
}

// add lists one tensor.
func (f *File) add(t found) {
	v, path := t.view, join(t.keys)
	if v.meta {
		f.find("meta-tensor", path, fmt.Sprintf("tensor %q has a shape %v and no bytes; it is not listed", path, v.shape))
		return
	}
	if v.neg && !signed(v.dtype) {
		v.neg = false
	}
	info := tensor.Info{Path: path, DType: v.dtype, Shape: v.shape, File: f.name, Offset: -1, Bytes: v.size(), Format: "torch"}
	rec := f.records[f.root+v.st.records+v.st.key]
	if rec.method == stored && (v.dense() || v.empty()) && !v.conj && !v.neg && !f.swapped(v) {
		_, item := v.dtype.Block()
		info.Offset = rec.data + v.st.base + v.offset*item
	}
	if v.conj || v.neg {
		f.find("pending-operation", path, fmt.Sprintf("tensor %q is stored before its conjugation or negation; its logical bytes are read", path))
	}
	f.tensors = append(f.tensors, info)
	f.views = append(f.views, v)
	f.keys = append(f.keys, t.keys)
}

// distinct renames tensors that would share a path.
func (f *File) distinct() error {
	count := make(map[string]int, len(f.tensors))
	for _, t := range f.tensors {
		count[t.Path]++
	}
	for i := range f.tensors {
		if t := &f.tensors[i]; count[t.Path] > 1 {
			was := t.Path
			t.Path = brackets(f.keys[i])
			f.find("path-collision", t.Path, fmt.Sprintf("%d tensors would be called %.200q; this one is called %.200s", count[was], was, t.Path))
		}
	}
	seen := make(map[string]bool, len(f.tensors))
	for _, t := range f.tensors {
		if seen[t.Path] {
			return fmt.Errorf("two tensors are called %.200q", t.Path)
		}
		seen[t.Path] = true
	}
	f.keys = nil
	return nil
}
