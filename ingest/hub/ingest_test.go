package hub

import (
	"context"
	"crypto/sha256"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/ingest"
	"wreg/registry/tensor"
)

// TestIngest reads what other software wrote, of every format, from a folder and from the hub: tensors and
// findings are the same, so are the bytes of each tensor; what one refuses the other does.
func TestIngest(t *testing.T) {
	const fixtures = "../testdata/fixtures"
	ctx := context.Background()
	read := 0
	err := filepath.WalkDir(fixtures, func(dir string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() || dir == fixtures || strings.Contains(dir, "hostile") {
			return err
		}
		files := map[string]string{}
		entries, err := os.ReadDir(dir)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if data, err := os.ReadFile(filepath.Join(dir, e.Name())); err == nil {
				files[e.Name()] = string(data)
			}
		}
		f, client := serve(t, files)
		var targets []string
		for name := range files {
			targets = append(targets, "/"+name)
		}
		slices.Sort(targets)
		for _, target := range append([]string{""}, targets...) {
			here, herErr := ingest.Open(ctx, dir+target, ingest.Options{})
			p, err := open(t, client, "hf://acme/tiny"+target)
			if err != nil {
				t.Fatal(err)
			}
			there, err := ingest.OpenPlace(ctx, p, ingest.Options{})
			if (err == nil) != (herErr == nil) {
				t.Errorf("%s%s: here %v, from the hub %v", dir, target, herErr, err)
			}
			if err != nil || herErr != nil {
				continue
			}
			read++
			if !slices.EqualFunc(here.Tensors(), there.Tensors(), func(a, b tensor.Info) bool {
				return a.Path == b.Path && a.File == b.File && a.Offset == b.Offset && a.Bytes == b.Bytes && a.DType == b.DType && slices.Equal(a.Shape, b.Shape)
			}) {
				t.Errorf("%s%s: other tensors", dir, target)
			}
			if !slices.Equal(names(here.Findings()), names(there.Findings())) {
				t.Errorf("%s%s: findings %v, from the hub %v", dir, target, here.Findings(), there.Findings())
			}
			for _, info := range here.Tensors() {
				a, aErr := content(here, info)
				if b, bErr := content(there, info); a != b || (aErr == nil) != (bErr == nil) {
					t.Errorf("%s%s: %s: other bytes (%v, %v)", dir, target, info.Path, aErr, bErr)
				}
			}
			verified(t, dir+target, here, there, files)
			if there.Path() != p.Pin() || !strings.HasPrefix(there.Path(), "hf://acme/tiny@"+commit) {
				t.Error(there.Path())
			}
			if err := here.Close(); err != nil {
				t.Error(err)
			}
			if err := there.Close(); err != nil {
				t.Error(err)
			}
		}
		f.Close()
		return nil
	})
	if err != nil || read < 20 {
		t.Errorf("%d checkpoints were read (%v)", read, err)
	}
}

// TestNothingIsTakenForRead: what cannot be asked for says nothing of what is in it: neither that it is no part of the
// model nor that there is none.
func TestNothingIsTakenForRead(t *testing.T) {
	files := map[string]string{}
	data, err := os.ReadFile("../testdata/fixtures/mlx/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range []string{"model.safetensors", "model-old.safetensors"} {
		data[len(data)-1] = byte(i) // else the header of the one is remembered as that of the other
		files[name] = string(data)
	}
	files["adapter_config.json"] = "{}"
	for _, lost := range []string{"model-old.safetensors", "adapter_config.json", "model.safetensors"} {
		f, client := serve(t, files)
		f.refuse = func(path string) (int, string) {
			if strings.HasSuffix(path, "/"+lost) {
				return 503, ""
			}
			return 0, ""
		}
		p, err := open(t, client, "hf://acme/tiny")
		if err != nil {
			t.Fatal(err)
		}
		c, err := ingest.OpenPlace(context.Background(), p, ingest.Options{})
		if err == nil {
			t.Fatalf("%s: read without it: %v", lost, c.Findings())
		}
		wants(t, err, "hf://acme/tiny@main/"+lost+": after 6 tries: ", "503 Service Unavailable")
	}
}

// verified reads the checkpoint in every way: the tensors are hashed to the same, and so are the findings; the digests of
// the files are those of their bytes where each was read whole.
func verified(t *testing.T, what string, here, there *ingest.Checkpoint, files map[string]string) {
	t.Helper()
	ctx := context.Background()
	want, wantErr := here.Hash(ctx, ingest.HashOptions{})
	findings := slices.Clone(here.Findings())
	for _, f := range here.Files() {
		if f.Digest != "" || f.Trust != tensor.TrustUnset {
			t.Errorf("%s: %s, hashed: %q, %v", what, f.Name, f.Digest, f.Trust)
		}
	}
	for name, c := range map[string]*ingest.Checkpoint{"here": here, "there": there} {
		got, err := c.Hash(ctx, ingest.HashOptions{Verify: true})
		if name == "there" && strings.Contains(what, "dcp_") && err != nil && strings.Contains(err.Error(), "a distributed checkpoint") {
			continue
		}
		if (err == nil) != (wantErr == nil) {
			t.Errorf("%s, verified %s: %v, hashed: %v", what, name, err, wantErr)
		}
		if err != nil {
			continue
		}
		if !slices.EqualFunc(want, got, func(a, b tensor.Info) bool {
			return a.Path == b.Path && a.Hash == b.Hash && a.Sum == b.Sum && slices.Equal(a.Slices, b.Slices) && (a.Stats == nil) == (b.Stats == nil) && (a.Stats == nil || *a.Stats == *b.Stats)
		}) {
			t.Errorf("%s, verified %s: other tensors than hashed", what, name)
		}
		if !slices.Equal(findings, c.Findings()) {
			t.Errorf("%s, verified %s: findings %v, hashed %v", what, name, c.Findings(), findings)
		}
		for _, f := range c.Files() {
			sum := tensor.Hash(sha256.Sum256([]byte(files[f.Name]))).String()
			if f.Format == "json" && f.Digest != "" && f.Digest != sum || f.Format != "json" && (f.Digest != sum || !f.Trust.Proven()) {
				t.Errorf("%s, verified %s: %s: %q, %v, want %q", what, name, f.Name, f.Digest, f.Trust, sum)
			}
		}
	}
}

func names(list []tensor.Finding) (out []string) {
	for _, f := range list {
		out = append(out, f.Rule+" "+f.File+" "+f.Tensor)
	}
	return out
}

func content(c *ingest.Checkpoint, info tensor.Info) (string, error) {
	r, err := c.Bytes(info.Path)
	if err != nil {
		return "", err
	}
	data := make([]byte, info.Bytes)
	err = tensor.ReadFull(r, data, 0)
	return string(data), err
}
