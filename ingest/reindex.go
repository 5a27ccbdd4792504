package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

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
	d, err := OpenFolder(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	entries, err := d.List()
	if err != nil {
		return nil, err
	}
	k := sortOut(entries)
	i := slices.IndexFunc(families, func(f family) bool { return f.single != "" && f.name != "npz" && len(k.weights[f.name]) > 0 })
	if i < 0 {
		return nil, fmt.Errorf("%s: no safetensors or torch weights to index", dir)
	}
	f := &families[i]
	files := k.weights[f.name]
	r := &Reindexed{Name: f.single + indexSuffix}
	old, err := oldIndex(ctx, d, r.Name)
	if err != nil {
		return nil, err
	}
	x := newFetcher(ctx, d, Options{})
	defer x.close()
	draft := drafted(f, files, old)
	if err := c.readPlan(ctx, x, &plan{read: draft.shards, strays: without(files, draft.shards)}); err != nil {
		return nil, err
	}
	fits := c.fits(old)
	if err := errors.Join(draft.refused, c.repeated()); err != nil {
		if fits {
			err = fmt.Errorf("%s is right about the files it names and stays as it is; it cannot name the others:\n%w", old.name, err)
		}
		return nil, err
	}
	text, total, err := c.indexText()
	if err != nil {
		return nil, err
	}
	r.Shards, r.Tensors, r.TotalSize = len(draft.shards), len(c.tensors), total
	if fits && len(old.shards) == len(draft.shards) { // named are the same: none would be left out
		return r, nil
	}
	r.Changed = true
	return r, d.replace(r.Name, text)
}

// oldIndex reads the index that is to be replaced; nil when there is none, or one
// that cannot be understood. What is no regular file, or too large, is no index, and
// is not replaced.
func oldIndex(ctx context.Context, d *Folder, name string) (*index, error) {
	f, err := d.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.disk.Close()
	text, err := f.text(ctx, maxIndex)
	if err != nil {
		return nil, err
	}
	x := &index{name: name}
	if err := x.parse(ctx, text); err != nil || len(x.shards) == 0 {
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

// replace writes a file beside name and renames it over it.
func (d *Folder) replace(name string, text []byte) (err error) {
	temp := d.prefix + "." + name + ".wreg"
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("%s: %w; another wreg may be writing it, else remove it", "."+name+".wreg", cause(err))
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.root.Rename(temp, d.prefix+name)
	}
	if err != nil {
		return errors.Join(named(name, err), d.root.Remove(temp))
	}
	return nil
}
