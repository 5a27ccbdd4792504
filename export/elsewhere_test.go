package export_test

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/ingest/places"
	"wreg/ingest/remote/hubtest"
	"wreg/registry"
	"wreg/synth"
)

// elsewhere serves a folder as acme/tiny, with what goes wrong, and has nothing remembered of it.
func elsewhere(t *testing.T, dir string, faults ...hubtest.Fault) *hubtest.Hub {
	t.Helper()
	h, err := hubtest.Start(hubtest.Options{Repos: map[string]fs.FS{"acme/tiny": os.DirFS(dir)}, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	t.Setenv("HF_ENDPOINT", h.URL)
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("TRANSFORMERS_OFFLINE", "")
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return h
}

// planFar plans the export of hf://acme/tiny.
func planFar(t *testing.T, o export.Options) (p *export.Plan, err error) {
	t.Helper()
	at, err := places.Open(t.Context(), "hf://acme/tiny", places.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ingest.OpenPlace(t.Context(), at, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := registry.Open(filepath.Join(t.TempDir(), "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v, err := r.Put(context.Background(), registry.Revision{Model: "m", Root: c.Path(), Config: c.Config(), Files: c.Files()}, c.Tensors())
	if err != nil {
		t.Fatal(err)
	}
	if viewed := r.View(func(s *registry.Snapshot) error {
		p, err = export.New(t.Context(), s, v, o)
		return nil
	}); viewed != nil {
		t.Fatal(viewed)
	}
	return p, err
}

// golden writes a golden's source in shards.
func golden(t *testing.T, name string, shard int64) string {
	t.Helper()
	c, err := synth.Golden(filepath.Join(goldens, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := c.Write(dir, synth.Options{ShardBytes: shard, Tokenizer: 128}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sameBut compares two exports, but for their receipts.
func sameBut(t *testing.T, got, want string) {
	t.Helper()
	list := func(dir string) (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != receipt.Name {
				names = append(names, e.Name())
			}
		}
		return names
	}
	if !slices.Equal(list(got), list(want)) {
		t.Fatalf("files %q, want %q", list(got), list(want))
	}
	for _, name := range list(want) {
		a, err := os.ReadFile(filepath.Join(got, name))
		b, err2 := os.ReadFile(filepath.Join(want, name))
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs (%v, %v)", name, err, err2)
		}
	}
}

// An export from an address is, byte for byte, that of the folder which lies there.
func TestElsewhere(t *testing.T) {
	for _, c := range []struct {
		golden string
		o      export.Options
	}{
		{"hunyuan", export.Options{}},
		{"hunyuan", export.Options{Quantize: &export.Quantize{}}},
		{"llama", export.Options{Target: "hf"}},
		{"deepseek_v3", export.Options{}},
		{"gpt_oss", export.Options{}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			dir := golden(t, c.golden, 300_000)
			o := c.o
			o.NoSync, o.Out = true, filepath.Join(t.TempDir(), "here")
			want, _ := exported(t, dir, o)
			elsewhere(t, dir)
			o.Out = filepath.Join(t.TempDir(), "there")
			p, err := planFar(t, o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			sameBut(t, o.Out, want)
			if v, err := receipt.Verify(t.Context(), o.Out, receipt.Options{}); err != nil || len(v.Faults) > 0 {
				t.Error(v, err)
			}
		})
	}
}
