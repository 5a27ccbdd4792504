package registry_test

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/registry"
	"wreg/registry/tensor"
)

// TestInterrupted: what goes through a registry's whole file ends with its context,
// and is complete when it is done again.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	r := open(t, filepath.Join(dir, "r.db"))
	for m := range 3 {
		var list []tensor.Info
		for i := range 600 {
			list = append(list, tensor.Info{Path: fmt.Sprintf("p_%c%c%c_w", 'a'+i%26, 'a'+i/26%26, 'a'+i/26/26), DType: tensor.U8, Shape: tensor.Shape{1}, Bytes: 1, Hash: hashOf(uint64(i))})
		}
		put(t, r, fmt.Sprint("m", m), list)
	}
	size, err := r.Backup(t.Context(), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, c := range []struct {
		name  string
		looks int64
		work  func(ctx context.Context) error
	}{
		{"backup", size / (32 << 10), func(ctx context.Context) error { _, err := r.Backup(ctx, io.Discard); return err }},
		{"check", size/4096/2 + 3*600, func(ctx context.Context) error { _, err := r.Check(ctx); return err }},
		{"merge", 3 * 600, func(ctx context.Context) error {
			n++
			into := open(t, filepath.Join(dir, fmt.Sprint(n, ".db")))
			_, err := into.Merge(ctx, r)
			return err
		}},
		{"tensors", 600, func(ctx context.Context) error {
			return r.View(func(s *registry.Snapshot) error {
				v, err := s.Find("m1")
				if err != nil {
					return err
				}
				for _, err := range s.Tensors(ctx, v) {
					if err != nil {
						return err
					}
				}
				return nil
			})
		}},
		{"compact", 2 * 3 * 600, func(ctx context.Context) error { _, _, err := r.Compact(ctx); return err }},
	} {
		t.Run(c.name, func(t *testing.T) { ingesttest.Interrupted(t, c.looks, c.work) })
	}
	if faults, err := r.Check(t.Context()); err != nil || len(faults) > 0 {
		t.Error(faults, err)
	}
	if err := r.View(func(s *registry.Snapshot) error {
		models, err := s.Models()
		if len(models) != 3 {
			t.Errorf("%d models", len(models))
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}
