package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/shards"
	"wreg/ingest/strictjson"
)

// Reindexed says what Reindex did.
type Reindexed struct {
	Name      string // of the index, in the folder
	Shards    int
	Tensors   int
	TotalSize int64 // bytes of all tensors
	Changed   bool  // false: the index was right already and was not touched
}

// Reindex writes the index that says what the shards in dir hold: beside the old
// one, then renamed over it. The shards are read, never touched, and an old index
// decides nothing but this: one that is right stays as it is. It refuses when the
// numbers of the shards say that one is absent, when the files are of two sets, when
// two files hold one tensor, which an index would hide, or when the new index would
// leave out a file that the old one names.
func Reindex(ctx context.Context, dir string) (*Reindexed, error) {
	c := &Checkpoint{root: dir}
	defer c.Close()
	d, err := folder.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	in := files.Local{Folder: d}
	entries, err := d.List()
	if err != nil {
		return nil, err
	}
	k := shards.Sort(entries)
	f := k.Family(func(f *shards.Family) bool { return slices.Contains(k.Indexes, f.Single+shards.IndexSuffix) })
	if f == nil || f.Single == "" || f.Name == "npz" || len(k.Weights[f.Name]) == 0 {
		return nil, fmt.Errorf("%s: no safetensors or torch weights to index", dir)
	}
	r := &Reindexed{Name: f.Single + shards.IndexSuffix}
	old, err := oldIndex(ctx, in, r.Name)
	if err != nil {
		return nil, err
	}
	if old != nil {
		k.Keep(old)
	}
	files := k.Weights[f.Name]
	x := newFetcher(ctx, in, 0, nil)
	defer x.close()
	draft := shards.Draw(f, files, old)
	if err := c.readPlan(ctx, x, &plan{read: draft.Shards, strays: shards.Without(files, draft.Shards)}); err != nil {
		return nil, err
	}
	fits := c.fits(old)
	if err := errors.Join(draft.Refused, c.repeated()); err != nil {
		if fits {
			err = errors.Join(fmt.Errorf("%s is right about the files it names and stays as it is; it cannot name the others", old.Name), err)
		}
		return nil, err
	}
	text, total, err := c.indexText()
	if err != nil {
		return nil, err
	}
	r.Shards, r.Tensors, r.TotalSize = len(draft.Shards), len(c.tensors), total
	if fits && len(old.Shards) == len(draft.Shards) { // named are the same: none would be left out
		return r, nil
	}
	r.Changed = true
	return r, d.Replace(r.Name, text)
}

// oldIndex reads the index that is to be replaced; nil when there is none, or one
// that cannot be understood. What is not a regular file, or too large, is not an
// index, and is not replaced.
func oldIndex(ctx context.Context, d files.Files, name string) (*shards.Index, error) {
	text, _, err := readText(ctx, d, name, shards.MaxIndex)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	x, err := shards.ReadIndex(ctx, name, text)
	if err != nil || len(x.Shards) == 0 {
		return nil, ctx.Err()
	}
	return x, nil
}

// indexText is the index of the open checkpoint, as transformers writes it.
func (c *Checkpoint) indexText() (text []byte, total int64, err error) {
	var b bytes.Buffer
	for i := range c.tensors {
		t := &c.tensors[i]
		total += t.Bytes
		line, err := strictjson.AppendString([]byte("    "), t.Path)
		if err == nil {
			line, err = strictjson.AppendString(append(line, ": "...), t.File)
		}
		if err != nil {
			return nil, 0, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		if i > 0 {
			b.WriteString(",\n")
		}
		b.Write(line)
	}
	head := fmt.Sprintf("{\n  \"metadata\": {\n    \"total_size\": %d\n  },\n  \"weight_map\": {\n", total)
	return []byte(head + b.String() + "\n  }\n}\n"), total, nil
}
