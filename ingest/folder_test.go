package ingest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"wreg/ingest/safetensors"
	"wreg/registry/tensor"
)

// shard is the text of a safetensors file with one f32 tensor of two elements per
// name; fill sets their bytes.
func shard(t testing.TB, fill byte, names ...string) string {
	t.Helper()
	var infos []tensor.Info
	for _, n := range names {
		infos = append(infos, tensor.Info{Path: n, DType: tensor.F32, Shape: tensor.Shape{2}})
	}
	h, _, err := safetensors.AppendHeader(nil, infos, nil)
	if err != nil {
		t.Fatal(err)
	}
	return string(h) + strings.Repeat(string(fill), 8*len(names))
}

// indexOf is an index.json; each pair is "tensor shard".
func indexOf(pairs ...string) string {
	var lines []string
	for _, p := range pairs {
		path, shard, _ := strings.Cut(p, " ")
		lines = append(lines, fmt.Sprintf("%q: %q", path, shard))
	}
	return `{"weight_map": {` + strings.Join(lines, ", ") + `}}`
}

func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

const (
	s1    = "model-00001-of-00002.safetensors"
	s2    = "model-00002-of-00002.safetensors"
	stIdx = "model.safetensors.index.json"
)

// summary is what a folder was read as: "tensor file" and "rule file tensor".
type summary struct{ Tensors, Findings []string }

func summarize(c *Checkpoint) (s summary) {
	for _, t := range c.Tensors() {
		s.Tensors = append(s.Tensors, t.Path+" "+t.File)
	}
	for _, f := range c.Findings() {
		s.Findings = append(s.Findings, strings.TrimSpace(f.Rule+" "+f.File+" "+f.Tensor))
	}
	slices.Sort(s.Findings)
	return s
}

func TestFolder(t *testing.T) {
	for _, c := range []struct {
		name  string
		files map[string]string
		want  summary
		fails string // part of the error; the folder is refused
	}{
		{name: "one file", files: map[string]string{"model.safetensors": shard(t, 1, "b", "a")},
			want: summary{Tensors: []string{"a model.safetensors", "b model.safetensors"}}},
		{name: "one file by another name", files: map[string]string{"weights.safetensors": shard(t, 1, "a"), "README.md": "x"},
			want: summary{Tensors: []string{"a weights.safetensors"}}},
		{name: "shards and index", files: map[string]string{s1: shard(t, 1, "b"), s2: shard(t, 1, "a"), stIdx: indexOf("a "+s2, "b "+s1)},
			want: summary{Tensors: []string{"a " + s2, "b " + s1}}},
		{name: "shards without index", files: map[string]string{s1: shard(t, 1, "b"), s2: shard(t, 1, "a")},
			want: summary{Tensors: []string{"a " + s2, "b " + s1}}},
		{name: "shards without index, one absent", files: map[string]string{s1: shard(t, 1, "b")},
			want: summary{Tensors: []string{"b " + s1}, Findings: []string{"absent-shard " + s2}}},
		{name: "absent shard", files: map[string]string{s1: shard(t, 1, "b"), stIdx: indexOf("a "+s2, "b "+s1)},
			want: summary{Tensors: []string{"b " + s1}, Findings: []string{"absent-shard " + s2}}},
		{name: "stray shard", files: map[string]string{s1: shard(t, 1, "b"), "model-old.safetensors": shard(t, 1, "z"), stIdx: indexOf("b " + s1)},
			want: summary{Tensors: []string{"b " + s1}, Findings: []string{"stray-shard model-old.safetensors"}}},
		{name: "stray that is broken", files: map[string]string{s1: shard(t, 1, "b"), "model-old.safetensors": "torn", stIdx: indexOf("b " + s1)},
			want: summary{Tensors: []string{"b " + s1}, Findings: []string{"unreadable-file model-old.safetensors"}}},
		{name: "tensor in another shard", files: map[string]string{s1: shard(t, 1, "b", "a"), s2: shard(t, 1, "c"), stIdx: indexOf("a "+s2, "b "+s1, "c "+s2)},
			want: summary{Tensors: []string{"a " + s1, "b " + s1, "c " + s2}, Findings: []string{"wrong-shard " + s1 + " a"}}},
		{name: "tensor in a stray shard alone", files: map[string]string{s1: shard(t, 1, "b"), "x.safetensors": shard(t, 1, "a"), stIdx: indexOf("a "+s1, "b "+s1)},
			want: summary{Tensors: []string{"a x.safetensors", "b " + s1}, Findings: []string{"stray-shard x.safetensors", "wrong-shard x.safetensors a"}}},
		{name: "tensor the shard lacks", files: map[string]string{s1: shard(t, 1, "b"), stIdx: indexOf("a "+s1, "b "+s1)},
			want: summary{Tensors: []string{"b " + s1}, Findings: []string{"index-missing-tensor " + s1 + " a"}}},
		{name: "tensor not in the index", files: map[string]string{s1: shard(t, 1, "b", "a"), stIdx: indexOf("b " + s1)},
			want: summary{Tensors: []string{"a " + s1, "b " + s1}, Findings: []string{"not-in-index " + s1 + " a"}}},
		{name: "tensor twice, alike", files: map[string]string{s1: shard(t, 1, "a"), s2: shard(t, 2, "a", "b"), stIdx: indexOf("a "+s2, "b "+s2, "c "+s1)},
			want: summary{Tensors: []string{"a " + s2, "b " + s2}, Findings: []string{"duplicate-tensor " + s1 + " a", "index-missing-tensor " + s1 + " c"}}},
		{name: "index of another build", files: map[string]string{"model.safetensors": shard(t, 1, "a"), stIdx: indexOf("a " + s1)},
			want: summary{Tensors: []string{"a model.safetensors"}, Findings: []string{"foreign-index " + stIdx}}},
		{name: "single file beside shards and index", files: map[string]string{"model.safetensors": shard(t, 1, "a"), s1: shard(t, 1, "a"), stIdx: indexOf("a " + s1)},
			want: summary{Tensors: []string{"a " + s1}, Findings: []string{"duplicate-tensor model.safetensors a", "stray-shard model.safetensors"}}},
		{name: "single file beside shards, no index", files: map[string]string{"model.safetensors": shard(t, 1, "a"), s1: shard(t, 1, "b")},
			want: summary{Tensors: []string{"a model.safetensors"}, Findings: []string{"stray-shard " + s1}}},
		{name: "consolidated beside shards", files: map[string]string{"consolidated-00001-of-00001.safetensors": shard(t, 1, "a"), "model-00001-of-00001.safetensors": shard(t, 1, "b")},
			want: summary{Tensors: []string{"b model-00001-of-00001.safetensors"}, Findings: []string{"stray-shard consolidated-00001-of-00001.safetensors"}}},
		{name: "torch beside safetensors", files: map[string]string{"model.safetensors": shard(t, 1, "a"), "pytorch_model.bin": "whatever"},
			want: summary{Tensors: []string{"a model.safetensors"}, Findings: []string{"other-format pytorch_model.bin"}}},
		{name: "safetensors called bin", files: map[string]string{"pytorch_model.bin": shard(t, 1, "a")},
			want: summary{Tensors: []string{"a pytorch_model.bin"}}},
		{name: "what training leaves", files: map[string]string{"model.safetensors": shard(t, 1, "a"), "training_args.bin": "x", "optimizer.pt": "x", "rng_state_0.pth": "x", "scheduler.pt": "x"},
			want: summary{Tensors: []string{"a model.safetensors"}}},
		{name: "two indexes", files: map[string]string{s1: shard(t, 1, "a"), stIdx: indexOf("a " + s1), "model.fp16.safetensors.index.json": indexOf("a " + s2)},
			want: summary{Tensors: []string{"a " + s1}, Findings: []string{"other-index model.fp16.safetensors.index.json"}}},
		{name: "unfinished download", files: map[string]string{"model.safetensors": shard(t, 1, "a"), "model-2.safetensors.incomplete": "x"},
			want: summary{Tensors: []string{"a model.safetensors"}, Findings: []string{"incomplete-download model-2.safetensors.incomplete"}}},
		{name: "total_size is text", files: map[string]string{"model.safetensors": shard(t, 1, "a"), stIdx: `{"metadata":{"total_size":"8"},"weight_map":{"a":"model.safetensors"}}`},
			want: summary{Tensors: []string{"a model.safetensors"}, Findings: []string{"index-total-size " + stIdx}}},
		{name: "metadata null, other keys", files: map[string]string{"model.safetensors": shard(t, 1, "a"), stIdx: `{"x":[1],"metadata":null,"weight_map":{"a":"model.safetensors"}}`},
			want: summary{Tensors: []string{"a model.safetensors"}}},
		{name: "no tensors at all", files: map[string]string{"model.safetensors": shard(t, 1)},
			want: summary{Findings: []string{"no-tensors model.safetensors"}}},

		{name: "nothing", files: map[string]string{"README.md": "x"}, fails: "no weights"},
		{name: "weights below", files: map[string]string{"unet/model.safetensors": shard(t, 1, "a")}, fails: "folder unet holds some"},
		{name: "LFS pointer", files: map[string]string{"model.safetensors": "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 4900000000\n"}, fails: "git lfs pull"},
		{name: "web page for weights", files: map[string]string{"model.safetensors": "\n<!DOCTYPE html><html>"}, fails: "model.safetensors: a web page in place"},
		{name: "a server's answer for weights", files: map[string]string{"pytorch_model.bin": "Entry not found"}, fails: `text in place of the weights, "Entry not found"`},
		{name: "files beside", files: map[string]string{"model.safetensors": shard(t, 1, "a"), "tokenizer.json": `{"a": 1}`, "vocab.txt": "a", "x.py": "", "README.md": "<html>", "notes.json": "{"},
			want: summary{Tensors: []string{"a model.safetensors"}}},
		{name: "files beside that are not", files: map[string]string{"model.safetensors": shard(t, 1, "a"), "tokenizer.json": `{"a": `, "tokenizer_config.json": "<html>", "vocab.txt": "", "preprocessor_config.json": "<html>", "spiece.model": "version https://git-lfs.github.com/spec/v1\n",
			"added_tokens.json": `{"a": "` + strings.Repeat("x", 2<<20), "vocab.json": `{"a": "` + strings.Repeat("x", 2<<20) + "\"}\n"},
			want: summary{Tensors: []string{"a model.safetensors"}, Findings: []string{"broken-file added_tokens.json", "broken-file preprocessor_config.json", "broken-file spiece.model", "broken-file tokenizer.json", "broken-file tokenizer_config.json", "broken-file vocab.txt"}}},
		{name: "torn shard", files: map[string]string{s1: "torn", s2: shard(t, 1, "a")}, fails: s1},
		{name: "two torn shards, both named", files: map[string]string{s1: "torn", s2: "torn"}, fails: s2},
		{name: "empty shard", files: map[string]string{"pytorch_model.bin": ""}, fails: "empty"},
		{name: "PNG called pt", files: map[string]string{"m.pt": "\x89PNG\r\n\x1a\n"}, fails: "89 50 4e 47"},
		{name: "folder called like a shard", files: map[string]string{"model.safetensors/x": "x"}, fails: "model.safetensors: a folder"},
		{name: "index is not JSON", files: map[string]string{"model.safetensors": shard(t, 1, "a"), stIdx: "{"}, fails: stIdx},
		{name: "index names no weights", files: map[string]string{"model.safetensors": shard(t, 1, "a"), "x.index.json": indexOf("a x.txt")}, fails: "names no weight files"},
		{name: "several gguf", files: map[string]string{"m-q4.gguf": "GGUF", "m-q8.gguf": "GGUF"}, fails: "name one"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			writeFiles(t, dir, c.files)
			o, err := Open(t.Context(), dir, Options{})
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Fatalf("error %v, want %q in it", err, c.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer o.Close()
			if d := cmp.Diff(c.want, summarize(o)); d != "" {
				t.Error(d)
			}
			for _, f := range o.Findings() {
				if f.Message == "" || !strings.Contains(f.Message, f.File) {
					t.Errorf("finding %v does not name its file", f)
				}
			}
			if o.Path() != dir {
				t.Errorf("path %s", o.Path())
			}
		})
	}
}

// TestPart: one shard named by itself is read, and said to be a part.
func TestPart(t *testing.T) {
	dir := t.TempDir()
	split := "GGUF\x03\x00\x00\x00" + strings.Repeat("\x00", 8) + "\x02" + strings.Repeat("\x00", 7) +
		"\x08\x00\x00\x00\x00\x00\x00\x00split.no\x02\x00\x00\x00\x01\x00" + "\x0b\x00\x00\x00\x00\x00\x00\x00split.count\x02\x00\x00\x00\x03\x00"
	writeFiles(t, dir, map[string]string{s1: shard(t, 1, "a"), "m.gguf": split, "model-00001-of-00001.safetensors": shard(t, 1, "a")})
	for name, want := range map[string]string{s1: "part 1 of 2", "m.gguf": "part 2 of 3", "model-00001-of-00001.safetensors": ""} {
		c, err := Open(t.Context(), filepath.Join(dir, name), Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		i := slices.IndexFunc(c.Findings(), func(f tensor.Finding) bool { return f.Rule == "part-of-set" })
		if (i >= 0) != (want != "") || i >= 0 && !strings.Contains(c.Findings()[i].Message, want) {
			t.Errorf("%s: findings %v, want %q", name, c.Findings(), want)
		}
	}
}

// TestConfigBeside: the config.json beside a file that is named by itself is read,
// where the name is and not where a link leads to.
func TestConfigBeside(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		"with/model.safetensors": shard(t, 1, "a"), "with/config.json": `{"model_type": "llama"}`,
		"without/model.safetensors": shard(t, 1, "a"), "blobs/abc": shard(t, 1, "a"), "blobs/config.json": `{}`,
		"link/config.json": `{"model_type": "gemma"}`, "broken/model.safetensors": shard(t, 1, "a"), "broken/config.json/x": "",
	})
	if err := os.Symlink("../blobs/abc", filepath.Join(dir, "link/model.safetensors")); err != nil {
		t.Fatal(err)
	}
	for folder, want := range map[string]string{"with": `{"model_type": "llama"}`, "without": "", "link": `{"model_type": "gemma"}`} {
		c, err := Open(t.Context(), filepath.Join(dir, folder, "model.safetensors"), Options{})
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
		named := slices.ContainsFunc(c.Files(), func(f tensor.File) bool { return f.Name == "config.json" })
		if string(c.Config()) != want || named != (want != "") || len(c.Tensors()) != 1 {
			t.Errorf("%s: config %q, want %q; files %v", folder, c.Config(), want, c.Files())
		}
	}
	if _, err := Open(t.Context(), filepath.Join(dir, "broken/model.safetensors"), Options{}); err == nil || !strings.Contains(err.Error(), "config.json: ") {
		t.Errorf("a config.json that is a folder: %v", err)
	}
}

// TestTwice: equal and unequal copies of a tensor are told apart by hashing, and
// the chosen one is the index's.
func TestTwice(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{
		s1: shard(t, 1, "a", "b"), s2: shard(t, 1, "a"), "model-old.safetensors": shard(t, 2, "b"),
		stIdx: indexOf("a "+s2, "b "+s1),
	})
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for range 2 { // hashing again changes nothing
		if _, err := c.Hash(context.Background(), HashOptions{}); err != nil {
			t.Fatal(err)
		}
		want := []string{"duplicate-differs model-old.safetensors b", "duplicate-equal " + s1 + " a", "stray-shard model-old.safetensors"}
		if d := cmp.Diff(want, summarize(c).Findings); d != "" {
			t.Error(d)
		}
	}
}

// TestLinks: links inside the folder and from a snapshot of the hf cache into its
// blobs are followed, all others refused.
func TestLinks(t *testing.T) {
	base := t.TempDir()
	repo := filepath.Join(base, "models--org--m")
	writeFiles(t, base, map[string]string{
		"secret": shard(t, 1, "secret"), "models--org--m/blobs/abc": shard(t, 1, "a"), "models--org--m/other/abc": shard(t, 1, "a"),
		"models--org--m/refs/main": "1111", "plain/real.safetensors": shard(t, 1, "a"),
	})
	link := func(target, name string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(target, name); err != nil {
			t.Fatal(err)
		}
	}
	const m = "model.safetensors"
	link("../../blobs/abc", filepath.Join(repo, "snapshots/1111", m))
	link("../../other/abc", filepath.Join(repo, "snapshots/2222", m))
	link("../../../secret", filepath.Join(repo, "snapshots/3333", m))
	link("../../blobs/gone", filepath.Join(repo, "snapshots/4444", m))
	link("real.safetensors", filepath.Join(base, "plain", m))
	link("../secret", filepath.Join(base, "escape", m))
	link(filepath.Join(base, "secret"), filepath.Join(base, "absolute", m))
	link(m, filepath.Join(base, "loop", m))
	for _, c := range []struct{ dir, fails string }{
		{filepath.Join(repo, "snapshots/1111"), ""},
		{filepath.Join(repo, "snapshots/2222"), "leads out"},
		{filepath.Join(repo, "snapshots/3333"), "leads out"},
		{filepath.Join(repo, "snapshots/4444"), "leads nowhere"},
		{filepath.Join(base, "plain"), ""},
		{filepath.Join(base, "escape"), "is not followed"},
		{filepath.Join(base, "absolute"), "is not followed"},
		{filepath.Join(base, "loop"), "symbolic link"},
	} {
		o, err := Open(t.Context(), c.dir, Options{})
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s: error %v, want %q", c.dir, err, c.fails)
		}
		if err == nil {
			if _, ok := o.Lookup("a"); !ok {
				t.Errorf("%s: %v", c.dir, o.Tensors())
			}
			o.Close()
		}
	}
	// A file named by its user may be a link to anywhere.
	if o, err := Open(t.Context(), filepath.Join(base, "escape", m), Options{}); err != nil || o.Tensors()[0].Path != "secret" || o.Tensors()[0].File != m {
		t.Errorf("a link named on the command line: %v", err)
	}
}
