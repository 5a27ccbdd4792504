package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"wreg/ingest"
	"wreg/ingest/remote/hubtest"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
)

// serve DIR serves DIR/ORG/NAME as a hub, which hf:// leads to from here on.
func serveCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: serve dir")
	}
	repos, root := map[string]fs.FS{}, ts.MkAbs(args[0])
	list, err := filepath.Glob(filepath.Join(root, "*", "*"))
	ts.Check(err)
	for _, dir := range list {
		name, err := filepath.Rel(root, dir)
		ts.Check(err)
		repos[filepath.ToSlash(name)] = os.DirFS(dir)
	}
	h, err := hubtest.Start(hubtest.Options{Repos: repos})
	ts.Check(err)
	ts.Defer(h.Close)
	ts.Setenv("HF_ENDPOINT", h.URL)
	ts.Setenv("HUB", h.URL)
}

// trusted runs wreg with a registry of its own, and gives what it says and its exit status.
func trusted(t *testing.T, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	var out, said bytes.Buffer
	status = run(t.Context(), args, strings.NewReader(""), &out, &said)
	return out.String(), said.String(), status
}

// tiny writes a checkpoint and gives the file of its weights.
func tiny(t *testing.T, dir string) (weights string) {
	t.Helper()
	c, err := synth.Golden(filepath.Join(goldens, "llama.json"))
	if err == nil {
		err = c.Write(dir, synth.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "model.safetensors")
}

// A file whose bytes are not those of its declared digest is refused with exit status 1, which names it and both
// digests; nothing of it is seen then. One that comes right when it is read again is taken.
func TestWrongDigest(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "r.db"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("HF_HOME", filepath.Join(dir, "hf"))
	weights := tiny(t, filepath.Join(dir, "acme", "tiny"))
	data, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(data)
	digest := hex.EncodeToString(sum[:])
	h, err := hubtest.Start(hubtest.Options{Repos: map[string]fs.FS{"acme/tiny": os.DirFS(filepath.Join(dir, "acme", "tiny"))}})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	t.Setenv("HF_ENDPOINT", h.URL)
	faults := func(specs ...string) {
		t.Helper()
		var list []hubtest.Fault
		for _, s := range specs {
			f, err := hubtest.Parse(s)
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, f)
		}
		h.Faults(list...)
	}
	if _, said, status := trusted(t, "ingest", "hf://acme/tiny", "--name", "headers"); status != 0 {
		t.Fatal(said)
	}

	faults("changed-silent:port=cdn")
	out, said, status := trusted(t, "ingest", "hf://acme/tiny", "--verify", "--name", "far")
	if status != 1 || strings.Contains(out, "far@1") || !strings.Contains(said, "model.safetensors") || !strings.Contains(said, digest) || strings.Count(said, "sha256")+strings.Count(said, "SHA-256") == 0 {
		t.Errorf("wrong bytes twice: exit %d, %q, %q", status, out, said)
	}
	if out, said, status := trusted(t, "ls", "far"); status != 2 {
		t.Errorf("what was refused is there: %d, %q, %q", status, out, said)
	}
	faults("changed-silent:port=cdn,first=1")
	if out, said, status := trusted(t, "ingest", "hf://acme/tiny", "--verify", "--name", "far"); status != 0 || !strings.Contains(out, "far@1") {
		t.Errorf("wrong bytes once: exit %d, %q, %q", status, out, said)
	}
	if h.Leaks() != 0 {
		t.Errorf("%d tokens leaked", h.Leaks())
	}

	// The cache of hf names blobs by their digests.
	repo := filepath.Join(dir, "cache2", "models--acme--tiny")
	commit := "0123456789012345678901234567890123456789"
	for _, at := range []string{"blobs", "snapshots/" + commit} {
		if err := os.MkdirAll(filepath.Join(repo, at), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	blob := filepath.Join(repo, "blobs", digest)
	if err := os.Symlink("../../blobs/"+digest, filepath.Join(repo, "snapshots", commit, "model.safetensors")); err != nil {
		t.Skip(err)
	}
	t.Setenv("HF_HUB_CACHE", filepath.Dir(repo))
	for _, c := range []struct {
		at     int // of the byte that is another; -1: none
		status int
	}{{len(data) - 5, 1}, {-1, 0}} {
		other := slices.Clone(data)
		if c.at >= 0 {
			other[c.at] ^= 1
		}
		if err := os.WriteFile(blob, other, 0o666); err != nil {
			t.Fatal(err)
		}
		got := sha256.Sum256(other)
		out, said, status := trusted(t, "ingest", "acme/tiny", "--verify", "--name", "cached")
		if status != c.status || c.status == 1 && (!strings.Contains(said, "model.safetensors: its SHA-256 is sha256:"+hex.EncodeToString(got[:])+", declared is sha256:"+digest) || strings.Contains(out, "cached@")) {
			t.Errorf("byte %d of the blob: exit %d, %q, %q", c.at, status, out, said)
		}
	}
	if out, _, _ := trusted(t, "show", "cached", "--json"); !strings.Contains(out, `"digest": "sha256:`+digest+`"`) || !strings.Contains(out, `"trust": "verified"`) {
		t.Error(out)
	}
}

// What is known of a file is taken over only where its header is the one that was read then, and a header that is
// another is told: the digest is not the file's.
func TestInherit(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "r.db"))
	weights := tiny(t, filepath.Join(dir, "m"))
	if _, said, status := trusted(t, "ingest", filepath.Join(dir, "m"), "--verify"); status != 0 {
		t.Fatal(said)
	}
	if _, said, status := trusted(t, "ingest", filepath.Join(dir, "m"), "--name", "hashed"); status != 0 {
		t.Fatal(said)
	}
	c, err := ingest.Open(t.Context(), weights, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data, err := os.ReadFile(weights)
	if err != nil {
		t.Fatal(err)
	}
	digest := tensor.Hash(sha256.Sum256(data)).String()
	a := &app{out: &bytes.Buffer{}, err: &bytes.Buffer{}}
	for _, x := range []struct {
		what   string
		change func(v *registry.Revision, f *tensor.File, list []tensor.Info) []tensor.Info
		want   tensor.Trust
		lie    string
	}{
		{"the same", func(_ *registry.Revision, _ *tensor.File, l []tensor.Info) []tensor.Info { return l }, tensor.TrustInherited, ""},
		{"another digest", func(_ *registry.Revision, f *tensor.File, l []tensor.Info) []tensor.Info {
			f.Digest = tensor.Hash{1}.String()
			return l
		}, tensor.TrustUnset, ""},
		{"no digest", func(_ *registry.Revision, f *tensor.File, l []tensor.Info) []tensor.Info {
			f.Digest = ""
			return l
		}, tensor.TrustUnset, ""},
		{"other names", func(v *registry.Revision, _ *tensor.File, l []tensor.Info) []tensor.Info {
			v.Naming.Strip = "model."
			return l
		}, tensor.TrustUnset, ""},
		{"fewer tensors", func(_ *registry.Revision, _ *tensor.File, l []tensor.Info) []tensor.Info { return l[1:] }, tensor.TrustUnset, "is in it there, and not here"},
		{"size", func(_ *registry.Revision, f *tensor.File, l []tensor.Info) []tensor.Info { f.Size++; return l }, tensor.TrustUnset, "bytes, and there"},
		{"dtype", func(_ *registry.Revision, _ *tensor.File, l []tensor.Info) []tensor.Info {
			l[3].DType = tensor.F16
			return l
		}, tensor.TrustUnset, l3(c)},
		{"shape", func(_ *registry.Revision, _ *tensor.File, l []tensor.Info) []tensor.Info {
			l[3].Shape = append(tensor.Shape{1}, l[3].Shape...)
			return l
		}, tensor.TrustUnset, l3(c)},
		{"offset", func(_ *registry.Revision, _ *tensor.File, l []tensor.Info) []tensor.Info { l[3].Offset += 2; return l }, tensor.TrustUnset, l3(c)},
		{"path", func(_ *registry.Revision, _ *tensor.File, l []tensor.Info) []tensor.Info {
			return append(l, tensor.Info{Path: "z", DType: tensor.F32, Shape: tensor.Shape{1}, Bytes: 4, File: l[0].File, Format: "safetensors"})
		}, tensor.TrustUnset, "is not in it there"},
	} {
		list := slices.Clone(c.Tensors())
		v := &registry.Revision{Model: "far", Root: "hf://acme/tiny@0", Files: slices.Clone(c.Files())}
		f := &v.Files[slices.IndexFunc(v.Files, func(f tensor.File) bool { return f.Format == "safetensors" })]
		f.Digest = digest
		given := x.change(v, f, list)
		got, err := a.inherit(t.Context(), v, given)
		if x.lie != "" {
			if !wrongDigest(err) || !strings.Contains(err.Error(), x.lie) || !strings.Contains(err.Error(), digest) || !strings.Contains(err.Error(), "model.safetensors in m@1") {
				t.Errorf("%s: %v, want %q", x.what, err, x.lie)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", x.what, err)
			continue
		}
		f = &v.Files[slices.IndexFunc(v.Files, func(f tensor.File) bool { return f.Format == "safetensors" })]
		known := !slices.ContainsFunc(got, func(i tensor.Info) bool { return i.Hash.IsZero() || i.Sum == tensor.Sum{} || i.Stats == nil })
		if f.Trust != x.want || known != (x.want == tensor.TrustInherited) || v.Hashed != known {
			t.Errorf("%s: %v, known %v, hashed %v", x.what, f.Trust, known, v.Hashed)
		}
		if slices.ContainsFunc(given, func(i tensor.Info) bool { return !i.Hash.IsZero() }) {
			t.Errorf("%s: what was given is changed", x.what)
		}
	}
}

// l3 is how the fourth tensor is called in an error.
func l3(c *ingest.Checkpoint) string { return `tensor "` + c.Tensors()[3].Path + `" is ` }

// A model that was verified over the network, and one that inherited what is known of it, answer every query as the one
// on disk does. One of which headers alone were read does so, or says that it was never read.
func TestSameAnswers(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "r.db"))
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
	t.Setenv("HF_HOME", filepath.Join(dir, "hf"))
	c, err := synth.Golden(filepath.Join(goldens, "hunyuan.json"))
	if err != nil {
		t.Fatal(err)
	}
	repos := map[string]fs.FS{}
	for _, name := range []string{"acme/tiny", "mirror/tiny"} {
		if err := c.Write(filepath.Join(dir, name), synth.Options{ShardBytes: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		repos[name] = os.DirFS(filepath.Join(dir, name))
	}
	h, err := hubtest.Start(hubtest.Options{Repos: repos})
	if err != nil {
		t.Fatal(err)
	}
	defer h.Close()
	t.Setenv("HF_ENDPOINT", h.URL)
	for _, args := range [][]string{
		{filepath.Join(dir, "acme", "tiny"), "--name", "local"},
		{"hf://acme/tiny", "--name", "headers"},
		{"hf://acme/tiny", "--name", "verified", "--verify"},
		{"hf://mirror/tiny", "--name", "inherited"},
	} {
		if _, said, status := trusted(t, append([]string{"ingest"}, args...)...); status != 0 {
			t.Fatalf("%q: %s", args, said)
		}
	}
	queries := []string{"find * select *", "find * where absmax > 0.1 and nans = 0", "find * where hash != null select path, hash", "find * select sum(zeros), max(absmax), min(min)",
		"find * group by template select template, count(hash), max(max)", "gaps", "gaps as mlx", "find * order by absmax desc, path limit 7", "find * where not infs > 0 limit 3"}
	for _, r := range query.Cookbook {
		queries = append(queries, r.Query)
	}
	never := 0
	for _, q := range queries {
		ask := func(model string) (out, said string, status int) {
			text := strings.ReplaceAll(q, "in *", "in "+model)
			out, said, status = trusted(t, "query", strings.ReplaceAll(text, "MODEL", "local"), "-m", model, "--format", "tsv")
			for _, level := range []string{"hashed", "header", "verified", "inherited"} { // the one column that differs
				out = strings.ReplaceAll(out, "\t"+level+"\t", "\tTRUST\t")
			}
			return strings.ReplaceAll(out, model+"@1", "MODEL@1"), said, status
		}
		want, said, status := ask("local")
		if status != 0 {
			t.Errorf("%s: exit %d, %s", q, status, said)
		}
		for _, model := range []string{"verified", "inherited"} {
			if got, said, status := ask(model); got != want || status != 0 {
				t.Errorf("%s of %s: exit %d, %s\n%s\nwant\n%s", q, model, status, said, got, want)
			}
		}
		switch got, said, status := ask("headers"); {
		case strings.Contains(said, "never read"), strings.Contains(said, "compared by name, shape and dtype only"):
			never++
			if status == 2 && got != "" {
				t.Errorf("%s of headers is refused and answered: %s", q, got)
			}
		case got != want || status != 0:
			t.Errorf("%s of headers: exit %d, %s\n%s\nwant\n%s", q, status, said, got, want)
		}
	}
	if never < 8 || never == len(queries) {
		t.Errorf("%d of %d queries ask for what was never read", never, len(queries))
	}
	if h.Leaks() != 0 {
		t.Errorf("%d tokens leaked", h.Leaks())
	}
}
