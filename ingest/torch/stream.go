package torch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"

	"wreg/ingest/torch/globals"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// The stream torch wrote before 1.6 (torch/serialization.py, _legacy_save): five
// pickles — magic number, protocol, the writer's machine, the object, the keys of
// its storages — and then each storage: its element count and its elements,
// little-endian whatever the writer's machine was.
const (
	streamMagic    = "119547037146038801333356" // 0x1950a86a20f9469cfc6c
	streamProtocol = 1001
	firstWindow    = 64 << 10 // a pickle's length is known when it was read

	// storageMemory is what a storage or a tensor of the older formats takes, besides
	// its name and shape.
	storageMemory = 256
)

// sniffPickle knows a pickle by its first opcode: the protocol, or, in protocol 0,
// the magic number as text. The header length of a safetensors file can begin
// with the same two bytes, but then a brace follows.
func sniffPickle(head []byte) bool {
	if bytes.HasPrefix(head, []byte("L"+streamMagic)) {
		return true
	}
	return len(head) > 2 && head[0] == 0x80 && head[1] >= 1 && head[1] <= 5 && !(len(head) > 8 && head[8] == '{' && head[7] == 0)
}

// cursor reads a stream of pickles and numbers.
type cursor struct {
	f      *File
	at     int64
	end    int64
	what   string // which member of a tar; "" for a stream
	window []byte // reused from pickle to pickle: its values keep nothing of it
}

func (c *cursor) errorf(format string, args ...any) error {
	return fmt.Errorf("%soffset %d: %w", c.what, c.at, fmt.Errorf(format, args...))
}

// pickle reads the next pickle and walks past it. How long it is shows only when
// it was read, so it is tried with ever more of the file.
func (c *cursor) pickle(what string, persistent func(any) (any, error)) (*pickle.Result, error) {
	limit := min(c.end-c.at, pickle.MaxSize)
	for window := min(firstWindow, limit); ; {
		if err := c.fill(window); err != nil {
			return nil, c.errorf("%s: %w", what, err)
		}
		result, err := c.f.load(c.window, persistent)
		if err == nil {
			c.at += int64(result.Size)
			return result, nil
		}
		need, cut := pickle.Truncated(err)
		if !cut || window == limit || need > uint64(limit) {
			return nil, c.errorf("%s: %w", what, err)
		}
		window = min(max(4*window, int64(need)), limit)
	}
}

// fill reads the next n bytes into the window.
func (c *cursor) fill(n int64) error {
	if grow := n - int64(cap(c.window)); grow > 0 {
		if err := c.f.spend(grow); err != nil {
			return err
		}
		c.window = make([]byte, n)
	}
	c.window = c.window[:n]
	if err := tensor.ReadFull(c.f.r, c.window, c.at); err != nil {
		return fmt.Errorf("reading %d bytes: %w", n, err)
	}
	return nil
}

// number reads an int64.
func (c *cursor) number(what string) (int64, error) {
	if c.end-c.at < 8 {
		return 0, c.errorf("%s: %d bytes are left of the 8 it takes", what, c.end-c.at)
	}
	var b [8]byte
	if err := tensor.ReadFull(c.f.r, b[:], c.at); err != nil {
		return 0, c.errorf("%s: %w", what, err)
	}
	c.at += 8
	return int64(binary.LittleEndian.Uint64(b[:])), nil
}

// elements takes n elements of a storage as its record.
func (c *cursor) elements(key string, n int64, dt tensor.DType) error {
	if dt == tensor.Invalid {
		dt = tensor.U8
	}
	size, err := dt.Size(n)
	if err != nil {
		return c.errorf("storage %q: %w", key, err)
	}
	if size > c.end-c.at {
		return c.errorf("storage %q: %d elements of %v take %d bytes, %d are left", key, n, dt, size, c.end-c.at)
	}
	if c.f.records[key] != nil {
		return c.errorf("storage %q is there twice", key)
	}
	if err := c.f.spend(storageMemory + int64(len(key))); err != nil {
		return c.errorf("storage %q: %w", key, err)
	}
	c.f.records[key] = &zipfile.Record{Name: key, Offset: c.at, Size: size, Stored: size}
	c.at += size
	return nil
}

// ErrOtherPickle is why a pickle cannot be read that torch did not write.
var ErrOtherPickle = errors.New("not a checkpoint: it begins with a pickle that is not torch's magic number")

func (f *File) openStream() error {
	c := &cursor{f: f, end: f.size}
	magic, err := c.pickle("magic number", nil)
	if err != nil {
		return err
	}
	if n, ok := magic.Value.(*big.Int); !ok || n.String() != streamMagic {
		return ErrOtherPickle
	}
	protocol, err := c.pickle("protocol", nil)
	if err != nil {
		return err
	}
	if protocol.Value != streamProtocol {
		return c.errorf("a protocol other than %d", streamProtocol)
	}
	if _, err := c.pickle("machine", nil); err != nil {
		return err
	}
	roots := map[string]*strided.Storage{}
	main, err := c.pickle("object", func(id any) (any, error) { return f.streamStorage(id, roots) })
	if err != nil {
		return err
	}
	keys, err := c.pickle("storage keys", nil)
	if err != nil {
		return err
	}
	if err := c.storages(keys.Value, roots); err != nil {
		return err
	}
	if c.at < c.end {
		what, head := "", make([]byte, min(c.end-c.at, 16))
		if err := tensor.ReadFull(f.r, head, c.at); err == nil && sniffPickle(head) {
			what = "; another file begins there, as when cat joins two; only the first is read"
		}
		f.find("trailing-bytes", "", fmt.Sprintf("%d bytes follow the last storage at offset %d%s", c.end-c.at, c.at, what))
	}
	return f.list(rooted{nil, main})
}

// storages reads the storages in the order of their keys, which must be those the
// object has named.
func (c *cursor) storages(keys any, roots map[string]*strided.Storage) error {
	list, ok := keys.(*pickle.List)
	if !ok {
		return c.errorf("storage keys: a %s instead of a list", globals.KindOf(keys))
	}
	for _, k := range *list {
		key, _ := k.(string)
		root := roots[key]
		if root == nil {
			return c.errorf("storage %q: no tensor names it, so its element size is unknown", key)
		}
		n, err := c.number("storage " + key)
		if err != nil {
			return err
		}
		if n != root.Numel {
			return c.errorf("storage %q: %d elements, its tensors say %d", key, n, root.Numel)
		}
		if err := c.elements(key, n, root.DType); err != nil {
			return err
		}
	}
	for key := range roots {
		if c.f.records[key] == nil {
			return c.errorf("storage %q: tensors name it, and it is not in the file", key)
		}
	}
	return nil
}

// streamStorage serves ('storage', class, key, device, numel, view), view being
// None or (key, offset, numel) in elements of the storage.
func (f *File) streamStorage(id any, roots map[string]*strided.Storage) (any, error) {
	t, ok := id.(*pickle.Tuple)
	if ok && t.Len() == 4 && t.Get(0) == "module" { // a class with its source
		return t.Get(1), nil
	}
	if !ok || t.Len() < 5 || t.Get(0) != "storage" {
		return nil, errors.New("a persistent id that is neither storage nor module")
	}
	root, err := globals.StorageOf(t.Get(1), t.Get(2), t.Get(4))
	if err != nil {
		return nil, err
	}
	root.Record = root.Key
	if was := roots[root.Key]; was == nil {
		roots[root.Key] = root
	} else if was.Numel != root.Numel || was.DType != root.DType {
		return nil, fmt.Errorf("storage %q: %d elements of %v, named before as %d of %v", root.Key, root.Numel, root.DType, was.Numel, was.DType)
	}
	if t.Len() < 6 || t.Get(5) == nil {
		return root, nil
	}
	view, ok := t.Get(5).(*pickle.Tuple)
	if !ok || view.Len() != 3 {
		return nil, fmt.Errorf("storage %q: a view that is a %s", root.Key, globals.KindOf(t.Get(5)))
	}
	first, err := globals.Integer(view.Get(1))
	if err != nil {
		return nil, fmt.Errorf("storage %q: view offset: %w", root.Key, err)
	}
	n, err := globals.Integer(view.Get(2))
	if err != nil {
		return nil, fmt.Errorf("storage %q: view size: %w", root.Key, err)
	}
	return root.Part(first, n)
}
