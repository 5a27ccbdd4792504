package ingest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/npz"
	"wreg/ingest/place"
	"wreg/ingest/shards"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// openFolder reads the folder at c.root: it decides which files are the weights,
// reads them, and reconciles index, shards and disk.
func (c *Checkpoint) openFolder(ctx context.Context, o Options) error {
	d, err := c.openPlace()
	if err != nil {
		return err
	}
	defer d.Close()
	entries, err := d.List(ctx)
	if err != nil {
		return err
	}
	k := shards.Sort(entries)
	x := newFetcher(ctx, d, o.Jobs, o.Progress)
	defer x.close()
	for i := range shards.Families {
		if names := k.Weights[shards.Families[i].Name]; len(names) > 0 {
			for _, name := range names[:min(len(names), maxSniffed)] {
				x.start(name) // most likely to be chosen below
			}
			break
		}
	}
	for _, name := range k.Incomplete {
		c.note("incomplete-download", name, "", "%s: an incomplete download; download the checkpoint again", name)
	}
	if err := c.readAdapter(ctx, d); err != nil {
		return err
	}
	if k.Config {
		if err := c.readConfig(ctx, d); err != nil {
			return err
		}
	}
	if err := c.readBeside(ctx, d, entries, !o.whole); err != nil {
		return err
	}
	if isDistributed(k) && len(k.Indexes) == 0 {
		return c.openDistributed(ctx, d, k)
	}
	if len(k.Weights) == 0 && len(k.Indexes) == 0 {
		if unread, err := sortByContent(x, k); err != nil {
			return err
		} else if len(k.Weights) == 0 {
			return c.noWeightsHere(k, unread)
		}
	}
	p, err := c.choose(ctx, d, k)
	if err != nil {
		return err
	}
	if len(p.apart) > 0 {
		if p.read, err = c.oneModel(x, p); err != nil {
			return err
		}
	}
	return c.readPlan(ctx, x, p)
}

// openIndex reads exactly what the index c.single names.
func (c *Checkpoint) openIndex(ctx context.Context, o Options) error {
	d, err := c.openPlace()
	if err != nil {
		return err
	}
	defer d.Close()
	if err := c.readConfigBeside(ctx, d); err != nil {
		return err
	}
	index, err := c.loadIndex(ctx, d, c.single)
	if err != nil {
		return err
	}
	x := newFetcher(ctx, d, o.Jobs, o.Progress)
	defer x.close()
	return c.readPlan(ctx, x, &plan{read: index.Shards, index: index, strict: true})
}

// readConfigBeside reads the config.json beside the one file that was named, if
// there is one.
func (c *Checkpoint) readConfigBeside(ctx context.Context, d files.Files) error {
	if err := c.readAdapter(ctx, d); err != nil {
		return err
	}
	if !d.Has("config.json") {
		return nil
	}
	return c.readConfig(ctx, d)
}

// readAdapter reads what says of an adapter which model it is for. It decides nothing:
// one that cannot be read does not count, unless it could not be asked for.
func (c *Checkpoint) readAdapter(ctx context.Context, d files.Files) error {
	const name = "adapter_config.json"
	if !d.Has(name) {
		return nil
	}
	text, _, err := readText(ctx, d, name, maxConfig)
	if err == nil {
		c.adapter = []byte(text)
	}
	return onlyUnasked(err)
}

// onlyUnasked is err where it is unasked, else nil.
func onlyUnasked(err error) error {
	if unasked(err) {
		return err
	}
	return nil
}

// unasked reports that an error says nothing of what is in a file, only that it could not be asked for.
func unasked(err error) bool {
	_, ok := errors.AsType[*place.Error](err)
	return ok
}

// noteAdapter settles whether the tensors are those of an adapter: by their names, or
// because a file that only adapters have holds them and adapter_config.json is there.
func (c *Checkpoint) noteAdapter() {
	named := c.adapter != nil && len(c.open) > 0 && !slices.ContainsFunc(c.open, func(f *file) bool {
		return !f.stray && !strings.HasPrefix(f.info.Name, "adapter_model.") && f.info.Name != "adapters.safetensors"
	})
	switch is := named || tensor.IsAdapter(c.tensors); {
	case !is:
		c.adapter = nil
	case c.adapter == nil:
		c.adapter = []byte("{}")
	}
}

// maxConfig bounds the bytes of config.json, as arch parses them.
const maxConfig = 16 << 20

func (c *Checkpoint) readConfig(ctx context.Context, d files.Files) error {
	text, info, err := readText(ctx, d, "config.json", maxConfig)
	if err != nil {
		return err
	}
	c.config, c.files = []byte(text), append(c.files, info)
	if c.doc, err = pyjson.Parse(c.config); err != nil {
		c.note("unreadable-config", "config.json", "", "config.json: %v; without it nothing says what the checkpoint should hold, and transformers and mlx_lm stop there", err)
	}
	return nil
}

// maxBeside bounds the files beside the weights that are looked at.
const maxBeside = 1000

// readBeside reports files beside the weights that are not what their names say.
func (c *Checkpoint) readBeside(ctx context.Context, d files.Files, entries []fs.DirEntry, glance bool) error {
	names := 0
	for _, e := range entries {
		if name := e.Name(); !folder.Beside(name) && (name == "config.json" || !strings.HasSuffix(name, "config.json")) {
			continue
		}
		if names++; names > maxBeside {
			break
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := d.Intact(e.Name(), glance); err != nil {
			c.note("broken-file", e.Name(), "", "%v", err)
		}
	}
	return nil
}

// readPlan reads the planned files and joins their tensors. All faults are
// reported together. A stray file that cannot be read is a finding.
func (c *Checkpoint) readPlan(ctx context.Context, x *fetcher, p *plan) error {
	var errs []error
	for _, name := range slices.Concat(p.read, p.strays) {
		x.start(name)
	}
	var absences []string
	for i, name := range slices.Concat(p.read, p.strays) {
		if err := ctx.Err(); err != nil {
			return err
		}
		stray := i >= len(p.read)
		f := x.take(name)
		absent := errors.Is(f.openErr, fs.ErrNotExist) && p.index != nil
		switch err := f.err(); {
		case err == nil:
			f.file.stray = stray
			c.open = append(c.open, f.file)
			continue
		case stray && !unasked(err):
			c.note("unreadable-file", name, "", "not read and not part of the checkpoint: %v", err)
		case npz.OtherType(err) != "" && len(p.read) > 1:
			c.note(npz.OtherType(err), name, "", "not read, the others were: %v", err)
		case absent && p.strict:
			errs = append(errs, fmt.Errorf("%s: shard %s is missing; download it", p.index.Name, name))
		case absent:
			absences = append(absences, name)
		default:
			errs = append(errs, err)
		}
		if f.file != nil {
			errs = append(errs, f.file.disk.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	c.absentShards(p.index, absences)
	c.draft = p.draft
	if err := c.adopt(ctx, p.index); err != nil {
		return err
	}
	if p.index == nil {
		if err := c.pieced(); err != nil {
			return err
		}
	}
	c.noteParts()
	c.advise()
	if p.strict {
		if err := c.strict(); err != nil {
			return err
		}
	}
	return c.sealed()
}
