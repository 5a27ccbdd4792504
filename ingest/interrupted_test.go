package ingest

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"wreg/ingest/folder"
	"wreg/ingest/ingesttest"
	"wreg/ingest/interrupt"
)

// TestInterrupted: opening, linting and reindexing end with their context, whatever
// they are at: index, config, shards, or joining what these say.
func TestInterrupted(t *testing.T) {
	dir := t.TempDir()
	const n = 6000
	var names [2][]string
	var entries []string
	for i := range n {
		name := fmt.Sprintf("model.layers.%d.weight", i)
		names[i%2] = append(names[i%2], name)
		entries = append(entries, name+" "+[]string{s1, s2}[i%2])
	}
	writeFiles(t, dir, map[string]string{s1: shard(t, 1, names[0]...), s2: shard(t, 1, names[1]...), stIdx: indexOf(entries...), "config.json": `{"model_type": "x"}`})
	parse, check, join := int64(n*7/interrupt.Every), int64(n/interrupt.Every), int64(n/interrupt.Every)
	index := int64(n / interrupt.Every)
	for _, c := range []struct {
		name  string
		looks int64
		work  func(ctx context.Context) error
	}{
		{"folder", index + parse + check + join, func(ctx context.Context) error { return opened(Open(ctx, dir, Options{Jobs: 1})) }},
		{"index", index + parse + check + join, func(ctx context.Context) error { return opened(Open(ctx, filepath.Join(dir, stIdx), Options{Jobs: 1})) }},
		{"file", (parse + check) / 2, func(ctx context.Context) error { return opened(Open(ctx, filepath.Join(dir, s1), Options{})) }},
		{"lint", index + parse + check + join, func(ctx context.Context) error { _, err := Lint(ctx, dir, Options{Jobs: 1}); return err }},
		{"reindex", index + parse + check, func(ctx context.Context) error { _, err := Reindex(ctx, dir); return err }},
	} {
		t.Run(c.name, func(t *testing.T) { ingesttest.Interrupted(t, c.looks, c.work) })
	}
}

func opened(c *Checkpoint, err error) error {
	if err != nil {
		return err
	}
	return c.Close()
}

// TestManyShards: shards that an index names and that are not there are reported once
// each; more than it may name are refused.
func TestManyShards(t *testing.T) {
	const many = 10_000
	dir := t.TempDir()
	index := func(n int) string {
		entries := make([]string, n)
		for i := range entries {
			entries[i] = fmt.Sprintf("t%d m%d.safetensors", i, i)
		}
		return indexOf(entries...)
	}
	writeFiles(t, dir, map[string]string{"m0.safetensors": shard(t, 1, "t0"), stIdx: index(many)})
	c, err := Open(t.Context(), dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if n := len(c.Findings()); n != many-1 {
		t.Errorf("%d findings, want %d", n, many-1)
	}
	writeFiles(t, dir, map[string]string{stIdx: index(folder.MaxEntries + 1)})
	if _, err := Open(t.Context(), dir, Options{}); err == nil || !strings.Contains(err.Error(), "more than 100000 shards") {
		t.Error(err)
	}
}

// TestHoldings: files within their limits may be too many together.
func TestHoldings(t *testing.T) {
	for _, c := range []struct {
		tensors, bytes int64 // of the files before
		want           string
	}{
		{0, 0, ""},
		{524_287, 0, ""},
		{524_288, 0, "the checkpoint has 524289; at most 524288"},
		{0, maxHeaders - 1000, ""},
		{0, maxHeaders, "at most 134217728 are held"},
	} {
		f, err := Open(t.Context(), writeFile(t, shard(t, 1, "a")), Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		h := holdings{tensors: c.tensors, bytes: c.bytes}
		if err := h.add(f.open[0]); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%d tensors, %d bytes: %v, want %q", c.tensors, c.bytes, err, c.want)
		}
	}
}

func writeFile(t *testing.T, text string) string {
	dir := t.TempDir()
	writeFiles(t, dir, map[string]string{s1: text})
	return filepath.Join(dir, s1)
}
