package query

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

var update = flag.Bool("update", false, "rewrite testdata")

// The table of cases is testdata/cases.txt. It is unit test, seed of the fuzzer
// and, for the cases with an sql line, compared with SQLite over the rows of
// testdata/tensors.json by conformance/query_sqlite.py. A case is
//
//	> the query
//	sql: select … from t where …     (optional)
//	~ a note of the answer           (any number)
//	row, values as JSON              (any number)
//	! the error                      (in place of rows)
const casesFile = "testdata/cases.txt"

type queryCase struct {
	query, sql string
	answer     []string
}

func readCases(t testing.TB) (list []queryCase) {
	t.Helper()
	text, err := os.ReadFile(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range strings.Split(string(text), "\n> ")[1:] {
		lines := strings.Split(strings.TrimRight(block, "\n"), "\n")
		c := queryCase{query: lines[0]}
		for _, l := range lines[1:] {
			if sql, ok := strings.CutPrefix(l, "sql: "); ok {
				c.sql = sql
			} else if l != "" && !strings.HasPrefix(l, "#") {
				c.answer = append(c.answer, l)
			}
		}
		list = append(list, c)
	}
	return list
}

// testModels are small models with every kind of oddity that a query can meet.
func testModels() map[string][]tensor.Info {
	hash := func(n int) (h tensor.Hash) {
		binary.BigEndian.PutUint64(h[:], uint64(n)*0x9E3779B97F4A7C15)
		return h
	}
	n := 0
	info := func(path string, d tensor.DType, shape ...int64) tensor.Info {
		n++
		size, err := tensor.Shape(shape).Bytes(d)
		if err != nil {
			panic(err)
		}
		return tensor.Info{Path: path, DType: d, Shape: shape, Bytes: size, File: fmt.Sprintf("model-%05d-of-00002.safetensors", 1+n%2),
			Offset: int64(n) * 64, Format: "safetensors", Hash: hash(n), Stats: &tensor.Stats{Min: -float64(n), Max: float64(n) / 2, AbsMax: float64(n)}}
	}
	var moe []tensor.Info
	add := func(list *[]tensor.Info, t tensor.Info) { *list = append(*list, t) }
	add(&moe, info("model.embed_tokens.weight", tensor.BF16, 32, 8))
	for layer := range 4 {
		at := fmt.Sprintf("model.layers.%d.", layer)
		add(&moe, info(at+"input_layernorm.weight", tensor.F32, 8))
		add(&moe, info(at+"input_layernorm.bias", tensor.F32, 8))
		add(&moe, info(at+"self_attn.q_proj.weight", tensor.BF16, 8, 8))
		if layer%2 == 0 {
			add(&moe, info(at+"self_attn.k_proj.weight", tensor.BF16, 4, 8))
		}
		for expert := range 4 {
			for _, p := range []string{"up", "down"} {
				if layer == 2 && expert == 3 && p == "up" {
					continue // the hole that every tool should find
				}
				shape := []int64{12, 8}
				if p == "down" {
					shape = []int64{8, 12}
				}
				add(&moe, info(fmt.Sprintf("%smlp.experts.%d.%s_proj.weight", at, expert, p), tensor.BF16, shape...))
			}
		}
	}
	add(&moe, info("model.norm.weight", tensor.F32, 8))
	for i := range moe {
		switch moe[i].Path {
		case "model.layers.1.mlp.experts.2.up_proj.weight":
			moe[i].Stats = &tensor.Stats{Min: -1, Max: 1e5, AbsMax: 1e5, NaNs: 3}
		case "model.layers.3.self_attn.q_proj.weight":
			moe[i].Stats = &tensor.Stats{Infs: 2, Zeros: 60}
		case "model.norm.weight", "model.layers.0.input_layernorm.weight":
			moe[i].Hash = hash(1000)
		}
	}
	var gpt []tensor.Info
	for layer := range 12 {
		add(&gpt, info(fmt.Sprintf("h.%d.attn.c_attn.weight", layer), tensor.F16, 8, 24))
		add(&gpt, info(fmt.Sprintf("h.%d.attn.c_attn.bias", layer), tensor.F16, 24))
	}
	add(&gpt, info("wte.weight", tensor.F16, 32, 8))
	add(&gpt, info("position_ids", tensor.I64, 1, 16))
	add(&gpt, info("step", tensor.I64))
	add(&gpt, info("conv.weight", tensor.F8E4M3, 4, 2, 3, 3))
	add(&gpt, info("conv.weight_scale_inv", tensor.F32, 1, 1))
	gpt[len(gpt)-4].Stats, gpt[len(gpt)-3].Stats = nil, nil
	gpt[3].Stats = &tensor.Stats{Min: math.SmallestNonzeroFloat64, Max: math.MaxFloat64, AbsMax: math.MaxFloat64}
	odd := []tensor.Info{
		info("a b.weight", tensor.F32, 2), info("a..b", tensor.F32, 2), info("", tensor.F32, 2), info("quote\"d.x", tensor.F32, 2),
		info("layers.{layer}.w", tensor.F32, 2), info("layers.007.w", tensor.F32, 2), info("layers.7.w", tensor.F32, 2),
		info("héé.ß", tensor.F32, 2), info("star*.w", tensor.F32, 2), info("line\nbreak", tensor.F32, 2), info("where", tensor.F32, 2),
		info("layers.999999999999999999.w", tensor.F32, 0, 2), info("layers.9999999999999999999.w", tensor.F32, 2),
	}
	bare := []tensor.Info{info("layers.0.w", tensor.F32, 2), info("layers.1.w", tensor.F32, 2)}
	for i := range bare {
		bare[i].Hash, bare[i].Stats = tensor.Hash{}, nil
	}
	return map[string][]tensor.Info{"moe": moe, "gpt": gpt, "odd": odd, "bare": bare}
}

// answer runs a query and writes what it says as the lines of a case.
func answer(r *registry.Registry, text string) (lines []string, err error) {
	q, err := Parse(text)
	if err != nil {
		return nil, err
	}
	err = r.View(func(s *registry.Snapshot) error {
		res, err := q.Run(context.Background(), s, Options{Model: "moe"})
		if err != nil {
			return err
		}
		for _, n := range res.Notes {
			lines = append(lines, "~ "+n)
		}
		for _, row := range res.Rows {
			values := make([]any, len(row))
			for i, v := range row {
				values[i] = jsonValue(v)
			}
			line, err := json.Marshal(values)
			if err != nil {
				return err
			}
			lines = append(lines, string(line))
		}
		return nil
	})
	return lines, err
}

func errorLine(err error) string {
	var syntax *expr.SyntaxError
	if errors.As(err, &syntax) {
		line := fmt.Sprintf("! %d:%d: %s", syntax.Line, syntax.Column, syntax.Message)
		if syntax.Expected != "" {
			line += ", expected " + syntax.Expected
		}
		return line
	}
	return "! " + strings.ReplaceAll(err.Error(), "\n", " / ")
}

func TestCases(t *testing.T) {
	r := store(t, testModels())
	var b strings.Builder
	text, err := os.ReadFile(casesFile)
	if err != nil {
		t.Fatal(err)
	}
	head, _, _ := strings.Cut(string(text), "\n> ")
	b.WriteString(head)
	cases := readCases(t)
	if len(cases) < 150 {
		t.Errorf("%d cases, want 150", len(cases))
	}
	for _, c := range cases {
		got, err := answer(r, c.query)
		if err != nil {
			got = []string{errorLine(err)}
		}
		if !slices.Equal(got, c.answer) && !*update {
			t.Errorf("%s\n got  %s\n want %s", c.query, strings.Join(got, "\n      "), strings.Join(c.answer, "\n      "))
		}
		b.WriteString("\n> " + c.query)
		if c.sql != "" {
			b.WriteString("\nsql: " + c.sql)
		}
		for _, l := range got {
			b.WriteString("\n" + l)
		}
		b.WriteString("\n")
	}
	if *update {
		if err := os.WriteFile(casesFile, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// The rows that SQLite gets are those that wreg itself shows: select * of all.
func TestExportedRows(t *testing.T) {
	r := store(t, testModels())
	const text = "find * in * select *"
	q, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	var got []byte
	err = r.View(func(s *registry.Snapshot) error {
		res, err := q.Run(context.Background(), s, Options{})
		if err == nil {
			got = asJSON(t, text, res)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/tensors.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if want, err := os.ReadFile(file); err != nil || string(want) != string(got) {
		t.Errorf("%s is not current: go test ./query -update (%v)", file, err)
	}
}

// asJSON is an answer as wreg query --json prints it, indented.
func asJSON(t *testing.T, text string, res *Result) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	encode := func(v any) json.RawMessage {
		b.Reset()
		if err := e.Encode(v); err != nil {
			t.Fatal(err)
		}
		return bytes.Clone(bytes.TrimSpace(b.Bytes()))
	}
	rows := []json.RawMessage{}
	for _, row := range res.Rows {
		object := []byte{'{'}
		for k, v := range row {
			object = append(append(append(append(object, encode(res.Columns[k])...), ':'), encode(jsonValue(v))...), ',')
		}
		object[len(object)-1] = '}'
		rows = append(rows, object)
	}
	optional := func(s string) (p *string) {
		if s != "" {
			p = &s
		}
		return p
	}
	whole := encode(struct {
		Query   string            `json:"query"`
		Model   *string           `json:"model"`
		Against *string           `json:"against"`
		Layout  *string           `json:"layout"`
		Columns []string          `json:"columns"`
		Rows    []json.RawMessage `json:"rows"`
		Count   int               `json:"count"`
	}{text, optional(res.Model), optional(res.Against), optional(res.Layout), res.Columns, rows, len(rows)})
	b.Reset()
	if err := json.Indent(&b, whole, "", " "); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// jsonValue is a row's value as JSON has it.
func jsonValue(v any) any {
	switch v := v.(type) {
	case tensor.Hash:
		return v.String()
	case tensor.Shape:
		if v == nil {
			return []int64{}
		}
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return nil
		}
	case string:
		return strings.ToValidUTF8(v, "\uFFFD")
	}
	return v
}

func FuzzQuery(f *testing.F) {
	for _, c := range readCases(f) {
		f.Add(c.query)
	}
	r := store(f, testModels())
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := answer(r, text)
		if err != nil && err.Error() == "" {
			t.Error("an error without a text")
		}
		_ = lines
	})
}
