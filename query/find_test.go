package query

import (
	"context"
	"encoding/json"
	"path/filepath"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
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

func TestTmp(t *testing.T) {
	c, err := synth.Golden("../registry/arch/testdata/goldens/hunyuan.json")
	if err != nil {
		t.Fatal(err)
	}
	r := store(t, map[string][]tensor.Info{"hunyuan": c.Source})
	for _, text := range []string{"find *.bias", "find experts.*.up_proj.weight where layer < 2", "find * where nans > 0", "find experts.*.up_proj.weight group by layer select layer, count() having count() != 16",
		"find * group by hash select hash, count(), min(path) having count() > 1", "find * where layer % 2 = 1 order by bytes desc limit 10", "find * select count(), sum(bytes), avg(bytes), min(shape)", "find * group by dtype, expert select dtype, expert, sum(bytes)",
		"find * where shape[0] = 96 and rank in (2,3) group by template", "find embed_tokens.* select *", "find * where layr = 3", "find {q,k}_proj.* where layer = 3 or layer = 1"} {
		q, err := Parse(text)
		if err != nil {
			t.Logf("%s\n%v", text, err)
			continue
		}
		r.View(func(s *registry.Snapshot) error {
			res, err := q.Run(context.Background(), s, Options{})
			if err != nil {
				t.Logf("%s\n%v", text, err)
				return nil
			}
			b, err := json.Marshal(res)
			t.Logf("%s %v", b[:min(len(b), 900)], err)
			return nil
		})
	}
}
