package torch

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/torch/strided"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// TestKeptArguments gives each rebuild function that wraps a value two million
// empty dicts to hold, a few at a time: what it keeps counts as memory.
func TestKeptArguments(t *testing.T) {
	const tensorPickle = "ctorch._utils\n_rebuild_tensor_v2\n(K\x00QK\x00K\x04\x85K\x01\x85\x89}tR"
	dicts := "(" + strings.Repeat("}", 50_000) + "t"
	heavy := "cm\nC\n" + dicts + "R" // an inert object
	for name, call := range map[string]string{
		"parameter with state": "ctorch._utils\n_rebuild_parameter_with_state\n(" + tensorPickle + "\x88}" + dicts + "tR",
		"parameter":            "ctorch._utils\n_rebuild_parameter\n(" + heavy + "\x88}tR",
		"Parameter":            "ctorch.nn.parameter\nParameter\n(" + heavy + "tR",
		"subclass":             "ctorch._tensor\n_rebuild_from_type_v2\n(ctorch._utils\n_rebuild_tensor_v2\ncm\nT\n(K\x00QK\x00K\x04\x85K\x01\x85\x89}t" + dicts + "tR",
		"quantized":            "ctorch._utils\n_rebuild_qtensor\n(K\x00QK\x00K\x04\x85K\x01\x85(N" + dicts + "NNttR",
		"sparse":               "ctorch._utils\n_rebuild_sparse_tensor\n(X\x0a\x00\x00\x00sparse_coo(" + heavy + heavy + "NttR",
		"nested":               "ctorch._utils\n_rebuild_nested_tensor\n(" + heavy + "NNNtR",
	} {
		f := newFile(t.Context(), bytes.NewReader(nil), 2<<20, "t.pt")
		f.records["0"] = &zipfile.Record{Name: "0", Size: 16, Stored: 16}
		storage := func(any) (any, error) {
			return &strided.Storage{Key: "0", Record: "0", DType: tensor.F32, Bytes: 16, Numel: 4}, nil
		}
		data := "\x80\x02(" + strings.Repeat(call, 40) + "t."
		if _, err := f.load([]byte(data), storage); err == nil || !strings.Contains(err.Error(), "bytes of memory") {
			t.Errorf("%s: %.200v; want a refusal for want of memory", name, err)
		}
		f.memory = 48 << 20
		if _, err := f.load([]byte("\x80\x02"+call+"."), storage); err != nil {
			t.Errorf("%s: once: %v", name, err)
		}
	}
}

// behind is a file that is a hole but for its end.
type behind struct {
	hole int64
	data []byte
}

func (b behind) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if at := b.hole - off; at < int64(len(p)) {
		n, err := bytes.NewReader(b.data).ReadAt(p[max(at, 0):], max(-at, 0))
		return n + int(max(at, 0)), err
	}
	return len(p), nil
}

// TestBudgetOfHoles: what a pickle may take does not grow with a file that is one hole.
func TestBudgetOfHoles(t *testing.T) {
	const hole = 1 << 40
	pickle := []byte("\x80\x02]" + strings.Repeat("("+strings.Repeat("}", 1000)+"e", 2000) + ".")
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	z.SetOffset(hole)
	w, err := z.CreateHeader(&zip.FileHeader{Name: "m/data.pkl", Method: zip.Store})
	if err == nil {
		_, err = w.Write(pickle)
	}
	if err = errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	file := behind{hole, b.Bytes()}
	ingesttest.Bounded(t, b.Len(), func() {
		f := newFile(t.Context(), file, hole+int64(b.Len()), "hole.pt")
		if err := f.openZip(); err == nil || !strings.Contains(err.Error(), "bytes of memory") {
			t.Errorf("%v; want a refusal for want of memory", err)
		}
	})
	if memoryOf(1<<62) != maxMemory || memoryOf(1) > memoryFree+memoryTimes {
		t.Error(memoryOf(1<<62), memoryOf(1))
	}
}

// TestStarved: every way a checkpoint is written counts what it takes.
func TestStarved(t *testing.T) {
	for _, fx := range fixtures(t, "torch-zip", "torch-legacy", "torch-tar") {
		data, err := os.ReadFile(filepath.Join(fixturesDir, fx.File))
		if err != nil {
			t.Fatal(err)
		}
		f, err := Open(t.Context(), bytes.NewReader(data), int64(len(data)), "t.pt")
		if err != nil || len(f.Tensors()) == 0 {
			continue
		}
		took := f.limit - f.memory
		if _, err := openWithin(t.Context(), bytes.NewReader(data), int64(len(data)), "t.pt", took-1); err == nil || !strings.Contains(err.Error(), "memory") {
			t.Errorf("%s: with %d bytes of the %d it takes: %v", fx.File, took-1, took, err)
		}
		if least := int64(len(f.Tensors())*listed + len(f.records)*storageMemory); took < least {
			t.Errorf("%s: took %d, its lists alone %d", fx.File, took, least)
		}
	}
}

// TestManyMembers: a tar may be nothing but members that torch does not write.
func TestManyMembers(t *testing.T) {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := range maxMembers + 1 {
		if err := w.WriteHeader(&tar.Header{Name: fmt.Sprint("m", i), Format: tar.FormatUSTAR}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), bytes.NewReader(b.Bytes()), int64(b.Len()), "t.tar"); err == nil || !strings.Contains(err.Error(), "more than 1000 members") {
		t.Error(err)
	}
}

// TestCopies has what makes copies of its arguments make them again and again of the
// same: each counts.
func TestCopies(t *testing.T) {
	const n = 64 << 10
	long := "X\x00\x00\x01\x00" + strings.Repeat("a", n)
	wide := "B\x00\x00\x01\x00" + strings.Repeat("a\x00\x00\x00", n/4)
	dtype := "cnumpy\ndtype\n(X\x06\x00\x00\x00<U9999tRq\x01"
	array := "cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85C\x01bt" // and R, and what it is set to
	for name, c := range map[string]struct{ once, again string }{
		"encode":    {"c_codecs\nencode\nq\x00" + long + "q\x01X\x06\x00\x00\x00latin1q\x02\x86q\x030", "h\x00h\x03R"},
		"bytearray": {"c__builtin__\nbytearray\nq\x00" + long + "q\x01X\x06\x00\x00\x00latin1q\x02\x86q\x030", "h\x00h\x03R"},
		"scalar":    {"cnumpy.core.multiarray\nscalar\nq\x00" + dtype + wide + "q\x02\x86q\x030", "h\x00h\x03R"},
		"getattr":   {"c__builtin__\ngetattr\nq\x00(cm\nC\nX\x84\x03\x00\x00" + strings.Repeat("a", 900) + "tq\x010", "h\x00h\x01R"},
		"array of Python 2": {array + "q\x000(K\x01M\x00\x40\x85cnumpy\ndtype\nX\x02\x00\x00\x00f4\x85R\x89" + long + "tq\x010cnumpy.core.multiarray\n_reconstruct\nq\x020(cnumpy\nndarray\nK\x00\x85C\x01btq\x030",
			"h\x02h\x03Rh\x01b"},
	} {
		text := "\x80\x02(" + c.once + strings.Repeat(c.again, 100_000) + "t."
		t.Run(name, func(t *testing.T) {
			ingesttest.Bounded(t, len(text), func() {
				f := newFile(t.Context(), bytes.NewReader(nil), 1<<20, "t.pt")
				result, err := f.load([]byte(text), nil)
				if err == nil {
					err = f.list(rooted{nil, result})
				}
				if err == nil || !strings.Contains(err.Error(), "memory") {
					t.Errorf("%.200v; want a refusal for want of memory", err)
				}
			})
		})
	}
}
