package ingest

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

// fixture is one entry of the manifest with its expectations.
type fixture struct {
	File    string
	Format  string
	Verdict string
	Reason  string
	Tensors []struct {
		Keys   []any
		Path   string
		Shape  []int64
		Dims   []int64
		NBytes int64
		SHA256 string
		Offset *int64 `json:"file_offset"`
	}
}

const fixturesDir = "testdata/fixtures"

func readFixtures(t testing.TB, formats ...string) (list []fixture) {
	t.Helper()
	var manifest struct {
		Fixtures []struct{ File, Format, Expected string }
	}
	decode(t, filepath.Join(fixturesDir, "MANIFEST.json"), &manifest)
	for _, m := range manifest.Fixtures {
		if !slices.Contains(formats, m.Format) {
			continue
		}
		f := fixture{}
		decode(t, filepath.Join(fixturesDir, m.Expected), &f)
		f.File, f.Format = m.File, m.Format
		list = append(list, f)
	}
	if len(list) == 0 {
		t.Fatalf("no fixtures of %v", formats)
	}
	return list
}

func decode(t testing.TB, name string, into any) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// policies are the decisions where a fixture leaves the choice to the reader, as
// docs/formats.md has them: the rule of the finding it is read with, or a part of
// the error it is refused with.
var policies = map[string]struct {
	finding, refusal string
}{
	"hostile/safetensors/empty_obj.safetensors":       {finding: "no-tensors"},
	"hostile/safetensors/meta_only.safetensors":       {finding: "no-tensors"},
	"hostile/safetensors/extra_field.safetensors":     {finding: "unknown-field"},
	"hostile/safetensors/leading_space.safetensors":   {refusal: "starts with"},
	"hostile/safetensors/shape_zero_huge.safetensors": {refusal: "overflows"},
	"hostile/gguf/overlap.gguf":                       {refusal: "begins at offset"},
	"hostile/gguf/version_big_endian.gguf":            {refusal: "big-endian"},
	"hostile/numpy/dup_key.npy":                       {refusal: "given twice"},
	"hostile/numpy/shape_long.npy":                    {},
	"hostile/numpy/trailing.npy":                      {finding: "trailing-bytes"},
	"numpy/compressed.npz":                            {},
	"numpy/datetime.npy":                              {refusal: "not a tensor's"},
	"numpy/structured.npy":                            {refusal: "structured"},
	"hostile/index/bom.index.json":                    {refusal: `want '{'`},
	"hostile/index/missing_key.index.json":            {finding: "not-in-index"},
	"hostile/index/total_size.index.json":             {finding: "index-total-size"},
}

func TestFixtures(t *testing.T) {
	for _, f := range readFixtures(t, "torch-dcp", "torch-sharded", "safetensors", "safetensors-sharded", "hf-index", "gguf", "npy", "npz", "torch-sharded") {
		t.Run(f.File, func(t *testing.T) {
			c, err := Open(t.Context(), filepath.Join(fixturesDir, f.File), Options{})
			policy, decided := policies[f.File]
			switch {
			case f.Verdict == "policy" && !decided:
				t.Fatal("no decision in policies")
			case f.Verdict == "reject" || policy.refusal != "":
				if err == nil {
					t.Fatalf("was read; want a refusal: %s", f.Reason)
				}
				if text := err.Error(); f.Format != "torch-dcp" && !strings.Contains(text, filepath.Base(f.File)) || !strings.Contains(text, policy.refusal) {
					t.Errorf("error %q does not name the file, or does not say %q", text, policy.refusal)
				}
				return
			case err != nil:
				t.Fatal(err)
			}
			defer c.Close()
			if rule := policy.finding; rule != "" && !slices.ContainsFunc(c.Findings(), func(f tensor.Finding) bool { return f.Rule == rule }) {
				t.Errorf("no finding %s in %v", rule, c.Findings())
			}
			if f.Verdict == "ok" && len(c.Findings()) > 0 {
				t.Errorf("findings on a sound checkpoint: %v", c.Findings())
			}
			f.check(t, c)
		})
	}
}

// TestEveryFixture goes the way of a user through all formats: what must be read
// has the hashes its writer took, what must be refused is, in reading its header or
// its bytes, and nothing is executed.
func TestEveryFixture(t *testing.T) {
	var manifest struct {
		Marker   string
		Fixtures []struct{ Format string }
	}
	decode(t, filepath.Join(fixturesDir, "MANIFEST.json"), &manifest)
	var formats []string
	for _, m := range manifest.Fixtures {
		formats = append(formats, m.Format)
	}
	all := readFixtures(t, formats...)
	if len(all) != len(manifest.Fixtures) {
		t.Errorf("%d fixtures of %d", len(all), len(manifest.Fixtures))
	}
	for _, f := range all {
		got, err := hashed(filepath.Join(fixturesDir, f.File))
		switch {
		case f.Verdict == "reject" && err == nil:
			t.Errorf("%s was read; want a refusal: %s", f.File, f.Reason)
		case f.Verdict == "reject" && !strings.Contains(err.Error(), filepath.Base(f.File)) && !strings.HasPrefix(f.Format, "torch-dcp"):
			t.Errorf("%s: error %q does not name the file", f.File, err)
		case (f.Verdict == "ok" || f.Verdict == "opaque") && err != nil:
			t.Errorf("%s: %v", f.File, err)
		case f.Verdict == "ok":
			for _, want := range f.Tensors {
				if want.SHA256 != "" && !slices.ContainsFunc(got, func(t tensor.Info) bool { return hex.EncodeToString(t.Hash[:]) == want.SHA256 }) {
					t.Errorf("%s: no tensor has the bytes of %q", f.File, want.Path)
				}
			}
		}
	}
	if _, err := os.Stat(manifest.Marker); err == nil {
		t.Errorf("%s is there: something was executed", manifest.Marker)
	}
}

func hashed(path string) ([]tensor.Info, error) {
	c, err := Open(context.Background(), path, Options{})
	if err != nil {
		return nil, err
	}
	defer c.Close()
	return c.Hash(context.Background(), HashOptions{})
}

// check compares every tensor with what the fixture's writer said of it.
func (f *fixture) check(t *testing.T, c *Checkpoint) {
	t.Helper()
	got, err := c.Hash(context.Background(), HashOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(f.Tensors) > 0 && len(got) != len(f.Tensors) {
		t.Errorf("%d tensors, want %d", len(got), len(f.Tensors))
	}
	for _, want := range f.Tensors {
		path := want.Path
		if f.Format == "npy" { // the array has no name of its own
			path = strings.TrimSuffix(filepath.Base(f.File), ".npy")
		}
		i := slices.IndexFunc(got, func(t tensor.Info) bool { return t.Path == path })
		if i < 0 {
			t.Errorf("no tensor %q", want.Path)
			continue
		}
		g := got[i]
		shape := want.Shape
		if shape == nil {
			shape = slices.Clone(want.Dims) // ggml's order is innermost first
			slices.Reverse(shape)
		}
		if !slices.Equal(g.Shape, shape) {
			t.Errorf("%s: shape %v, want %v", g.Path, g.Shape, shape)
		}
		if g.Bytes != want.NBytes {
			t.Errorf("%s: %d bytes, want %d", g.Path, g.Bytes, want.NBytes)
		}
		if h := hex.EncodeToString(g.Hash[:]); h != want.SHA256 {
			t.Errorf("%s: sha256 %s, want %s", g.Path, h, want.SHA256)
		}
		if want.Offset != nil && g.Offset != *want.Offset {
			t.Errorf("%s: offset %d, want %d", g.Path, g.Offset, *want.Offset)
		}
	}
}
