package export_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export"
	"wreg/ingest"
	"wreg/ingest/ingesttest"
	"wreg/registry"
	"wreg/registry/tensor"
)

// TestDamagedArchive exports a checkpoint of torch's that was ingested without hashes
// and has a byte flipped since it was written, in a storage of each tensor's own and in
// one that all share: in what a tensor shows, and in what none does.
func TestDamagedArchive(t *testing.T) {
	dir, own, one, storages, all := inTorch(t)
	flipped := func(data []byte, i int) ingesttest.Record {
		b := bytes.Clone(data)
		b[i] ^= 0x40
		return ingesttest.Record{Data: b, CRC: data}
	}
	damagedOwn := append([]ingesttest.Record{}, storages...)
	damagedOwn[3] = flipped(storages[3].Data, 5)
	for _, x := range []struct {
		name  string
		data  []byte
		sound bool
	}{
		{"own storages", ingesttest.Torch(own, storages...), true},
		{"one storage", ingesttest.Torch(one, ingesttest.Record{Data: all}), true},
		{"own storages, flipped", ingesttest.Torch(own, damagedOwn...), false},
		{"one storage, first byte", ingesttest.Torch(one, flipped(all, 0)), false},
		{"one storage, last byte", ingesttest.Torch(one, flipped(all, len(all)-1)), false},
	} {
		must(t, os.WriteFile(filepath.Join(dir, "pytorch_model.bin"), x.data, 0o666))
		for what, o := range map[string]export.Options{"copied": {}, "quantized": {Quantize: &export.Quantize{Bits: 4, Group: 32}}, "cast": {DType: tensor.F16}} {
			o.NoSync, o.Out = true, filepath.Join(t.TempDir(), "out")
			var p *export.Plan
			var err error
			ingested(t, dir, false, func(s *registry.Snapshot, v *registry.Revision) {
				p, err = export.New(t.Context(), s, v, o)
				must(t, err)
			})
			_, err = p.Run(context.Background())
			_, there := os.Stat(o.Out)
			switch {
			case x.sound:
				must(t, err, there)
			case err == nil || there == nil:
				t.Errorf("%s, %s: was exported", x.name, what)
			case !strings.Contains(err.Error(), "file is damaged"):
				t.Errorf("%s, %s: %v", x.name, what, err)
			}
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// inTorch is a folder whose weights are yet to be written, as torch would: the tensors in
// storages of their own, or all in one.
func inTorch(t *testing.T) (dir string, own, one []ingesttest.View, storages []ingesttest.Record, all []byte) {
	t.Helper()
	dir = written(t, "llama")
	c, err := ingest.Open(t.Context(), dir, ingest.Options{})
	must(t, err)
	defer c.Close()
	for i, info := range c.Tensors() {
		r, err := c.Bytes(info.Path)
		must(t, err)
		data, err := io.ReadAll(io.NewSectionReader(r, 0, info.Bytes))
		must(t, err)
		v := ingesttest.View{Path: info.Path, Class: "BFloat16Storage", Shape: info.Shape, Stride: make([]int64, len(info.Shape))}
		next := int64(1)
		for k := len(info.Shape) - 1; k >= 0; k-- {
			v.Stride[k] = next
			next *= info.Shape[k]
		}
		v.Offset = int64(len(all)) / 2
		one = append(one, v)
		v.Storage, v.Offset, v.Numel = i, 0, next
		own = append(own, v)
		storages = append(storages, ingesttest.Record{Data: data})
		all = append(all, data...)
	}
	all = append(all, make([]byte, 64)...)
	for i := range one {
		one[i].Numel = int64(len(all)) / 2
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.safetensors*"))
	must(t, err)
	for _, file := range files {
		must(t, os.Remove(file))
	}
	return dir, own, one, storages, all
}
