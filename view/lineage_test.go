package view

import (
	"path/filepath"
	"testing"
	"time"

	"wreg/registry"
	"wreg/registry/tensor"
)

// Lineage is what was recorded, and otherwise the older revision that holds most of the content; the order in
// which names sort says nothing of it.
func TestLineage(t *testing.T) {
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	list := func(hashes ...byte) (all []tensor.Info) {
		for i, h := range hashes {
			x := tensor.Info{Path: "w" + string(rune('a'+i)), DType: tensor.U8, Shape: tensor.Shape{100}, Bytes: 100, Offset: int64(100 * i)}
			if h > 0 {
				x.Hash = tensor.Hash{h, 31: h}
			}
			all = append(all, x)
		}
		return all
	}
	for i, v := range []struct {
		registry.Revision
		list []tensor.Info
	}{
		{registry.Revision{Model: "z-base"}, list(1, 2, 3, 4)},
		{registry.Revision{Model: "y-other"}, list(1, 20, 30, 40)},
		{registry.Revision{Model: "a-tuned"}, list(1, 2, 3, 44)},
		{registry.Revision{Model: "a-tuned"}, list(1, 2, 3, 44)},
		{registry.Revision{Model: "b-twice"}, list(2, 2, 50, 60)}, // the same content twice
		{registry.Revision{Model: "c-alone"}, list(70, 71)},
		{registry.Revision{Model: "d-unhashed"}, list(0, 0)},
		{registry.Revision{Model: "e-mlx", Source: "z-base@1"}, list(1, 2, 3, 4)},
		{registry.Revision{Model: "f-mlx", Source: "gone@3"}, list(1, 2, 3, 4)},
		{registry.Revision{Model: "g-adapter", Adapter: []byte(`{"peft_type":"LORA","base_model_name_or_path":"org/base"}`)}, list(80)},
	} {
		v.Root, v.Created = "/m", time.Unix(int64(1000+i), 0)
		if _, err := r.Put(t.Context(), v.Revision, v.list); err != nil {
			t.Fatal(err)
		}
	}
	want := map[string]Kin{
		"z-base@1":     {},
		"y-other@1":    {From: "z-base@1", How: Shares, Share: .25},
		"a-tuned@1":    {From: "z-base@1", How: Shares, Share: .75},
		"a-tuned@2":    {From: "a-tuned@1", How: Shares, Share: 1},
		"b-twice@1":    {From: "z-base@1", How: Shares, Share: .5},
		"c-alone@1":    {},
		"d-unhashed@1": {},
		"e-mlx@1":      {From: "z-base@1", How: Exported, Share: 1},
		"f-mlx@1":      {From: "gone@3", How: Exported, Gone: true},
		"g-adapter@1":  {From: "org/base", How: Adapts, Gone: true},
	}
	err = r.View(func(s *registry.Snapshot) error {
		got, err := Lineage(t.Context(), s)
		if err != nil {
			return err
		}
		if len(got) != len(want) {
			t.Errorf("%d revisions, want %d", len(got), len(want))
		}
		for i, k := range got {
			if i > 0 && k.Created.Before(got[i-1].Created) {
				t.Errorf("%s is not older than the next", got[i-1].Ref)
			}
			w := want[k.Ref]
			w.Ref, w.Created = k.Ref, k.Created
			if k != w {
				t.Errorf("%+v, want %+v", k, w)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
