package ingest

import (
	"context"
	"fmt"
	"slices"

	"wreg/ingest/files"
	"wreg/ingest/shards"
	"wreg/registry/pyjson"
)

// plan is the choice of files of a folder.
type plan struct {
	read   []string
	strays []string
	index  *shards.Index // nil when there is none, or none that is about these files
	apart  []string      // a file of each model that may lie there, if more than one
	strict bool          // what the index says and is not so is an error
	draft  *shards.Draft // of a new index; nil when no folder was looked at
}

// choose decides which files of a folder are the weights:
//
//  1. the first of the families of which there are files or an index;
//  2. with an index of that family: the shards it names, if any of them is there;
//  3. else the single file (model.safetensors) if it is there, as transformers does;
//  4. else the family's numbered shards, else the first numbered set by name;
//  5. else every file of the family, if what they hold says that they are one model.
//
// What is left over is stray: reported, compared, not read.
func (c *Checkpoint) choose(ctx context.Context, d files.Files, k *shards.Contents) (*plan, error) {
	chosen, x, err := c.chooseFamily(ctx, d, k)
	if err != nil {
		return nil, err
	}
	if x != nil {
		k.Keep(x)
	}
	files := k.Weights[chosen.Name]
	p := &plan{index: x, draft: shards.Draw(chosen, files, x)}
	here := shards.SetOf(files)
	switch {
	case x != nil && (len(files) == 0 || slices.ContainsFunc(x.Shards, func(s string) bool { return here[s] })):
		p.read = x.Shards
	default:
		if x != nil {
			c.note("foreign-index", x.Name, "", "%s: names %d shards, from %s on, none of which are here; it was skipped", x.Name, len(x.Shards), x.Shards[0])
			p.index = nil
		}
		if !slices.Contains(files, chosen.Single) {
			if err := c.pieces(files); err != nil {
				return nil, err
			}
		}
		p.apart = k.Apart(chosen)
		if p.read = p.draft.Shards; p.draft.Absent != "" {
			c.note("absent-shard", p.draft.Absent, "", "%s", p.draft.Lacking)
		}
	}
	p.strays = shards.Without(files, p.read)
	for i := range shards.Families {
		f := &shards.Families[i]
		if files := shards.Without(k.Weights[f.Name], p.apart); f != chosen && len(files) > 0 {
			c.otherFormat(files, f, chosen.Name)
		}
	}
	c.noteVariants(k.Variants)
	c.noteZero(p.read, k.Other)
	return p, nil
}

func (c *Checkpoint) otherFormat(files []string, f *shards.Family, chosen string) {
	c.note("other-format", files[0], "", "%s: not read (%d files.Files of %s): the %s weights beside it are; wreg ingest it by name to index it too",
		files[0], len(files), f.Name, chosen)
}

// chooseFamily finds the first family that is there, and its index. There are weights
// or indexes.
func (c *Checkpoint) chooseFamily(ctx context.Context, d files.Files, k *shards.Contents) (*shards.Family, *shards.Index, error) {
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
			return nil, nil, fmt.Errorf("%s: names no weight files", name)
		case of[f] != nil:
			c.note("other-index", name, "", "%s: not read: %s is", name, of[f].Name)
		default:
			of[f] = x
		}
	}
	f := k.Family(func(f *shards.Family) bool { return of[f] != nil })
	return f, of[f], nil
}

func (c *Checkpoint) loadIndex(ctx context.Context, d files.Files, name string) (*shards.Index, error) {
	text, info, err := readText(ctx, d, name, shards.MaxIndex)
	if err != nil {
		return nil, err
	}
	x, err := shards.ReadIndex(ctx, name, text)
	if what := pyjson.Instead([]byte(text)); what != "" {
		err = fmt.Errorf("%s: %s", name, what)
	}
	if err != nil {
		return nil, refuse(name, err)
	}
	c.files = append(c.files, info)
	return x, nil
}
