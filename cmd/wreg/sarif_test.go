package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/owenrumney/go-sarif/v3/pkg/report/v210/sarif"
)

// sarifOf runs a verb and gives its SARIF, which is valid, and whose results code scanning
// takes: each lies in a file that is there, and is known again.
func sarifOf(t *testing.T, want int, args ...string) *sarif.Run {
	t.Helper()
	var out, talk bytes.Buffer
	if got := run(t.Context(), append(args, "--format", "sarif"), nil, &out, &talk); got != want {
		t.Fatalf("%v: status %d, want %d: %s", args, got, want, &talk)
	}
	d := json.NewDecoder(bytes.NewReader(out.Bytes()))
	d.DisallowUnknownFields()
	if err := d.Decode(&sarif.Report{}); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
	rep, err := sarif.FromBytes(out.Bytes())
	if err == nil {
		err = rep.Validate()
	}
	if err != nil {
		t.Fatalf("%v: %v\n%s", args, err, &out)
	}
	r := rep.Runs[0]
	for _, rule := range r.Tool.Driver.Rules {
		if rule.ShortDescription == nil || *rule.ShortDescription.Text == "" || rule.Help == nil {
			t.Errorf("%v: rule %s is not described", args, *rule.ID)
		}
	}
	seen := map[string]bool{}
	for _, f := range r.Results {
		print := f.PartialFingerprints["primaryLocationLineHash"]
		if print == "" || seen[print] {
			t.Errorf("%v: fingerprint %q of %s is empty, or another's", args, print, *f.Message.Text)
		}
		seen[print] = true
		if rule := r.Tool.Driver.Rules[f.RuleIndex]; *rule.ID != *f.RuleID {
			t.Errorf("%v: rule %s has the index of %s", args, *f.RuleID, *rule.ID)
		}
		if len(f.Locations) == 0 || f.Locations[0].PhysicalLocation == nil {
			t.Errorf("%v: %s lies nowhere", args, *f.Message.Text)
			continue
		}
		at := f.Locations[0].PhysicalLocation.ArtifactLocation
		u, err := url.Parse(*at.URI)
		if err != nil || u.IsAbs() || *at.URIBaseID != "%SRCROOT%" || strings.HasPrefix(u.Path, "/") {
			t.Errorf("%v: uri %s, %v: want one relative to %%SRCROOT%%", args, *at.URI, err)
			continue
		}
		if info, err := os.Stat(filepath.Join(sourceRoot(), filepath.FromSlash(u.Path))); err != nil || info.IsDir() {
			t.Errorf("%v: uri %s is no file: %v", args, *at.URI, err)
		}
	}
	return r
}

// urisOf are the files of a run, sorted, and its rules.
func urisOf(r *sarif.Run) (uris, rules []string) {
	for _, f := range r.Results {
		uris = append(uris, *f.Locations[0].PhysicalLocation.ArtifactLocation.URI)
		rules = append(rules, *f.RuleID)
	}
	slices.Sort(uris)
	slices.Sort(rules)
	return slices.Compact(uris), slices.Compact(rules)
}

func TestSARIFLies(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "registry.db"))
	wreg := func(want int, args ...string) {
		t.Helper()
		var out, talk bytes.Buffer
		if got := run(t.Context(), args, nil, &out, &talk); got != want {
			t.Fatalf("%v: status %d: %s", args, got, &talk)
		}
	}
	wreg(0, "synth", "--arch", "llama", "--out", "m/my model, ü%", "--shard-bytes", "60000", "--without", "layers.1.mlp.up_proj.weight")
	wreg(0, "synth", "--arch", "llama", "--out", "m/one", "--without", "model.norm.weight")
	if err := os.Remove("m/one/model.safetensors.index.json"); err != nil {
		t.Fatal(err)
	}
	wreg(0, "ingest", "m/my model, ü%", "--name", "sharded")
	wreg(0, "ingest", "m/one")
	wreg(0, "ingest", "m/one/model.safetensors", "--name", "file")

	const index = "m/my%20model%2C%20%C3%BC%25/model.safetensors.index.json"
	expect := func(r *sarif.Run, n int, wantURIs, wantRules []string) {
		t.Helper()
		if uris, rules := urisOf(r); len(r.Results) != n || !slices.Equal(uris, wantURIs) || !slices.Equal(rules, wantRules) {
			t.Errorf("%d results in %q by %q; want %d in %q by %q", len(r.Results), uris, rules, n, wantURIs, wantRules)
		}
	}
	expect(sarifOf(t, 0, "query", "gaps in sharded"), 1, []string{index}, []string{"missing"})
	expect(sarifOf(t, 1, "diff", "one", "sharded"), 2, []string{index}, []string{"extra", "missing"})
	expect(sarifOf(t, 0, "query", "gaps in sharded, one"), 2, []string{index, "m/one/config.json"}, []string{"missing"})
	expect(sarifOf(t, 0, "query", "missing * in file"), 1, []string{"m/one/config.json"}, []string{"missing"})
	expect(sarifOf(t, 0, "query", "find * in sharded group by layer select layer, count()"), 3, []string{index}, []string{"query"})
	expect(sarifOf(t, 1, "lint", "m/one"), 1, []string{"m/one/config.json"}, []string{"architecture-missing"})

	// An index says of a tensor that is nowhere; a shard that is not there is no place.
	broken := "m/my model, ü%"
	if err := os.Remove(filepath.Join(broken, "model-00002-of-00003.safetensors")); err != nil {
		t.Fatal(err)
	}
	uris, _ := urisOf(sarifOf(t, 1, "lint", broken))
	if !slices.Equal(uris, []string{index}) {
		t.Errorf("lint of a folder without a shard: %q", uris)
	}
	uris, _ = urisOf(sarifOf(t, 1, "verify", "sharded"))
	if !slices.Equal(uris, []string{index}) {
		t.Errorf("verify of a folder without a shard: %q", uris)
	}

	checks := "check whole\n  expect none\n  missing *\ncheck broken\n  expect none\n  missing * in nowhere\n"
	if err := os.WriteFile("my.checks", []byte(checks), 0o666); err != nil {
		t.Fatal(err)
	}
	expect(sarifOf(t, 2, "test", "one", "--file", "my.checks"), 2, []string{"m/one/config.json", "my.checks"}, []string{"wreg"})

	// In a folder of a repository, paths begin at its root; elsewhere they are whole.
	if err := os.Mkdir(".git", 0o777); err != nil {
		t.Fatal(err)
	}
	t.Chdir("m/one")
	expect(sarifOf(t, 0, "query", "gaps in one"), 1, []string{"m/one/config.json"}, []string{"missing"})
	other := t.TempDir()
	t.Chdir(other)
	var out, talk bytes.Buffer
	run(t.Context(), []string{"query", "gaps in one", "--format", "sarif"}, nil, &out, &talk)
	if !strings.Contains(out.String(), `"file://`) || strings.Contains(out.String(), `"uriBaseId"`) {
		t.Errorf("a model outside of the working folder: %s%s", &out, &talk)
	}
}

// A verb that lists is refused where its rows would be shown as faults, before anything is done.
func TestListsAreNoFaults(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "registry.db"))
	for _, format := range []string{"junit", "github", "sarif"} {
		for _, line := range []string{"ls", "ingest m", "arch ls", "synth --arch llama --out m", "lint --rules", "show m", "coverage m", "gc", "version"} {
			var out, talk bytes.Buffer
			if got := run(t.Context(), append(strings.Fields(line), "--format", format), nil, &out, &talk); got != exitTrouble || out.Len() > 0 || !strings.Contains(talk.String(), "as faults") {
				t.Errorf("%s --format %s: status %d: %s%s", line, format, got, &out, &talk)
			}
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("something was done: %v, %v", entries, err)
	}
}

// What lies in place of weights is a finding in the file, not the end of the lint.
func TestLintFindsWhatIsNoWeights(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("WREG_REGISTRY", filepath.Join(t.TempDir(), "registry.db"))
	if status := run(t.Context(), strings.Fields("synth --arch llama --out m"), nil, io.Discard, io.Discard); status != exitFine {
		t.Fatal(status)
	}
	whole, err := os.ReadFile("m/model.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	const pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4976698672\n"
	for i, c := range []struct{ file, holds, says string }{
		{"model.safetensors", pointer, "Git LFS pointer of 75 bytes in place of the weights (4.63 GiB)"},
		{"model-00001-of-00002.safetensors", pointer, "Git LFS pointer"},
		{"model.safetensors.index.json", pointer, "Git LFS pointer"},
		{"model.safetensors.index.json", "<!DOCTYPE html>", "web page"},
		{"model.safetensors.index.json", `{"weight_map": `, "index.json"},
		{"model.safetensors", "<html><head></head></html>", "web page"},
		{"model.safetensors", "<html>" + strings.Repeat("\xff\x00", 300), "web page"},
		{"pytorch_model.bin", "\r\n<!doctype HTML>", "web page"},
		{"model.gguf", `<?xml version="1.0"?><Error>`, "web page"},
		{"model.safetensors", `{"error":"Repository not found"}`, "Repository not found"},
		{"model.safetensors", string(whole[:5000]), "the first of 21 faults"},
		{"model.safetensors", string(whole[:4]), "no room"},
		{"model.safetensors", "\x1f\x8b\x08\x00" + string(whole[:4000]), "compressed with gzip"},
		{"model.safetensors", "", "0 bytes"},
		{"pytorch_model.bin", "PK\x03\x04" + strings.Repeat("x", 50), "cut off"},
		{"model.gguf", "GGUF\x03\x00\x00\x00", "truncated"},
		{"weights.npz", "PK\x03\x04" + strings.Repeat("x", 50), "cut off"},
		{"a.npy", "\x93NUMPY\x01\x00", "npy"},
	} {
		dir := fmt.Sprintf("m%d", i)
		if err := os.Mkdir(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, c.file), []byte(c.holds), 0o666); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(c.file, "index.json") {
			if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), whole, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		paths := []string{dir}
		if !strings.HasSuffix(c.file, "index.json") {
			paths = append(paths, dir+"/"+c.file)
		}
		for _, path := range paths {
			r := sarifOf(t, exitFindings, "lint", path)
			uris, rules := urisOf(r)
			if !slices.Equal(uris, []string{dir + "/" + c.file}) || rules[0] != "refused" || !strings.Contains(*r.Results[0].Message.Text, c.says) {
				t.Errorf("lint %s with %.40q: %q by %q: %s", path, c.holds, uris, rules, *r.Results[0].Message.Text)
			}
		}
	}
	for _, path := range []string{"absent", t.TempDir()} {
		if status := run(t.Context(), []string{"lint", path}, nil, io.Discard, io.Discard); status != exitTrouble {
			t.Errorf("lint %s: status %d", path, status)
		}
	}
}
