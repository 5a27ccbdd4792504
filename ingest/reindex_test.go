package ingest

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestReindex(t *testing.T) {
	const bin = "pytorch_model.bin"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  string // the index
		fails string
	}{
		{name: "stale", files: map[string]string{s1: shard(t, 1, "b"), s2: shard(t, 1, "a\""), stIdx: indexOf("b "+s2, "gone x.safetensors")},
			want: "{\n  \"metadata\": {\n    \"total_size\": 16\n  },\n  \"weight_map\": {\n    \"a\\\"\": \"" + s2 + "\",\n    \"b\": \"" + s1 + "\"\n  }\n}\n"},
		{name: "none", files: map[string]string{"model.safetensors": shard(t, 1, "b"), "other.safetensors": shard(t, 1, "a")},
			want: "{\n  \"metadata\": {\n    \"total_size\": 8\n  },\n  \"weight_map\": {\n    \"b\": \"model.safetensors\"\n  }\n}\n"},
		{name: "broken", files: map[string]string{"model.safetensors": shard(t, 1, "b"), stIdx: "{"},
			want: "{\n  \"metadata\": {\n    \"total_size\": 8\n  },\n  \"weight_map\": {\n    \"b\": \"model.safetensors\"\n  }\n}\n"},
		{name: "shard absent", files: map[string]string{s1: shard(t, 1, "b"), stIdx: "old"}, want: "old", fails: s2 + ": missing"},
		{name: "tensor twice", files: map[string]string{s1: shard(t, 1, "b"), s2: shard(t, 1, "b"), stIdx: "old"}, want: "old", fails: `also holds tensor "b"`},
		{name: "torn shard", files: map[string]string{s1: "torn", s2: shard(t, 1, "b"), stIdx: "old"}, want: "old", fails: s1},
		{name: "no weights", files: map[string]string{"x.gguf": "", stIdx: "old"}, want: "old", fails: "no safetensors or torch"},
		{name: "index is a folder", files: map[string]string{"model.safetensors": shard(t, 1, "b"), stIdx + "/x": ""}, fails: stIdx},
		{name: "torch by content", files: map[string]string{bin: shard(t, 1, "b")}, fails: ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, c.files)
			r, err := Reindex(t.Context(), dir)
			switch {
			case c.fails != "":
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, want %q", err, c.fails)
				}
			case err != nil:
				t.Fatal(err)
			case !r.Changed:
				t.Error("says that it changed nothing")
			}
			if c.want != "" {
				got, err := os.ReadFile(filepath.Join(dir, stIdx))
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(c.want, string(got)); d != "" {
					t.Error(d)
				}
			}
			entries, err := os.ReadDir(dir)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				if strings.HasSuffix(e.Name(), ".wreg") {
					t.Errorf("left %s behind", e.Name())
				}
			}
			if c.fails != "" {
				return
			}
			o, err := Open(t.Context(), dir, Options{}) // what it wrote holds
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			for _, f := range o.Findings() {
				if f.Rule != "stray-shard" {
					t.Errorf("finding after reindex: %v", f)
				}
			}
			if again, err := Reindex(t.Context(), dir); err != nil || again.Changed || again.Tensors != len(o.Tensors()) {
				t.Errorf("again: %+v, %v", again, err)
			}
		})
	}
}
