package query

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
)

// The registry of the benchmarks: 160 models x 64 layers x (16 experts x 3
// projections x 2 + 2) = 1,003,520 tensors, one in a hundred a duplicate.
// WREG_BENCH_REGISTRY names a file to keep it in, for bench/queries.py.
func million(b *testing.B, models int) *registry.Registry {
	b.Helper()
	file := os.Getenv("WREG_BENCH_REGISTRY")
	if file == "" {
		file = filepath.Join(b.TempDir(), "registry.db")
	}
	if _, err := os.Stat(file); err != nil {
		putMillion(b, file, models)
	}
	r, err := registry.Open(file, registry.Options{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	return r
}

// putMillion writes the registry and gives it its name when it is whole.
func putMillion(b *testing.B, file string, models int) {
	b.Helper()
	temp := file + ".new"
	r, err := registry.Open(temp, registry.Options{})
	if err != nil {
		b.Fatal(err)
	}
	n := uint64(0)
	hash := func() tensor.Hash {
		var seed [8]byte
		if n++; n%100 == 0 {
			binary.LittleEndian.PutUint64(seed[:], n/200)
		} else {
			binary.LittleEndian.PutUint64(seed[:], n<<8)
		}
		return sha256.Sum256(seed[:])
	}
	for m := range models {
		var list []tensor.Info
		offset := int64(0)
		add := func(path string, d tensor.DType, shape ...int64) {
			size, _ := tensor.Shape(shape).Bytes(d)
			list = append(list, tensor.Info{Path: path, DType: d, Shape: shape, File: "model.safetensors", Offset: offset, Bytes: size, Format: "safetensors", Hash: hash()})
			offset += size
		}
		for layer := range 64 {
			for expert := range 16 {
				for _, p := range []string{"gate", "up", "down"} {
					at := fmt.Sprintf("model.layers.%d.mlp.experts.%d.%s_proj.", layer, expert, p)
					add(at+"weight", tensor.BF16, 96, 64)
					add(at+"bias", tensor.F32, 96)
				}
			}
			add(fmt.Sprintf("model.layers.%d.input_layernorm.weight", layer), tensor.F32, 64)
			add(fmt.Sprintf("model.layers.%d.self_attn.q_proj.weight", layer), tensor.BF16, 64, 64)
		}
		if _, err := r.Put(context.Background(), registry.Revision{Model: fmt.Sprintf("m%03d", m), Hashed: true}, list); err != nil {
			b.Fatal(err)
		}
	}
	if err := errors.Join(r.Close(), os.Rename(temp, file)); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkMillion(b *testing.B) {
	r := million(b, 160)
	for _, c := range []struct{ name, query string }{
		{"count", "find **.experts.*.up_proj.weight in * where layer < 8 select count()"},
		{"having", "find experts.*.up_proj.weight in m007 group by layer select layer, count() having count() != 15"},
		{"duplicates", "find * in * group by hash select hash, count() having count() > 1"},
		{"duplicates-path", "find * in * group by hash select hash, count(), min(path) having count() > 1"},
		{"sum", "find * in * group by dtype, expert select dtype, expert, sum(bytes)"},
	} {
		b.Run(c.name, func(b *testing.B) {
			q, err := Parse(c.query)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				err := r.View(func(s *registry.Snapshot) error {
					res, err := q.Run(context.Background(), s, Options{})
					if err == nil && len(res.Rows) == 0 {
						b.Fatal("no rows")
					}
					return err
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
