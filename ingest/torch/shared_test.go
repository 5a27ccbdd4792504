package torch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
)

// drain reads tensor i from front to back, in pieces.
func drain(t testing.TB, f *File, i int) {
	t.Helper()
	r, err := f.Bytes(i)
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 768<<10)
	for at := int64(0); at < f.Tensors()[i].Bytes; at += int64(len(p)) {
		if _, err := r.ReadAt(p, at); err != nil && err != io.EOF {
			t.Fatal(err)
		}
	}
	if err := f.Prove(context.Background(), i); err != nil {
		t.Fatal(err)
	}
}

// TestInflatedOnce: a deflated storage is inflated once, whatever tensors look at it.
func TestInflatedOnce(t *testing.T) {
	const n = 1200
	views := []ingesttest.View{{Path: "turned", Numel: n * n, Shape: []int64{n, n}, Stride: []int64{1, n}}}
	for i := range int64(100) {
		views = append(views, ingesttest.View{Path: fmt.Sprint("w", i), Numel: n * n, Offset: (100 - i) * n * 10, Shape: []int64{n}, Stride: []int64{1}})
	}
	data := ingesttest.Torch(views, ingesttest.Record{Data: ingesttest.Floats(n * n), Deflate: true})
	file := &ingesttest.Counted{R: bytes.NewReader(data)}
	f, err := Open(t.Context(), file, int64(len(data)), "t.pt")
	if err != nil {
		t.Fatal(err)
	}
	for i := range f.Tensors() {
		drain(t, f, i)
	}
	if read := file.N.Load(); read > int64(len(data))+1<<20 {
		t.Errorf("%d bytes were read of a file of %d", read, len(data))
	}
	if f.Budget().Held != 4*n*n {
		t.Errorf("%d bytes are held", f.Budget().Held)
	}
}

// TestHeldTooMuch: what would take too much memory to keep inflated is refused before
// anything is inflated, and read as it lies.
func TestHeldTooMuch(t *testing.T) {
	const n = 9000 // 324 MB
	record := ingesttest.Record{Data: make([]byte, 400_000), Claim: 4 * n * n}
	turned := ingesttest.View{Path: "w", Numel: n * n, Shape: []int64{n, n}, Stride: []int64{1, n}}
	plain := turned
	plain.Stride = []int64{n, 1}
	for stride, v := range map[string]ingesttest.View{"turned": turned, "plain": plain} {
		data := ingesttest.Torch([]ingesttest.View{v}, record)
		_, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), "t.pt")
		if (err == nil) != (stride == "plain") {
			t.Errorf("%s: %v", stride, err)
		}
		for _, part := range []string{`t.pt: tensor "w": record "m/data/0"`, "324000000", "zip -0"} {
			if err != nil && !strings.Contains(err.Error(), part) {
				t.Errorf("%v does not say %q", err, part)
			}
		}
	}
}

// TestManyViews bounds what all tensors of a file show of its storages, and knows those
// that show the same.
func TestManyViews(t *testing.T) {
	const numel = 1 << 16
	whole := func(int64) ingesttest.View { return ingesttest.View{Shape: []int64{numel}, Stride: []int64{1}} }
	for _, c := range []struct {
		name  string
		n     int64
		view  func(i int64) ingesttest.View
		twins int
		want  string
	}{
		{"tied", 6000, whole, 5999, ""},
		{"tied, and other strides of one row", 6000, func(i int64) ingesttest.View {
			return ingesttest.View{Shape: []int64{1, numel}, Stride: []int64{i, 1}}
		}, 5999, ""},
		{"two shapes", 6000, func(i int64) ingesttest.View {
			return ingesttest.View{Shape: []int64{1 << (i % 2), numel >> (i % 2)}, Stride: []int64{numel >> (i % 2), 1}}
		}, 5998, ""},
		{"parts", 6000, func(i int64) ingesttest.View {
			return ingesttest.View{Offset: i * 10, Shape: []int64{10}, Stride: []int64{1}}
		}, 0, ""},
		{"expanded alike", 6000, func(int64) ingesttest.View {
			return ingesttest.View{Shape: []int64{100, numel}, Stride: []int64{0, 1}}
		}, 5999, ""},
		{"overlapping", 6000, func(i int64) ingesttest.View {
			return ingesttest.View{Offset: i, Shape: []int64{numel - i}, Stride: []int64{1}}
		}, 0, "w4"},
		{"expanded", 6000, func(i int64) ingesttest.View {
			return ingesttest.View{Offset: i, Shape: []int64{100, numel - i}, Stride: []int64{0, 1}}
		}, 0, "w41"},
		{"turned with other strides", 6000, func(i int64) ingesttest.View {
			return ingesttest.View{Shape: []int64{numel / 64, 16}, Stride: []int64{1, i % 1000}}
		}, 5000, ""},
	} {
		var views []ingesttest.View
		for i := range c.n {
			v := c.view(i)
			v.Path, v.Numel = fmt.Sprint("w", i), numel
			views = append(views, v)
		}
		data := ingesttest.Torch(views, ingesttest.Record{Data: make([]byte, 4*numel)})
		f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), "t.pt")
		if err != nil {
			if c.want == "" || !strings.Contains(err.Error(), `t.pt: tensor "`+c.want) || !strings.Contains(err.Error(), "1075838976") {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		if c.want != "" {
			t.Errorf("%s: was read", c.name)
		}
		twins := 0
		for i := range views {
			if f.Twin(i) != i {
				twins++
			}
		}
		if twins != c.twins {
			t.Errorf("%s: %d twins, want %d", c.name, twins, c.twins)
		}
	}
}

// TestHeldOnce: a deflated record is kept once, however many tensors show parts of it.
func TestHeldOnce(t *testing.T) {
	var views []ingesttest.View
	for i := range int64(4) {
		views = append(views, ingesttest.View{Path: fmt.Sprint("w", i), Numel: 8, Offset: 2 * i, Shape: []int64{2}, Stride: []int64{1}})
	}
	data := ingesttest.Torch(views, ingesttest.Record{Data: ingesttest.Floats(8), Deflate: true})
	f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), "m.pt")
	if err != nil || f.Budget().Held != 32 {
		t.Error(f.Budget().Held, err)
	}
}

// TestDamagedChunk: a chunk may be a part of its record, whose damage lies elsewhere.
func TestDamagedChunk(t *testing.T) {
	sound := ingesttest.Floats(8)
	for _, flip := range []int{-1, 0, 31} {
		record := ingesttest.Record{Data: bytes.Clone(sound), CRC: sound}
		if flip >= 0 {
			record.Data[flip] ^= 1
		}
		data := ingesttest.Torch([]ingesttest.View{{Path: "w", Numel: 8, Offset: 2, Shape: []int64{4}, Stride: []int64{1}}}, record)
		f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), "chunk")
		if err != nil {
			t.Fatal(err)
		}
		d := &Distributed{readers: []*assembled{{chunks: []chunk{{origin: []int64{0}, file: f}}}}}
		if err := d.Prove(t.Context(), 0); (err != nil) != (flip >= 0) || err != nil && !strings.Contains(err.Error(), "damaged") {
			t.Errorf("byte %d: %v", flip, err)
		}
	}
}
