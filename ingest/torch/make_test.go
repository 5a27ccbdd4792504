package torch

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"testing"
)

// pickler writes the opcodes of a pickle of protocol 2, as torch.save does.
type pickler struct{ bytes.Buffer }

func newPickler() *pickler {
	p := &pickler{}
	p.WriteString("\x80\x02")
	return p
}

func (p *pickler) op(codes string) *pickler { p.WriteString(codes); return p }

func (p *pickler) str(s string) *pickler {
	p.WriteByte('X')
	p.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
	p.WriteString(s)
	return p
}

func (p *pickler) int(n int64) *pickler {
	p.WriteString("\x8a\x08")
	p.Write(binary.LittleEndian.AppendUint64(nil, uint64(n)))
	return p
}

func (p *pickler) ints(n ...int64) *pickler {
	p.WriteByte('(')
	for _, n := range n {
		p.int(n)
	}
	p.WriteByte('t')
	return p
}

func (p *pickler) global(module, name string) *pickler {
	fmt.Fprintf(p, "c%s\n%s\n", module, name)
	return p
}

// storage is the persistent id of a storage of numel elements.
func (p *pickler) storage(class, key string, numel int64) *pickler {
	p.op("(").str("storage").global("torch", class).str(key).str("cpu").int(numel)
	return p.op("tQ")
}

// tensor is a float32 tensor on a storage of its own.
func (p *pickler) tensor(key string, shape ...int64) *pickler {
	n := int64(1)
	stride := make([]int64, len(shape))
	for i := len(shape) - 1; i >= 0; i-- {
		stride[i] = n
		n *= shape[i]
	}
	return p.view("FloatStorage", key, n, 0, shape, stride)
}

func (p *pickler) view(class, key string, numel, offset int64, shape, stride []int64) *pickler {
	p.global("torch._utils", "_rebuild_tensor_v2").op("(").storage(class, key, numel).int(offset).ints(shape...).ints(stride...)
	return p.op("\x89").global("collections", "OrderedDict").op(")RtR")
}

func (p *pickler) stop() []byte {
	p.WriteByte('.')
	return p.Bytes()
}

// archive is a zip of records, given as name, bytes, name, bytes, ….
func archive(t testing.TB, method uint16, records ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(records); i += 2 {
		w, err := z.CreateHeader(&zip.FileHeader{Name: records[i], Method: method})
		if err == nil {
			_, err = io.WriteString(w, records[i+1])
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// checkpoint is a zip checkpoint of a pickle and storages 0, 1, ….
func checkpoint(t testing.TB, pkl []byte, storages ...string) []byte {
	t.Helper()
	records := []string{"x/data.pkl", string(pkl)}
	for i, s := range storages {
		records = append(records, fmt.Sprintf("x/data/%d", i), s)
	}
	return archive(t, zip.Store, records...)
}

func open(t testing.TB, data []byte) (*File, error) {
	t.Helper()
	return Open(bytes.NewReader(data), int64(len(data)), "x.pt")
}

// many is a state dict of n small tensors, each with its storage.
func many(t testing.TB, n int) []byte {
	p := newPickler().op("}(")
	records := []string{"x/data.pkl", ""}
	for i := range n {
		p.str(fmt.Sprintf("model.layers.%d.mlp.experts.%d.up_proj.weight", i/256, i%256)).tensor(fmt.Sprint(i), 2, 2)
		records = append(records, fmt.Sprintf("x/data/%d", i), "0123456789abcdef")
	}
	records[1] = string(p.op("u").stop())
	return archive(t, zip.Store, records...)
}
