package query

import (
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
)

func TestExplain(t *testing.T) {
	config, hf, _ := golden(t, "hunyuan")
	r := models(t, config, map[string][]tensor.Info{"hunyuan": hf})
	for _, c := range []struct{ query, want string }{
		{"find experts.*.up_proj.weight where layer < 2 and bytes > 1KiB group by layer having count() != 4", `verb    find
pattern experts.*.up_proj.weight
where   (layer < 2)
where   (bytes > 1024)
group   layer
select  layer
select  count()
having  (count() != 4)
model   hunyuan@1: 94 tensors
  block model.layers.{layer}.mlp.experts.{expert}.up_proj.weight: 16 rows: matched 16, selected 8, columns only
`},
		{"missing switch_mlp.* order by path desc limit 3", `verb    missing
pattern switch_mlp.*
against spec
order   path desc
limit   3
model   hunyuan@1: 94 tensors
  expects spec hunyuan in layout mlx: 12 gaps before where
  note hunyuan@1 is in layout hf, where nothing matches switch_mlp.*; compared with layout mlx
`},
	} {
		q, err := Parse(c.query)
		if err != nil {
			t.Fatal(err)
		}
		err = r.View(func(s *registry.Snapshot) error {
			text, err := q.Explain(t.Context(), s, Options{})
			_, text, _ = strings.Cut(text, "\n")
			expect(t, c.query, text, c.want)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}
