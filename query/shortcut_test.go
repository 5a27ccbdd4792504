package query

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

// The engine has shortcuts: blocks that look the same are grouped once, groups by
// hash come from the content index, a limit drops rows early. Each query here must
// give what the long way gives: the same query with a condition that is always
// true but must be computed row by row.
const rowByRow = `len(path) + offset < 999999999999`

func TestShortcutsGiveTheSame(t *testing.T) {
	family := map[string][]tensor.Info{}
	for m := range 4 {
		var list []tensor.Info
		for layer := range 40 {
			for expert := range 8 {
				i := tensor.Info{Path: fmt.Sprintf("layers.%d.experts.%d.w", layer, expert), DType: tensor.BF16, Shape: tensor.Shape{4, int64(4 + m/2)}, File: "f", Format: "safetensors",
					Offset: int64(layer*1000 + expert)}
				i.Bytes, _ = i.Shape.Bytes(i.DType)
				i.Hash[0], i.Hash[9], i.Hash[31] = 7, byte(layer*expert), byte(m/3) // alike in their first bytes
				if expert == 5 {
					i.Hash = tensor.Hash{}
				}
				list = append(list, i)
			}
			list = append(list, tensor.Info{Path: fmt.Sprintf("layers.%d.norm", layer), DType: tensor.F32, Shape: tensor.Shape{4}, Bytes: 16, File: "f", Offset: int64(layer), Hash: tensor.Hash{1, byte(layer)}})
		}
		family[fmt.Sprintf("m%d", m)] = list
	}
	r := store(t, family)
	for _, text := range []string{
		"find * in * %s select count(), sum(bytes)",
		"find * in * %s group by dtype, expert select dtype, expert, count(), sum(bytes), sum(numel)",
		"find experts.*.w in * %s group by layer select layer, count()",
		"find experts.{2..5}.w in * %s group by layer, expert",
		"find * in * %s group by model, dtype select model, dtype, count(), max(bytes)",
		"find * in * %s group by template, rank",
		"find experts.*.w in * where layer * 8 = bytes %s group by layer", // each model's own layer
		"find experts.*.w in * where layer * 8 <= bytes and expert < 2 %s group by layer, expert",
		"find * in * %s group by hash having count() > 1",
		"find * in * %s group by hash select hash, count(), min(path), max(path) having count() >= 2",
		"find * in * %s group by hash having count() != 1 order by count() desc, hash limit 7",
		"find *.norm in * %s group by hash having count() > 1",
		"find * in * %s group by hash",
		"find * in * %s group by hash having count() > 0",
		"find * in * %s order by layer desc, path, model limit 5 select layer, path, model",
		"find * in * %s order by bytes, offset desc, model limit 3 select bytes, offset, model",
	} {
		short, err := run(r, fmt.Sprintf(text, ""))
		if err != nil {
			t.Fatal(err)
		}
		word := "where "
		if strings.Contains(text, word) {
			word = "and "
		}
		long, err := run(r, fmt.Sprintf(text, word+rowByRow))
		if err != nil {
			t.Fatal(err)
		}
		if len(long.Rows) == 0 || fmt.Sprint(short.Rows) != fmt.Sprint(long.Rows) {
			t.Errorf("%s:\n short %.600v\n long  %.600v", text, short.Rows, long.Rows)
		}
		for _, row := range long.Rows {
			if strings.Contains(text, "group by hash") && row[0] == nil {
				t.Errorf("%s: tensors without a hash are a group", text)
			}
		}
	}
}

// The first rows are the first of all rows, also where many must be dropped.
func TestLimitKeepsTheFirst(t *testing.T) {
	var list []tensor.Info
	for i := range 5000 {
		list = append(list, tensor.Info{Path: fmt.Sprintf("w.%d", i), DType: tensor.U8, Shape: tensor.Shape{int64(i * 7919 % 5003)}, Bytes: int64(i * 7919 % 5003)})
	}
	r := store(t, map[string][]tensor.Info{"m": list})
	for _, direction := range []string{"asc", "desc"} {
		got := ask(t, r, "find * order by bytes "+direction+" limit 10 select bytes").text("bytes")
		all := ask(t, r, "find * order by bytes "+direction+" select bytes")
		all.Rows = all.Rows[:10]
		expect(t, direction, got, all.text("bytes"))
	}
}

// A cast is no gap after an export; a cast that lost values is.
func TestCastThatLostValues(t *testing.T) {
	config, hf, mlx := golden(t, "hunyuan")
	const path = "model.norm.weight"
	edit := func(list []tensor.Info, d tensor.DType, s tensor.Stats) []tensor.Info {
		list = slices.Clone(list)
		for i := range list {
			if list[i].Path == path {
				list[i].DType, list[i].Stats, list[i].Hash = d, &s, tensor.Hash{9}
				list[i].Bytes, _ = list[i].Shape.Bytes(d)
			}
		}
		return list
	}
	r := models(t, config, map[string][]tensor.Info{
		"m":    edit(hf, tensor.F32, tensor.Stats{Min: -1, Max: 1e6, AbsMax: 1e6}),
		"good": edit(mlx, tensor.BF16, tensor.Stats{Min: -1, Max: 999424, AbsMax: 999424}),
		"inf":  edit(mlx, tensor.F16, tensor.Stats{Min: -1, Max: 3, AbsMax: 3, Infs: 1}),
	})
	if res := ask(t, r, "gaps in good against m"); len(res.Rows) != 0 || !strings.Contains(fmt.Sprint(res.Notes), "1 tensor cast") {
		t.Errorf("%v, notes %q", res.Rows, res.Notes)
	}
	expect(t, "infinite", ask(t, r, "gaps in inf against m").text("path", "reason"), path+" | cast from f32 to f16, but 1 value became infinite\n")
}
