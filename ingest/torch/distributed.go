package torch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sort"
	"strings"

	"wreg/ingest/interrupt"
	"wreg/ingest/torch/globals"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// Distributed is a checkpoint of torch.distributed.checkpoint: a pickle .metadata
// that says of which chunks each tensor consists, and .distcp files that hold each
// chunk as what torch.save makes of it.
type Distributed struct {
	tensors []tensor.Info
	readers []*assembled
	budget  zipfile.Budget
}

const (
	// maxChunks bounds the chunks of one tensor: each is compared with every other.
	maxChunks = 4096
	// chunkMemory bounds what a chunk's own checkpoint of one tensor may take, and
	// keptMemory is what of it stays.
	chunkMemory = 256 << 10
	keptMemory  = 2 << 10
	// placeMemory is what a place in a file takes, besides its names.
	placeMemory = 256
)

// OpenDistributed reads .metadata and the header of every chunk. open gives a
// .distcp file by its name, which is checked to be a plain one.
func OpenDistributed(ctx context.Context, metadata []byte, name string, open func(file string) (io.ReaderAt, int64, error)) (*Distributed, error) {
	f := newFile(ctx, bytes.NewReader(metadata), int64(len(metadata)), name)
	if err := f.spend(int64(len(metadata))); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	result, err := f.load(metadata, nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	root, err := fields(result.Value)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	tensors, ok1 := root["state_dict_metadata"].(*pickle.Dict)
	places, ok2 := root["storage_data"].(*pickle.Dict)
	if !ok1 || !ok2 {
		return nil, fmt.Errorf("%s: no state_dict_metadata or storage_data: not the metadata of a distributed checkpoint", name)
	}
	where, err := f.storageData(*places)
	if err != nil {
		return nil, fmt.Errorf("%s: storage_data: %w", name, err)
	}
	d := &Distributed{}
	var stored, shown int64
	sizes := map[string]bool{}
	measured := func(file string) (io.ReaderAt, int64, error) {
		r, size, err := open(file)
		if !sizes[file] {
			sizes[file] = true
			stored = min(stored+size, 1<<59)
		}
		return r, size, err
	}
	names := make(map[string]bool, len(*tensors))
	for _, e := range *tensors {
		fqn, ok := e.Key.(string)
		if !ok {
			return nil, fmt.Errorf("%s: a tensor whose name is a %s", name, globals.KindOf(e.Key))
		}
		o, _ := e.Value.(*pickle.Object)
		if o != nil && o.Class.Name == "BytesStorageMetadata" {
			continue // a pickled value beside the tensors, as numbers are in a state dict
		}
		if names[fqn] {
			return nil, fmt.Errorf("%s: tensor %q is there twice", name, plain(fqn))
		}
		names[fqn] = true
		if err := d.add(f, plain(fqn), fqn, e.Value, where, measured); err != nil {
			return nil, fmt.Errorf("%s: tensor %q: %w", name, plain(fqn), err)
		}
	}
	for _, t := range d.tensors {
		if shown += t.Bytes; shown > strided.MaxExpanded+strided.ViewedTimes*stored {
			return nil, fmt.Errorf("%s: tensor %q: with it, tensors take %d bytes, the files of their chunks have %d; at most %d GiB and %d times as many are read", name, t.Path, shown, stored, strided.MaxExpanded>>30, strided.ViewedTimes)
		}
	}
	return d, nil
}

// Tensors lists the assembled tensors.
func (d *Distributed) Tensors() []tensor.Info { return d.tensors }

// Bytes gives the logical bytes of tensor i, put together from its chunks.
func (d *Distributed) Bytes(i int) (io.ReaderAt, error) { return d.readers[i], nil }

// Prove is File.Prove of the chunks of tensor i.
func (d *Distributed) Prove(ctx context.Context, i int) error {
	for _, c := range d.readers[i].chunks {
		if err := c.file.Prove(ctx, 0); err != nil {
			return fmt.Errorf("chunk at %v: %w", c.origin, err)
		}
	}
	return nil
}

// Budget is what reading the tensors takes for as long as the files are open.
func (d *Distributed) Budget() zipfile.Budget { return d.budget }

// Within makes a budget of several files of what is read more than once.
func (d *Distributed) Within(all *zipfile.Again) {
	for _, a := range d.readers {
		for _, c := range a.chunks {
			c.file.Within(all)
		}
	}
}

// place is where a chunk lies.
type place struct {
	file           string
	offset, length int64
}

// chunkKey names a chunk. A whole tensor has offset None or zeros.
func chunkKey(fqn string, origin []int64) string {
	if !slices.ContainsFunc(origin, func(n int64) bool { return n != 0 }) {
		origin = nil
	}
	return fmt.Sprint(fqn, "\x00", origin)
}

// storageData reads {MetadataIndex(fqn, offset): StorageInfo(relative_path, offset, length)}.
func (f *File) storageData(entries []pickle.Pair) (map[string]place, error) {
	all := make(map[string]place, len(entries))
	for _, e := range entries {
		index, err := fields(e.Key)
		if err != nil {
			return nil, err
		}
		info, err := fields(e.Value)
		if err != nil {
			return nil, err
		}
		fqn, ok := index["fqn"].(string)
		if !ok {
			return nil, fmt.Errorf("a chunk whose tensor is a %s", globals.KindOf(index["fqn"]))
		}
		var origin []int64
		if index["offset"] != nil {
			if origin, err = globals.Ints(index["offset"]); err != nil {
				return nil, fmt.Errorf("chunk of %q: %w", plain(fqn), err)
			}
		}
		var p place
		if p.file, ok = info["relative_path"].(string); !ok {
			return nil, fmt.Errorf("chunk of %q: its file is a %s", plain(fqn), globals.KindOf(info["relative_path"]))
		}
		if p.file != path.Base(p.file) || strings.ContainsAny(p.file, "/\\\x00") || p.file == ".." || p.file == "." {
			return nil, fmt.Errorf("chunk of %q: %q is not a plain file name", plain(fqn), p.file)
		}
		if l, ok := info["transform_descriptors"].(*pickle.List); ok && len(*l) > 0 {
			return nil, fmt.Errorf("chunk of %q: it is stored transformed, which is not read", plain(fqn))
		}
		if p.offset, err = globals.Integer(info["offset"]); err == nil {
			p.length, err = globals.Integer(info["length"])
		}
		if err != nil {
			return nil, fmt.Errorf("chunk of %q: %w", plain(fqn), err)
		}
		key := chunkKey(fqn, origin)
		if _, twice := all[key]; twice {
			return nil, fmt.Errorf("chunk of %q at %v is there twice", plain(fqn), origin)
		}
		if err := f.spend(placeMemory + int64(len(key))); err != nil {
			return nil, fmt.Errorf("chunk of %q: %w", plain(fqn), err)
		}
		all[key] = p
	}
	return all, nil
}

// add reads one tensor's metadata and opens its chunks.
func (d *Distributed) add(f *File, name, fqn string, meta any, where map[string]place, open func(string) (io.ReaderAt, int64, error)) error {
	m, err := fields(meta)
	if err != nil {
		return err
	}
	if err := f.spend(listed + 2*int64(len(name))); err != nil {
		return err
	}
	a := &assembled{}
	if a.shape, err = globals.Ints(m["size"]); err != nil {
		return fmt.Errorf("size: %w", err)
	}
	if a.dtype, err = propertiesDType(m["properties"]); err != nil {
		return err
	}
	info := tensor.Info{Path: name, DType: a.dtype, Shape: a.shape, Offset: -1, Format: "torch"}
	if info.Bytes, err = a.shape.Bytes(a.dtype); err != nil {
		return err
	}
	a.size = info.Bytes
	chunks, ok := m["chunks"].(*pickle.List)
	if !ok || len(*chunks) == 0 || len(*chunks) > maxChunks {
		return fmt.Errorf("its chunks are a %s, or not 1 to %d", globals.KindOf(m["chunks"]), maxChunks)
	}
	for _, c := range *chunks {
		part, err := fields(c)
		if err != nil {
			return err
		}
		ch := chunk{}
		if ch.origin, err = globals.Ints(part["offsets"]); err == nil {
			ch.shape, err = globals.Ints(part["sizes"])
		}
		if err != nil {
			return fmt.Errorf("chunk: %w", err)
		}
		p, ok := where[chunkKey(fqn, ch.origin)]
		if !ok {
			return fmt.Errorf("chunk at %v: storage_data does not say where it lies", ch.origin)
		}
		if err := f.spend(keptMemory); err != nil {
			return fmt.Errorf("chunk at %v: %w", ch.origin, err)
		}
		plainAt, err := ch.open(f.steps.Context, p, a.dtype, open)
		if err != nil {
			return fmt.Errorf("chunk at %v: %s: bytes %d:+%d: %w", ch.origin, p.file, p.offset, p.length, err)
		}
		if info.File == "" {
			info.File = p.file
		}
		if len(*chunks) == 1 {
			info.Offset = plainAt
		}
		if err := d.budget.Hold(ch.file.Budget().Held); err != nil {
			return fmt.Errorf("chunk at %v: %s: %w", ch.origin, p.file, err)
		}
		if err := d.gather(ch, a); err != nil {
			return fmt.Errorf("chunk at %v: %s: with it, %w", ch.origin, p.file, err)
		}
		a.chunks = append(a.chunks, ch)
	}
	if err := a.covered(f.steps.Context); err != nil {
		return err
	}
	d.tensors = append(d.tensors, info)
	d.readers = append(d.readers, a)
	return nil
}

// gather counts the reads that a chunk takes: its runs, and those of its own file.
func (d *Distributed) gather(ch chunk, a *assembled) error {
	runs, _, run := ch.runs(a)
	if run == 0 {
		return nil
	}
	return d.budget.Gather(runs + ch.file.Budget().Pieces) // neither is more than elements
}

// open reads the header of the chunk's own checkpoint and gives the offset of its
// bytes in the file, -1 when they do not lie plainly.
func (ch *chunk) open(ctx context.Context, p place, dt tensor.DType, open func(string) (io.ReaderAt, int64, error)) (int64, error) {
	r, size, err := open(p.file)
	if err != nil {
		return 0, err
	}
	if p.offset < 0 || p.length < 0 || p.offset > size || p.length > size-p.offset {
		return 0, fmt.Errorf("they reach past the end at %d", size)
	}
	f, err := openWithin(ctx, io.NewSectionReader(r, p.offset, p.length), p.length, "chunk", chunkMemory)
	if err != nil {
		return 0, err
	}
	if len(f.tensors) != 1 {
		return 0, fmt.Errorf("%d tensors lie there instead of one", len(f.tensors))
	}
	t := f.tensors[0]
	if t.DType != dt || !t.Shape.Equal(ch.shape) {
		return 0, fmt.Errorf("a tensor %v %v lies there, the metadata says %v %v", t.DType, t.Shape, dt, ch.shape)
	}
	f.inert, ch.file = nil, f
	if ch.data, err = f.Bytes(0); err != nil || t.Offset < 0 {
		return -1, err
	}
	return p.offset + t.Offset, nil
}

// propertiesDType reads the dtype of TensorProperties: the first of its state.
func propertiesDType(v any) (tensor.DType, error) {
	o, ok := v.(*pickle.Object)
	if !ok || len(o.State) != 1 {
		return tensor.Invalid, fmt.Errorf("its properties are a %s", globals.KindOf(v))
	}
	switch s := o.State[0].(type) {
	case *pickle.Tuple:
		if s.Len() > 0 {
			return globals.DTypeOf(s.Get(0))
		}
	case *pickle.Dict:
		for _, e := range *s {
			if e.Key == "dtype" {
				return globals.DTypeOf(e.Value)
			}
		}
	}
	return tensor.Invalid, errors.New("its properties name no dtype")
}

// fields gives a dataclass's state by name.
func fields(v any) (map[string]any, error) {
	o, ok := v.(*pickle.Object)
	if !ok || len(o.State) != 1 {
		return nil, fmt.Errorf("want an object with fields, have a %s", globals.KindOf(v))
	}
	state, ok := o.State[0].(*pickle.Dict)
	if !ok {
		return nil, fmt.Errorf("the fields of %s are a %s", o.Class, globals.KindOf(o.State[0]))
	}
	m := make(map[string]any, len(*state))
	for _, e := range *state {
		if name, ok := e.Key.(string); ok {
			m[name] = e.Value
		}
	}
	return m, nil
}

// chunk is a box of a tensor, row-major in data.
type chunk struct {
	origin []int64
	shape  tensor.Shape
	file   *File // whose one tensor it is
	data   io.ReaderAt
}

// assembled reads a tensor from its chunks.
type assembled struct {
	shape  tensor.Shape
	dtype  tensor.DType
	size   int64
	chunks []chunk
}

// covered checks that the chunks lie inside, apart, and leave nothing out.
func (a *assembled) covered(ctx context.Context) error {
	steps := interrupt.Steps{Context: ctx}
	total, err := a.shape.Numel()
	if err != nil {
		return err
	}
	for i, c := range a.chunks {
		if len(c.origin) != len(a.shape) || len(c.shape) != len(a.shape) {
			return fmt.Errorf("chunk at %v of shape %v: its rank is not that of %v", c.origin, c.shape, a.shape)
		}
		n, err := c.shape.Numel()
		if err != nil {
			return err
		}
		for k, d := range a.shape {
			if c.origin[k] < 0 || c.origin[k] > d || c.shape[k] > d-c.origin[k] {
				return fmt.Errorf("chunk at %v of shape %v leaves %v", c.origin, c.shape, a.shape)
			}
		}
		for _, other := range a.chunks[:i] {
			if err := steps.Next(); err != nil {
				return err
			}
			if n > 0 && c.overlaps(other) {
				return fmt.Errorf("chunks at %v and %v overlap", other.origin, c.origin)
			}
		}
		total -= n
	}
	if total != 0 {
		return fmt.Errorf("its chunks leave %d of its elements out", total)
	}
	return nil
}

func (c chunk) overlaps(d chunk) bool {
	for k := range c.shape {
		if c.shape[k] == 0 || d.shape[k] == 0 || c.origin[k] >= d.origin[k]+d.shape[k] || d.origin[k] >= c.origin[k]+c.shape[k] {
			return false
		}
	}
	return true
}

func (a *assembled) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off >= a.size {
		return 0, io.EOF
	}
	n := min(int64(len(p)), a.size-off)
	for _, c := range a.chunks {
		if err := c.read(p[:n], off, a); err != nil {
			return 0, err
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// runs is how many stretches of run bytes of the tensor a chunk is: one for each
// index of its first k dimensions. A run of 0 bytes is none.
func (c chunk) runs(a *assembled) (runs int64, k int, run int64) {
	_, run = a.dtype.Block()
	for k = len(a.shape); k > 0; {
		k--
		run *= c.shape[k]
		if c.shape[k] != a.shape[k] {
			break
		}
	}
	runs = 1
	for _, d := range c.shape[:k] {
		runs *= d
	}
	return runs, k, run
}

// read copies what of the chunk lies in the tensor's bytes off, off+len(p): run by
// run, a run being what lies together in both.
func (c chunk) read(p []byte, off int64, a *assembled) error {
	_, item := a.dtype.Block()
	runs, k, run := c.runs(a)
	if run == 0 {
		return nil
	}
	start := func(i int64) int64 { // where run i begins in the tensor
		at, stride := int64(0), item
		for j := len(a.shape) - 1; j >= 0; j-- {
			index := int64(0)
			if j < k {
				index, i = i%c.shape[j], i/c.shape[j]
			}
			at += (c.origin[j] + index) * stride
			stride *= a.shape[j]
		}
		return at
	}
	first := int64(sort.Search(int(runs), func(i int) bool { return start(int64(i))+run > off }))
	for i := first; i < runs; i++ {
		at := start(i)
		lo, hi := max(at, off), min(at+run, off+int64(len(p)))
		if lo >= hi {
			break
		}
		if err := tensor.ReadFull(c.data, p[lo-off:hi-off], i*run+lo-at); err != nil {
			return err
		}
	}
	return nil
}
