package query

import (
	"context"
	"path/filepath"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
)

// store puts tensors into a fresh registry and gives it back.
func store(t testing.TB, models map[string][]tensor.Info) *registry.Registry {
	t.Helper()
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	for name, tensors := range models {
		if _, err := r.Put(context.Background(), registry.Revision{Model: name}, tensors); err != nil {
			t.Fatal(err)
		}
	}
	return r
}
