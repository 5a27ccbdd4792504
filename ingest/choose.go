package ingest

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/ingest/folder"
	"wreg/ingest/shards"
)

// plan is the choice of files of a folder.
type plan struct {
	read   []string
	strays []string
	index  *shards.Index // nil when there is none, or none that is about these files
	strict bool          // what the index says and is not so is an error
	draft  *shards.Draft // of a new index; nil when no folder was looked at
}

// choose decides which files of a folder are the weights:
//
//  1. the first of the families of which there are files or an index;
//  2. with an index of that family: the shards it names, if any of them is there;
//  3. else the single file (model.safetensors) if it is there, as transformers does;
//  4. else the family's numbered shards, else the first numbered set by name;
//  5. else every file of the family.
//
// What is left over is stray: reported, compared, not read.
func (c *Checkpoint) choose(ctx context.Context, d *folder.Folder, k *shards.Contents) (*plan, error) {
	chosen, x, err := c.chooseFamily(ctx, d, k)
	if err != nil {
		return nil, err
	}
	for i := range shards.Families {
		f := &shards.Families[i]
		if files := k.Weights[f.Name]; f != chosen && len(files) > 0 {
			c.note("other-format", files[0], "", "%s: not read (%d files of %s): the %s weights beside it are; wreg ingest it by name to index it too",
				files[0], len(files), f.Name, chosen.Name)
		}
	}
	files := k.Weights[chosen.Name]
	p := &plan{index: x, draft: shards.Draw(chosen, files, x)}
	here := shards.SetOf(files)
	switch {
	case x != nil && (len(files) == 0 || slices.ContainsFunc(x.Shards, func(s string) bool { return here[s] })):
		p.read = x.Shards
	default:
		if x != nil {
			c.note("foreign-index", x.Name, "", "%s: names %d shards, from %s, of which none is here; it was skipped", x.Name, len(x.Shards), x.Shards[0])
			p.index = nil
		}
		if err := c.oneCheckpoint(chosen, files); err != nil {
			return nil, err
		}
		if p.read = p.draft.Shards; p.draft.Absent != "" {
			c.note("absent-shard", p.draft.Absent, "", "%s", p.draft.Lacking)
		}
	}
	p.strays = shards.Without(files, p.read)
	return p, nil
}

// chooseFamily finds the first family that is there, and its index.
func (c *Checkpoint) chooseFamily(ctx context.Context, d *folder.Folder, k *shards.Contents) (*shards.Family, *shards.Index, error) {
	indexFamily := func(x *shards.Index) *shards.Family {
		for _, s := range x.Shards {
			if f := shards.FamilyOf(s); f != nil {
				return f
			}
		}
		return nil
	}
	// The usual name first, then by name.
	slices.SortStableFunc(k.Indexes, func(a, b string) int { return shards.UsualIndex(a) - shards.UsualIndex(b) })
	of := map[*shards.Family]*shards.Index{}
	for _, name := range k.Indexes {
		if f := shards.FamilyOfIndex(name); f != nil && of[f] != nil {
			c.note("other-index", name, "", "%s: not read: %s is", name, of[f].Name)
			continue
		}
		x, err := c.loadIndex(ctx, d, name)
		if err != nil {
			return nil, nil, err
		}
		switch f := indexFamily(x); {
		case f == nil:
			return nil, nil, fmt.Errorf("%s: names no file of weights", name)
		case of[f] != nil:
			c.note("other-index", name, "", "%s: not read: %s is", name, of[f].Name)
		default:
			of[f] = x
		}
	}
	for i := range shards.Families {
		if f := &shards.Families[i]; len(k.Weights[f.Name]) > 0 || of[f] != nil {
			return f, of[f], nil
		}
	}
	return nil, nil, c.noWeightsHere(k)
}

// oneCheckpoint refuses several gguf files: they are several checkpoints, mostly one
// model in several quantizations, so it is for the user to choose.
func (c *Checkpoint) oneCheckpoint(f *shards.Family, files []string) error {
	if f.Name != "gguf" {
		return nil
	}
	all := shards.Sets(files)
	n := len(all) + len(files)
	for _, s := range all {
		n -= len(s.Files)
	}
	if n > 1 {
		return fmt.Errorf("%s: holds %d gguf files that are checkpoints of their own (%s, …); name one", c.root, n, files[0])
	}
	return nil
}

func (c *Checkpoint) loadIndex(ctx context.Context, d *folder.Folder, name string) (*shards.Index, error) {
	text, info, err := readText(ctx, d, name, shards.MaxIndex)
	if err != nil {
		return nil, err
	}
	x, err := shards.ReadIndex(ctx, name, text)
	if err != nil {
		return nil, err
	}
	c.files = append(c.files, info)
	return x, nil
}

func (c *Checkpoint) noWeightsHere(k *shards.Contents) error {
	var hints []string
	if len(k.Incomplete) > 0 {
		hints = append(hints, fmt.Sprintf("%s is an incomplete download", k.Incomplete[0]))
	}
	for _, sub := range k.Subfolders {
		if holdsWeights(filepath.Join(c.root, sub)) {
			hints = append(hints, "its folder "+sub+" holds some: name that")
		}
	}
	if snapshots := filepath.Dir(c.root); filepath.Base(snapshots) == "snapshots" { // of the hf cache
		others, _ := os.ReadDir(snapshots)
		for _, e := range others {
			if name := e.Name(); name != filepath.Base(c.root) && holdsWeights(filepath.Join(snapshots, name)) {
				hints = append(hints, "the snapshot "+name+" beside it holds some: name that, as org/name@"+name+" or by its path")
			}
			if len(hints) > folder.MaxShown {
				break
			}
		}
	}
	err := fmt.Errorf("%s: no weights: none of its %d files is called *.safetensors, *.bin, *.pt, *.pth, *.gguf, *.npz", c.root, len(k.Other))
	if len(hints) > 0 {
		err = fmt.Errorf("%w (%s)", err, strings.Join(hints, "; "))
	}
	return err
}

// holdsWeights reports that a file in a folder is called as weights are.
func holdsWeights(dir string) bool {
	names, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(names, func(e fs.DirEntry) bool { return shards.FamilyOf(e.Name()) != nil })
}
