package ingest

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/ingest/folder"
)

func TestFindCached(t *testing.T) {
	hub := t.TempDir()
	t.Setenv("HF_HUB_CACHE", hub)
	const a, b = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	writeFiles(t, hub, map[string]string{
		"models--org--two/refs/main": a, "models--org--two/refs/pr/1": b, "models--org--two/refs/gone": "cccc",
		"models--org--two/snapshots/" + a + "/config.json": "{}", "models--org--two/snapshots/" + b + "/config.json": "{}",
		"models--org--one/snapshots/" + a + "/config.json": "{}",
		"models--org--none/refs/main":                      a,
		"models--org--evil/refs/main":                      "../../../x",
		"models--org--evil/snapshots/" + a + "/x":          "",
		"x/config.json":                                    "{}",
	})
	for _, c := range []struct{ id, want, fails string }{
		{"org/two", "models--org--two/snapshots/" + a, ""},
		{"org/two@main", "models--org--two/snapshots/" + a, ""},
		{"org/two@pr/1", "models--org--two/snapshots/" + b, ""},
		{"org/two@" + b, "models--org--two/snapshots/" + b, ""},
		{"org/one", "models--org--one/snapshots/" + a, ""},
		{"org/two@gone", "", "not there"},
		{"org/two@v2", "", "not cached"},
		{"org/one@main", "", "not cached"},
		{"org/none", "", "no snapshots"},
		{"org/evil", "", "not there"},
		{"org/two@../../x", "", "not the name of a repository"},
		{"org/two@/x", "", "not the name of a branch"},
		{"org/absent", "", "not in the hf cache"},
		{"../two", "", "not the name"},
		{"org/two/three", "", "not the name"},
		{"org--two/x", "", "not the name"},
		{"two", "", "not the name"},
	} {
		got, err := folder.FindCached(c.id)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %q, error %v, want %q", c.id, got, err, c.fails)
			}
			continue
		}
		if want := filepath.Join(hub, filepath.FromSlash(c.want)); err != nil || got != want {
			t.Errorf("%s: %q, %v, want %q", c.id, got, err, want)
		}
	}
	if _, err := folder.FindCached("org/absent"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v does not wrap fs.ErrNotExist", err)
	}
}

// TestCachedRevisions: any ref or commit that is there, and what is there when it
// is not.
func TestCachedRevisions(t *testing.T) {
	hub := t.TempDir()
	t.Setenv("HF_HUB_CACHE", hub)
	a, b, c := strings.Repeat("a", 40), "abcd"+strings.Repeat("0", 36), "abce"+strings.Repeat("1", 36)
	writeFiles(t, hub, map[string]string{
		"models--o--m/refs/v1.0": a, "models--o--m/refs/refs/pr/7": b, "models--o--m/refs/feature/x": c,
		"models--o--m/snapshots/" + a + "/f": "", "models--o--m/snapshots/" + b + "/f": "", "models--o--m/snapshots/" + c + "/f": "",
		"models--o--ahead/refs/main": strings.Repeat("f", 40), "models--o--ahead/snapshots/" + a + "/f": "",
	})
	for _, x := range []struct{ id, want, fails string }{
		{"o/m@v1.0", a, ""}, {"o/m@refs/pr/7", b, ""}, {"o/m@pr/7", b, ""}, {"o/m@feature/x", c, ""},
		{"o/m@aaaaaaa", a, ""}, {"o/m@abcd", b, ""}, {"o/m@" + c, c, ""},
		{"o/m@abc", "", "cached are"}, {"o/m@v1.0/x", "", "cached are"},
		{"o/m@abc0", "", "cached are"}, {"o/m@feature", "", "not a ref"},
		{"o/m", "", `revision "main" is not cached; cached are: ` + a + " (v1.0), " + b + " (refs/pr/7), " + c + " (feature/x)"},
		{"o/ahead", "", "cached are: " + a},
	} {
		got, err := folder.FindCached(x.id)
		switch {
		case x.fails != "" && (err == nil || !strings.Contains(err.Error(), x.fails)):
			t.Errorf("%s: %q, error %v, want %q", x.id, got, err, x.fails)
		case x.fails == "" && (err != nil || filepath.Base(got) != x.want):
			t.Errorf("%s: %q, %v, want %s", x.id, got, err, x.want)
		}
	}
	writeFiles(t, hub, map[string]string{"models--o--m/snapshots/abcd" + strings.Repeat("5", 36) + "/f": ""})
	if got, err := folder.FindCached("o/m@abcd"); err == nil || !strings.Contains(err.Error(), "several") {
		t.Errorf("%q, %v", got, err)
	}
}

// sharedCache lays out a cache as huggingface_hub 2.4 leaves it: small files are
// blobs of the repository, and what came by Xet is one link more away, in a store
// of all repositories.
func sharedCache(t *testing.T, hub, marker string) (snapshot string) {
	t.Helper()
	xet, repo := strings.Repeat("ab", 32), filepath.Join(hub, "models--o--m")
	snapshot = filepath.Join(repo, "snapshots", strings.Repeat("c", 40))
	writeFiles(t, hub, map[string]string{
		"blobs/.huggingface-shared-blobs": marker, "blobs/ab/" + xet: shard(t, 1, "a"), "blobs/ab/" + xet + ".refs": "models--o--m/blobs/e1\n",
		"models--o--m/blobs/e2": "{}", "models--o--m/refs/main": strings.Repeat("c", 40), "models--o--m/snapshots/" + strings.Repeat("c", 40) + "/x": "",
		"models--o--other/blobs/e3": "{}", "CACHEDIR.TAG": "", "secret.json": "{}",
	})
	for name, to := range map[string]string{
		repo + "/blobs/e1":              "../../blobs/ab/" + xet,
		snapshot + "/model.safetensors": "../../blobs/e1",
		snapshot + "/config.json":       "../../blobs/e2",
		snapshot + "/generation.json":   "../../../blobs/ab/" + xet,
		repo + "/blobs/toOther":         "../../models--o--other/blobs/e3",
		repo + "/blobs/toSelf":          "toSelf",
		repo + "/blobs/toSibling":       "e2",
		repo + "/blobs/absolute":        filepath.Join(hub, "blobs/ab", xet),
		hub + "/blobs/ab/chained":       xet,
		hub + "/blobs/cd":               "../models--o--other/blobs",
		snapshot + "/viaRepo.json":      "../../blobs/toOther",
		snapshot + "/other.json":        "../../../models--o--other/blobs/e3",
		snapshot + "/hub.json":          "../../../secret.json",
		snapshot + "/out.json":          "../../../../secret.json",
		snapshot + "/absolute.json":     filepath.Join(hub, "blobs/ab", xet),
		snapshot + "/viaAbsolute.json":  "../../blobs/absolute",
		snapshot + "/viaChained.json":   "../../../blobs/ab/chained",
		snapshot + "/viaFolder.json":    "../../../blobs/cd/e3",
		snapshot + "/viaSelf.json":      "../../blobs/toSelf",
		snapshot + "/viaSibling.json":   "../../blobs/toSibling",
		snapshot + "/gone.json":         "../../blobs/gone",
		snapshot + "/elsewhere.json":    "/nowhere/models--o--m/blobs/e2",
		snapshot + "/dots.json":         "../../blobs/../../models--o--other/blobs/e3",
		snapshot + "/refs.json":         "../../refs/main",
		snapshot + "/folder.json":       "../../blobs",
	} {
		if err := os.Symlink(to, name); err != nil {
			t.Fatal(err)
		}
	}
	return snapshot
}

// TestSharedBlobs: links lead to the repository's own blobs and to the store that
// all share, when its marker says that it is one, and nowhere else.
func TestSharedBlobs(t *testing.T) {
	hub := t.TempDir()
	t.Setenv("HF_HUB_CACHE", hub)
	snapshot := sharedCache(t, hub, "1\n")
	if got, err := folder.FindCached("o/m"); err != nil || got != snapshot {
		t.Fatalf("%q, %v", got, err)
	}
	c, err := Open(t.Context(), snapshot, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if len(c.Tensors()) != 1 || string(c.Config()) != "{}" {
		t.Errorf("%d tensors, config %q", len(c.Tensors()), c.Config())
	}
	d, err := folder.Open(snapshot)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	for name, fails := range map[string]string{
		"model.safetensors": "", "config.json": "", "generation.json": "",
		"viaRepo.json": "leads out", "other.json": "leads out", "hub.json": "leads out", "out.json": "leads out", "absolute.json": "leads out",
		"viaAbsolute.json": "leads out", "viaChained.json": "leads out", "viaFolder.json": "not a folder", "viaSelf.json": "leads out",
		"viaSibling.json": "leads out", "gone.json": "does not exist", "dots.json": "leads out", "refs.json": "leads out", "folder.json": "leads out",
		"elsewhere.json": "does not exist; a blob of that name is in models--o--m/blobs",
	} {
		f, err := d.Open(name)
		if (err == nil) != (fails == "") || err != nil && !strings.Contains(err.Error(), fails) {
			t.Errorf("%s: error %v, want %q", name, err, fails)
		}
		if err == nil {
			f.Close()
		}
	}
	for _, marker := range []string{"2\n", ""} { // not a store that is known
		hub := t.TempDir()
		if _, err := Open(t.Context(), sharedCache(t, hub, marker), Options{}); err == nil || !strings.Contains(err.Error(), "not followed") {
			t.Errorf("marker %q: error %v", marker, err)
		}
	}
}

// TestSnapshotElsewhere: when refs/main is ahead of the weights, the snapshot that
// holds them is named.
func TestSnapshotElsewhere(t *testing.T) {
	hub, old, now := t.TempDir(), strings.Repeat("a", 40), strings.Repeat("b", 40)
	writeFiles(t, hub, map[string]string{
		"models--o--m/blobs/x": "", "models--o--m/snapshots/" + old + "/model.safetensors": shard(t, 1, "a"), "models--o--m/snapshots/" + now + "/README.md": "",
	})
	if _, err := Open(t.Context(), filepath.Join(hub, "models--o--m/snapshots", now), Options{}); err == nil || !strings.Contains(err.Error(), old) {
		t.Errorf("error %v does not name %s", err, old)
	}
}
