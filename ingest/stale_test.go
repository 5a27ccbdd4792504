package ingest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestTwoUploads: what re-uploads, other tools and other formats leave beside a
// checkpoint. An index that is right about what it names stays byte for byte, no two
// files of which an index could name one are indexed, and reindexing is advised just
// where it does away with the finding.
func TestTwoUploads(t *testing.T) {
	of := func(i, n int) string { return fmt.Sprintf("model-%05d-of-%05d.safetensors", i, n) }
	const single, extra, bin = "model.safetensors", "extra.safetensors", "pytorch_model.bin"
	a, b, c := shard(t, 1, "a"), shard(t, 1, "b"), shard(t, 1, "c")
	for _, x := range []struct {
		name    string
		files   map[string]string
		refused string // by Reindex; "" when it writes, "right" when there is nothing to write
		advised bool   // by Open
		says    string // some finding of Open
	}{
		{"stale set, same shapes", map[string]string{of(1, 2): a, of(2, 2): b, of(1, 3): a, of(2, 3): b, of(3, 3): c,
			stIdx: indexOf("a "+of(1, 3), "b "+of(2, 3), "c "+of(3, 3))}, "is right about the files it names", false, "another upload left"},
		{"stale set, other shapes", map[string]string{of(1, 2): shard(t, 9, "a"), of(2, 2): b, of(1, 3): a, of(2, 3): b, of(3, 3): c,
			stIdx: indexOf("a "+of(1, 3), "b "+of(2, 3), "c "+of(3, 3))}, "2 sets of shards lie here", false, "another upload left"},
		{"the newer set is the smaller", map[string]string{of(1, 2): a, of(2, 2): b, of(1, 3): a, of(2, 3): b, of(3, 3): c,
			stIdx: indexOf("a "+of(1, 2), "b "+of(2, 2))}, "2 sets of shards lie here", false, "another upload left"},
		{"two sets, no index", map[string]string{of(1, 1): a, of(1, 2): a, of(2, 2): b}, "2 sets of shards lie here", false, "also holds"},
		{"two sets without a common name", map[string]string{of(1, 1): a, of(1, 2): b, of(2, 2): c}, "2 sets of shards lie here", false, "in no other file"},
		{"partial re-upload", map[string]string{of(1, 2): a, of(2, 2): b, of(3, 3): c, stIdx: indexOf("a "+of(1, 2), "b "+of(2, 2))},
			"2 sets of shards lie here", false, "in no other file"},
		{"index of the set that is gone", map[string]string{of(1, 2): a, of(2, 2): b, stIdx: indexOf("a "+of(1, 3), "b "+of(2, 3))}, "", true, "none of which are here"},
		{"index of the set that is gone, shard absent", map[string]string{of(1, 2): a, stIdx: indexOf("a "+of(1, 3), "b "+of(2, 3))}, of(2, 2) + ": missing", false, "none of which are here"},
		{"single file beside a set", map[string]string{single: a, of(1, 2): a, of(2, 2): b, stIdx: indexOf("a "+of(1, 2), "b "+of(2, 2))}, "is right about", false, "another upload left"},
		{"another single file beside a set", map[string]string{single: c, of(1, 2): a, of(2, 2): b, stIdx: indexOf("a "+of(1, 2), "b "+of(2, 2))},
			"would leave out 2 files", false, "in no other file"},
		{"the same weights under other names", map[string]string{"consolidated.safetensors": shard(t, 1, "x", "y"), of(1, 2): a, of(2, 2): b,
			stIdx: indexOf("a "+of(1, 2), "b "+of(2, 2))}, "right", false, "second copy in its maker's own layout"},
		{"pickles beside", map[string]string{bin: a, of(1, 2): a, of(2, 2): b, stIdx: indexOf("a "+of(1, 2), "b "+of(2, 2))}, "right", false, bin + ": not read"},
		{"a shard the index forgot", map[string]string{of(1, 2): a, of(2, 2): b, stIdx: indexOf("a " + of(1, 2))}, "", true, "in no other file"},
		{"a tensor the index forgot", map[string]string{of(1, 2): shard(t, 1, "a", "c"), of(2, 2): b, stIdx: indexOf("a "+of(1, 2), "b "+of(2, 2))}, "", true, "does not name"},
		{"a tensor elsewhere", map[string]string{of(1, 2): a, of(2, 2): b, stIdx: indexOf("b "+of(1, 2), "a "+of(2, 2))}, "", true, "read from there"},
		{"a tensor elsewhere, and a shard absent", map[string]string{of(1, 2): a, stIdx: indexOf("b "+of(1, 2), "a "+of(2, 2))}, of(2, 2) + ": missing", false, ": missing"},
		{"an extra file", map[string]string{extra: c, of(1, 2): a, of(2, 2): b, stIdx: indexOf("a "+of(1, 2), "b "+of(2, 2))}, "right", false, "in no other file"},
		{"names of their own", map[string]string{"one.safetensors": a, "two.safetensors": b, single: c, stIdx: indexOf("a one.safetensors", "b two.safetensors")},
			"would leave out 2 files", false, "in no other file"},
	} {
		t.Run(x.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, x.files)
			o, err := Open(t.Context(), dir, Options{})
			if err != nil {
				t.Fatal(err)
			}
			advised, said := false, false
			for _, f := range o.Findings() {
				advised = advised || strings.Contains(f.Message, "reindex")
				said = said || strings.Contains(f.Message, x.says)
			}
			if advised != x.advised || !said {
				t.Errorf("advised %v, want %v, and %q:\n%v", advised, x.advised, x.says, o.Findings())
			}
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			r, err := Reindex(t.Context(), dir)
			switch {
			case x.refused != "" && x.refused != "right":
				if err == nil || !strings.Contains(err.Error(), x.refused) {
					t.Errorf("reindex: %+v, %v, want %q", r, err, x.refused)
				}
			case err != nil || r.Changed != (x.refused == ""):
				t.Errorf("reindex: %+v, %v", r, err)
			}
			now, err := os.ReadFile(filepath.Join(dir, stIdx))
			if x.refused != "" && string(now) != x.files[stIdx] {
				t.Errorf("the index was changed: %v\n%s", err, now)
			}
			if x.refused != "" {
				return
			}
			if o, err = Open(t.Context(), dir, Options{}); err != nil || len(o.Findings()) > 0 {
				t.Fatalf("after reindex: %v, %v", o.Findings(), err)
			}
			o.Close()
		})
	}
}

// TestReindexWhatIsRead: of two formats the one that ingest reads is indexed.
func TestReindexWhatIsRead(t *testing.T) {
	dir := t.TempDir()
	const one, index = "pytorch_model-00001-of-00001.bin", "pytorch_model.bin.index.json"
	writeFiles(t, dir, map[string]string{"vae.safetensors": shard(t, 1, "a"), one: shard(t, 1, "b")})
	r, err := Reindex(t.Context(), dir)
	if err != nil || r.Name != index {
		t.Fatalf("%+v, %v", r, err)
	}
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if ts := c.Tensors(); len(ts) != 1 || ts[0].File != one {
		t.Errorf("%v", ts)
	}
}
