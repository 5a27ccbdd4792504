package registry_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
)

// The size the registry is built for: 1,003,520 tensors in 160 models.
const (
	benchModels  = 160
	benchLayers  = 64
	benchExperts = 16
)

// benchTensors is one model: per layer 16 experts × 3 projections × (weight,
// scale) and two more. One in 64 shares its content with another model's.
func benchTensors(model int) []tensor.Info {
	list := make([]tensor.Info, 0, benchLayers*(benchExperts*6+2))
	offset := int64(0)
	add := func(path string, d tensor.DType, bytes int64, shape ...int64) {
		k := uint64(model)<<32 + uint64(len(list))
		if len(list)%64 == 0 {
			k = uint64(model%16)<<32 + uint64(len(list))
		}
		h := hashOf(k)
		list = append(list, tensor.Info{
			Path: path, DType: d, Shape: shape, File: fmt.Sprintf("model-%05d-of-00061.safetensors", 1+offset/(5<<30)), Offset: offset % (5 << 30), Bytes: bytes,
			Format: "safetensors", Hash: h, Sum: tensor.Sum(h[:16]),
			Stats: &tensor.Stats{Min: -float64(float32(h[3]) / 977), Max: float64(float32(h[4]) / 971), AbsMax: float64(float32(h[4]) / 971), Zeros: int64(h[5])},
		})
		offset += bytes
	}
	for l := range benchLayers {
		at := fmt.Sprintf("model.layers.%d.", l)
		for e := range benchExperts {
			for _, p := range []string{"up_proj", "gate_proj", "down_proj"} {
				add(fmt.Sprintf("%smlp.experts.%d.%s.weight", at, e, p), tensor.BF16, 2*4096*1536, 1536, 4096)
				add(fmt.Sprintf("%smlp.experts.%d.%s.scale", at, e, p), tensor.F32, 4*1536, 1536)
			}
		}
		add(at+"input_layernorm.weight", tensor.BF16, 2*4096, 4096)
		add(at+"post_attention_layernorm.weight", tensor.BF16, 2*4096, 4096)
	}
	return list
}

// million makes the registry once; WREG_BENCH_DB keeps it between runs.
func million(b *testing.B) *registry.Registry {
	b.Helper()
	path := os.Getenv("WREG_BENCH_DB")
	if path == "" {
		path = filepath.Join(b.TempDir(), "million.db")
	}
	if _, err := os.Stat(path); err != nil {
		w, err := registry.Open(path, registry.Options{})
		if err != nil {
			b.Fatal(err)
		}
		for m := range benchModels {
			if _, err := w.Put(context.Background(), registry.Revision{Model: fmt.Sprintf("model-%03d", m), Hashed: true, Config: []byte(`{"model_type": "hunyuan"}`)}, benchTensors(m)); err != nil {
				b.Fatal(err)
			}
		}
		if err := w.Close(); err != nil {
			b.Fatal(err)
		}
	}
	r, err := registry.Open(path, registry.Options{ReadOnly: true})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { r.Close() })
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/1e6, "MB")
	return r
}

func viewing(b *testing.B, fn func(s *registry.Snapshot) error) {
	r := million(b)
	b.ResetTimer()
	for b.Loop() {
		if err := r.View(fn); err != nil {
			b.Fatal(err)
		}
	}
	info, _ := os.Stat(r.Path())
	b.ReportMetric(float64(info.Size())/1e6, "MB")
}

func BenchmarkModels(b *testing.B) {
	viewing(b, func(s *registry.Snapshot) error {
		_, err := s.Models()
		return err
	})
}

func BenchmarkBlockHeaders(b *testing.B) {
	viewing(b, func(s *registry.Snapshot) error {
		models, err := s.Models()
		if err != nil {
			return err
		}
		rows := 0
		for _, v := range models {
			for block, err := range s.Blocks(b.Context(), v) {
				if err != nil {
					return err
				}
				rows += block.Len()
			}
		}
		if rows != 1003520 {
			return fmt.Errorf("%d rows", rows)
		}
		return nil
	})
}

// BenchmarkSum is sum(bytes) where dtype = bf16 and expert = 3, by the columns.
func BenchmarkSum(b *testing.B) {
	viewing(b, func(s *registry.Snapshot) error {
		models, err := s.Models()
		if err != nil {
			return err
		}
		sum := int64(0)
		for _, v := range models {
			for block, err := range s.Blocks(b.Context(), v) {
				if err != nil {
					return err
				}
				if d, ok := block.DTypes().Const(); !ok || tensor.DType(d) != tensor.BF16 {
					continue
				}
				axes, ok := block.Grid()
				if size, same := block.Bytes().Const(); ok && same && len(axes) == 2 {
					sum += size * axes[0].Count
				}
			}
		}
		if sum != 3*benchModels*benchLayers*2*4096*1536 {
			return fmt.Errorf("sum %d", sum)
		}
		return nil
	})
}

func BenchmarkTensors(b *testing.B) {
	viewing(b, func(s *registry.Snapshot) error {
		v, err := s.Find("model-007")
		if err != nil {
			return err
		}
		for _, err := range s.Tensors(b.Context(), v) {
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func BenchmarkLookup(b *testing.B) {
	viewing(b, func(s *registry.Snapshot) error {
		v, err := s.Find("model-007")
		if err != nil {
			return err
		}
		for l := range benchLayers {
			if _, ok, err := s.Lookup(v, fmt.Sprintf("model.layers.%d.mlp.experts.3.up_proj.weight", l)); !ok || err != nil {
				return fmt.Errorf("layer %d: %v, %v", l, ok, err)
			}
		}
		return nil
	})
}

func BenchmarkByHash(b *testing.B) {
	h := benchTensors(3)[64].Hash
	viewing(b, func(s *registry.Snapshot) error {
		found, err := s.ByHash(h)
		if len(found) != benchModels/16 {
			return fmt.Errorf("%d places", len(found))
		}
		return err
	})
}

func BenchmarkDuplicates(b *testing.B) {
	viewing(b, func(s *registry.Snapshot) error {
		models, err := s.Models()
		if err != nil {
			return err
		}
		groups := 0
		for rows, err := range s.Duplicates(models) {
			if err != nil {
				return err
			}
			groups++
			if rows[0].Path() == "" {
				return fmt.Errorf("no path")
			}
		}
		if groups != 16*98 {
			return fmt.Errorf("%d groups", groups)
		}
		return nil
	})
}

// BenchmarkOpen is what a process pays before its first row: open, all records, all
// block headers.
func BenchmarkOpen(b *testing.B) {
	path := million(b).Path()
	b.ResetTimer()
	for b.Loop() {
		r, err := registry.Open(path, registry.Options{ReadOnly: true})
		if err != nil {
			b.Fatal(err)
		}
		err = r.View(func(s *registry.Snapshot) error {
			models, err := s.Models()
			if err != nil {
				return err
			}
			for _, v := range models {
				for _, err := range s.Blocks(b.Context(), v) {
					if err != nil {
						return err
					}
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		if err := r.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
