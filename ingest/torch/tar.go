package torch

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"wreg/ingest/torch/globals"
	"wreg/ingest/torch/pickle"
	"wreg/ingest/torch/strided"
	"wreg/registry/tensor"
)

// tarHeader is the size of a tar header, whose magic is at offset 257.
const tarHeader = 512

// maxMembers bounds the members of a tar, which are found one after another.
const maxMembers = 1000

func sniffTar(head []byte) bool {
	return len(head) >= 262 && bytes.Equal(head[257:262], []byte("ustar"))
}

// openTar reads the tar of torch 0.1 (torch/serialization.py, legacy_load):
// members storages, tensors and pickle. Nothing is ever extracted; other members
// are not looked at.
func (f *File) openTar() error {
	members := map[string]*cursor{}
	var others []string
	section := io.NewSectionReader(f.r, 0, f.size)
	archive := tar.NewReader(section)
	for n := 1; ; n++ {
		h, err := archive.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("tar: %w", err)
		}
		if n > maxMembers {
			return fmt.Errorf("tar: more than %d members; torch wrote four", maxMembers)
		}
		at, err := section.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		switch {
		case h.Typeflag != tar.TypeReg || h.Name != "storages" && h.Name != "tensors" && h.Name != "pickle":
			if h.Name != "sys_info" && h.Typeflag != tar.TypeDir {
				f.find("other-member", "", fmt.Sprintf("tar member %q is not one of torch's; it is not read", h.Name))
				if len(others) < 5 {
					others = append(others, strconv.Quote(h.Name))
				}
			}
		case members[h.Name] != nil:
			return fmt.Errorf("tar: member %q is there twice", h.Name)
		case h.Size < 0 || h.Size > f.size-at:
			return fmt.Errorf("tar: member %q at offset %d: %d bytes reach past the end at %d", h.Name, at, h.Size, f.size)
		default:
			members[h.Name] = &cursor{f: f, at: at, end: at + h.Size, what: h.Name + ": "}
		}
	}
	for _, name := range []string{"storages", "tensors", "pickle"} {
		if members[name] == nil {
			if len(others) == 0 {
				return fmt.Errorf("a tar without the member %q: not one torch wrote", name)
			}
			return fmt.Errorf("a tar that torch did not write, with %s in it (a .nemo file is one, too); unpack it (tar -xf) and name the weights inside", strings.Join(others, ", "))
		}
	}
	storages, err := members["storages"].tarStorages()
	if err != nil {
		return err
	}
	tensors, err := members["tensors"].tarTensors(storages)
	if err != nil {
		return err
	}
	c := members["pickle"]
	result, err := c.pickle("object", func(id any) (any, error) {
		if t, ok := id.(*pickle.Tuple); ok && t.Len() > 0 { // a class with its source
			return t.Get(0), nil
		}
		key, err := tarKey(id)
		if err != nil {
			return nil, err
		}
		if v := tensors[key]; v != nil {
			return v, nil
		}
		if st := storages[key]; st != nil {
			return st, nil
		}
		return nil, fmt.Errorf("it refers to %q, which is neither a tensor nor a storage of the file", key)
	})
	if err != nil {
		return err
	}
	return f.list(rooted{nil, result})
}

// tarKey reads a reference: an int, or its decimal text.
func tarKey(v any) (string, error) {
	switch v := v.(type) {
	case int:
		return strconv.Itoa(v), nil
	case string:
		if digits(v) {
			return v, nil
		}
	}
	return "", fmt.Errorf("a reference that is a %s", globals.KindOf(v))
}

// count reads how many things follow; each takes bytes, so there cannot be more
// than bytes left.
func (c *cursor) count(what string) (int64, error) {
	result, err := c.pickle(what, nil)
	if err != nil {
		return 0, err
	}
	n, err := globals.Integer(result.Value)
	if err != nil || n < 0 || n > c.end-c.at {
		return 0, c.errorf("%s: not a count", what)
	}
	return n, nil
}

// tarStorages reads (key, device, class), the element count and the elements of
// each storage, then the views of them: (key, root key, offset, numel).
func (c *cursor) tarStorages() (map[string]*strided.Storage, error) {
	n, err := c.count("number of storages")
	if err != nil {
		return nil, err
	}
	all := map[string]*strided.Storage{}
	for range n {
		result, err := c.pickle("storage", nil)
		if err != nil {
			return nil, err
		}
		t, ok := result.Value.(*pickle.Tuple)
		if !ok || t.Len() != 3 {
			return nil, c.errorf("a storage that is a %s", globals.KindOf(result.Value))
		}
		key, err := tarKey(t.Get(0))
		if err != nil {
			return nil, c.errorf("storage: %w", err)
		}
		numel, err := c.number("storage " + key)
		if err != nil {
			return nil, err
		}
		st, err := globals.StorageOf(t.Get(2), key, int(numel))
		if err != nil {
			return nil, c.errorf("%w", err)
		}
		if err := c.elements(key, numel, st.DType); err != nil {
			return nil, err
		}
		st.Record = key
		all[key] = st
	}
	result, err := c.pickle("storage views", nil)
	if err != nil {
		return nil, err
	}
	views, ok := result.Value.(*pickle.List)
	if !ok {
		return nil, c.errorf("storage views: a %s instead of a list", globals.KindOf(result.Value))
	}
	for _, v := range *views {
		t, ok := v.(*pickle.Tuple)
		if !ok || t.Len() != 4 {
			return nil, c.errorf("a storage view that is a %s", globals.KindOf(v))
		}
		key, err1 := tarKey(t.Get(0))
		root, err2 := tarKey(t.Get(1))
		first, err3 := globals.Integer(t.Get(2))
		numel, err4 := globals.Integer(t.Get(3))
		if err := errors.Join(err1, err2, err3, err4); err != nil {
			return nil, c.errorf("storage view: %w", err)
		}
		if all[root] == nil || all[key] != nil {
			return nil, c.errorf("storage view %q of %q: the first must be new and the second known", key, root)
		}
		if all[key], err = all[root].Part(first, numel); err == nil {
			err = c.f.spend(storageMemory + int64(len(key)))
		}
		if err != nil {
			return nil, c.errorf("%w", err)
		}
	}
	return all, nil
}

// tarTensors reads (key, storage key, class), and, little-endian, the rank in
// eight bytes, sizes, strides and offset of each tensor.
func (c *cursor) tarTensors(storages map[string]*strided.Storage) (map[string]*strided.View, error) {
	n, err := c.count("number of tensors")
	if err != nil {
		return nil, err
	}
	all := map[string]*strided.View{}
	for range n {
		result, err := c.pickle("tensor", nil)
		if err != nil {
			return nil, err
		}
		t, ok := result.Value.(*pickle.Tuple)
		if !ok || t.Len() != 3 {
			return nil, c.errorf("a tensor that is a %s", globals.KindOf(result.Value))
		}
		key, err1 := tarKey(t.Get(0))
		at, err2 := tarKey(t.Get(1))
		if err := errors.Join(err1, err2); err != nil {
			return nil, c.errorf("tensor: %w", err)
		}
		st := storages[at]
		if st == nil {
			return nil, c.errorf("tensor %q: there is no storage %q", key, at)
		}
		v := &strided.View{Storage: st, DType: st.DType}
		if v.DType == tensor.Invalid {
			v.DType = tensor.U8
		}
		if err := c.tarShape(v); err != nil {
			return nil, err
		}
		if err := v.Check(); err != nil {
			return nil, c.errorf("tensor %q: %w", key, err)
		}
		if err := c.f.spend(storageMemory + int64(len(key)) + 16*int64(len(v.Shape))); err != nil {
			return nil, c.errorf("tensor %q: %w", key, err)
		}
		all[key] = v
	}
	return all, nil
}

func (c *cursor) tarShape(v *strided.View) error {
	rank, err := c.number("rank")
	if err != nil {
		return err
	}
	rank = int64(int32(uint32(rank))) // the upper half was never set
	if rank < 0 || rank > tensor.MaxRank {
		return c.errorf("rank %d exceeds %d", rank, tensor.MaxRank)
	}
	b := make([]byte, 8*(2*rank+1))
	if int64(len(b)) > c.end-c.at {
		return c.errorf("%d bytes are left of the %d that a shape of rank %d takes", c.end-c.at, len(b), rank)
	}
	if err := tensor.ReadFull(c.f.r, b, c.at); err != nil {
		return c.errorf("shape: %w", err)
	}
	c.at += int64(len(b))
	next := func() int64 {
		n := int64(binary.LittleEndian.Uint64(b))
		b = b[8:]
		return n
	}
	v.Shape, v.Stride = make(tensor.Shape, rank), make([]int64, rank)
	for i := range v.Shape {
		v.Shape[i] = next()
	}
	for i := range v.Stride {
		v.Stride[i] = next()
	}
	v.Offset = next()
	return nil
}
