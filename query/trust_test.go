package query

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
)

// Of a model whose files are known in different ways, what was never read is never an answer: whoever asks for it alone
// is refused, whoever asks for it among others is told.
func TestMixedTrust(t *testing.T) {
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	digest := tensor.Hash{1}.String()
	files := []tensor.File{
		{Name: "a", Format: "safetensors", Digest: digest, Trust: tensor.TrustHeader},
		{Name: "b", Format: "safetensors", Digest: digest, Trust: tensor.TrustInherited},
	}
	var list []tensor.Info
	for i := range 6 { // every template has tensors in both files
		for _, name := range []string{"w", "v"} {
			x := tensor.Info{Path: fmt.Sprintf("layers.%d.%s", i, name), DType: tensor.F32, Shape: tensor.Shape{2}, Bytes: 8, File: files[i%2].Name, Format: "safetensors"}
			if i%2 == 1 {
				x.Hash, x.Sum, x.Stats = tensor.Hash{byte(i)}, tensor.Sum{byte(i)}, &tensor.Stats{Min: 1, Max: 2, AbsMax: 2}
			}
			list = append(list, x)
		}
	}
	if _, err := r.Put(t.Context(), registry.Revision{Model: "m", Root: "hf://org/m@1", Files: files}, list); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		query string
		rows  string
		note  string // or the error
		fails bool
	}{
		{"find * group by trust select trust, count()", "header 6;inherited 6", "", false},
		{"find w where trust = header select path", "layers.0.w;layers.2.w;layers.4.w", "", false},
		{"find * where nans = 0 select count()", "6", "6 of 12 tensors have no known statistics", false},
		{"find * where not nans > 0 select count()", "12", "6 of 12 tensors have no known statistics", false},
		{"find * where hash = null select count()", "6", "6 of 12 tensors have no known hash: m@1: never read; wreg ingest hf://org/m@1 --name m --verify takes them", false},
		{"find w group by hash select count() having count() > 1", "", "3 of 6 tensors have no known hash", false},
		{"find * group by hash select count() having count() > 1", "2;2;2", "6 of 12 tensors have no known hash", false},
		{"find layers.{0,2}.w select path, hash, absmax", "layers.0.w <nil> <nil>;layers.2.w <nil> <nil>", "the hashes of 2 of 2 tensors are not known: m@1: never read; wreg ingest", false},
		{"find layers.{1,2}.w select path, absmax", "layers.1.w 2;layers.2.w <nil>", "the statistics of 1 of 2 tensors are not known", false},
		{"find layers.{1,3}.w select path, hash", "", "", false},
		{"find layers.{1,3}.w where nans = 0 select count()", "2", "", false},
		{"find layers.{0,2}.w where nans = 0", "", "m@1: the query asks for statistics, which are not known of these tensors: never read", true},
		{"find layers.0.w where not nans > 0 limit 1", "", "the query asks for statistics", true},
		{"find layers.4.* select max(absmax)", "", "the query asks for statistics", true},
		{"find layers.4.* group by hash", "", "the query asks for hashes", true},
	} {
		q, err := Parse(c.query)
		if err != nil {
			t.Fatal(err)
		}
		var got *Result
		err = r.View(func(s *registry.Snapshot) (err error) {
			got, err = q.Run(context.Background(), s, Options{})
			return err
		})
		if c.fails {
			if err == nil || !strings.Contains(err.Error(), c.note) {
				t.Errorf("%s: %v, %v, want %q", c.query, got, err, c.note)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.query, err)
			continue
		}
		if c.rows != "" && strings.Join(spaced(got.Rows), ";") != c.rows {
			t.Errorf("%s: %q, want %q", c.query, strings.Join(spaced(got.Rows), ";"), c.rows)
		}
		if len(got.Notes) > 1 || (c.note == "") != (len(got.Notes) == 0) || c.note != "" && !strings.Contains(got.Notes[0], c.note) {
			t.Errorf("%s: notes %q, want %q", c.query, got.Notes, c.note)
		}
	}
}

func spaced(rows [][]any) (list []string) {
	for _, row := range rows {
		list = append(list, strings.TrimSuffix(fmt.Sprintln(row...), "\n"))
	}
	return list
}
