package query

import (
	"context"
	"fmt"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/registry"
	"wreg/registry/tensor"
)

// TestInterrupted: a query ends with its context, whether it goes through blocks, rows
// or what is missing.
func TestInterrupted(t *testing.T) {
	models := map[string][]tensor.Info{}
	const templates, rows = 40, 100
	for m := range 2 {
		name := string(rune('a' + m))
		for i := range templates {
			for row := range rows {
				info := tensor.Info{Path: fmt.Sprintf("layers.%d.%c%c.weight", row, 'a'+i%26, 'a'+i/26), DType: tensor.U8, Shape: tensor.Shape{1}, Bytes: 1}
				info.Hash[0], info.Hash[1] = byte(1+i), byte(row)
				models[name] = append(models[name], info)
			}
		}
	}
	r := store(t, models)
	for _, c := range []struct {
		query string
		looks int64
	}{
		{"find ** in *", 2 * templates},
		{"find ** in * select layer, sum(bytes) group by layer", 2 * templates},
		{"find ** in * where bytes > 0 order by path desc", 2 * templates},
		{"find ** in * select hash, count() group by hash having count() > 1", 2 * templates},
		{"find ** in * where path ~ /a.*z/", 2 * templates * rows}, // of one block, too
		{"find ** in * where not path ~ /z/ select path, count() group by path having not min(path) ~ /z/", 3 * templates * rows},
		{"gaps in a against b", 2 * templates},
		{"gaps in a against b where path ~ /z/ or true", 2 * templates},
		{"missing ** in a against b", 2 * templates},
	} {
		q, err := Parse(c.query)
		if err != nil {
			t.Error(err)
			continue
		}
		t.Run(c.query, func(t *testing.T) {
			ingesttest.Interrupted(t, c.looks, func(ctx context.Context) error {
				return r.View(func(s *registry.Snapshot) error {
					_, err := q.Run(ctx, s, Options{})
					return err
				})
			})
		})
	}
}
