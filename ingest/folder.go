package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// contents is what a folder holds, sorted into what concerns us.
type contents struct {
	weights    map[string][]string // family → files, sorted
	indexes    []string
	incomplete []string
	config     bool
	subfolders []string
	other      []string
}

func sortOut(entries []fs.DirEntry) *contents {
	k := &contents{weights: map[string][]string{}}
	for _, e := range entries {
		name := e.Name()
		f := familyOf(name)
		switch {
		case name == "config.json":
			k.config = true
		case strings.HasSuffix(name, ".incomplete"):
			k.incomplete = append(k.incomplete, name)
		case strings.HasSuffix(name, indexSuffix):
			k.indexes = append(k.indexes, name)
		case f != nil:
			k.weights[f.name] = append(k.weights[f.name], name)
		case e.IsDir():
			k.subfolders = append(k.subfolders, name)
		default:
			k.other = append(k.other, name)
		}
	}
	return k
}

// openFolder reads the folder at c.root: it decides which files are the weights,
// reads them, and reconciles index, shards and disk.
func (c *Checkpoint) openFolder(ctx context.Context, o Options) error {
	d, err := OpenFolder(c.root)
	if err != nil {
		return err
	}
	defer d.Close()
	entries, err := d.List()
	if err != nil {
		return err
	}
	k := sortOut(entries)
	x := newFetcher(ctx, d, o)
	defer x.close()
	for i := range families {
		if names := k.weights[families[i].name]; len(names) > 0 {
			for _, name := range names {
				x.start(name) // most likely to be chosen below
			}
			break
		}
	}
	for _, name := range k.incomplete {
		c.note("incomplete-download", name, "", "%s: a download that did not end; download the checkpoint again", name)
	}
	if k.config {
		if err := c.readConfig(ctx, d); err != nil {
			return err
		}
	}
	if len(k.weights) == 0 && k.distributed() {
		return c.openDistributed(ctx, d)
	}
	p, err := c.choose(ctx, d, k)
	if err != nil {
		return err
	}
	return c.readPlan(ctx, x, p)
}

// openIndex reads exactly what the index c.single names.
func (c *Checkpoint) openIndex(ctx context.Context, o Options) error {
	d, err := OpenFolder(c.root)
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
	x := newFetcher(ctx, d, o)
	defer x.close()
	return c.readPlan(ctx, x, &plan{read: index.shards, index: index, strict: true})
}

// readConfigBeside reads the config.json beside the one file that was named, if
// there is one.
func (c *Checkpoint) readConfigBeside(ctx context.Context, d *Folder) error {
	if _, err := d.root.Lstat(d.prefix + "config.json"); err != nil {
		return nil
	}
	return c.readConfig(ctx, d)
}

func (c *Checkpoint) readConfig(ctx context.Context, d *Folder) error {
	f, err := d.open("config.json")
	if err != nil {
		return err
	}
	defer f.disk.Close()
	text, err := f.text(ctx, maxConfig)
	if err != nil {
		return err
	}
	f.info.Format = "json"
	c.config, c.files = []byte(text), append(c.files, f.info)
	if c.doc, err = pyjson.Parse(c.config); err != nil {
		c.note("unreadable-config", "config.json", "", "config.json: %v; without it nothing says what the checkpoint should hold, and transformers and mlx_lm stop there", err)
	}
	return nil
}

func (c *Checkpoint) loadIndex(ctx context.Context, d *Folder, name string) (*index, error) {
	f, err := d.open(name)
	if err != nil {
		return nil, err
	}
	defer f.disk.Close()
	x, err := readIndex(ctx, f)
	if err != nil {
		return nil, err
	}
	f.info.Format = "json"
	c.files = append(c.files, f.info)
	return x, nil
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
		switch err := cmp.Or(f.openErr, f.readErr); {
		case err == nil:
			f.file.stray = stray
			c.open = append(c.open, f.file)
			continue
		case stray:
			c.note("unreadable-file", name, "", "not read, nor part of the checkpoint: %v", err)
		case absent && p.strict:
			errs = append(errs, fmt.Errorf("%s: shard %s is absent; download it", p.index.name, name))
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
	c.advise()
	if p.strict {
		if err := c.strict(p.index); err != nil {
			return err
		}
	}
	return c.sealed()
}

func (c *Checkpoint) noWeightsHere(k *contents) error {
	var hints []string
	if len(k.incomplete) > 0 {
		hints = append(hints, fmt.Sprintf("%s is a download that did not end", k.incomplete[0]))
	}
	for _, sub := range k.subfolders {
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
			if len(hints) > maxShown {
				break
			}
		}
	}
	err := fmt.Errorf("%s: no weights: none of its %d files is called *.safetensors, *.bin, *.pt, *.pth, *.gguf, *.npz", c.root, len(k.other))
	if len(hints) > 0 {
		err = fmt.Errorf("%w (%s)", err, strings.Join(hints, "; "))
	}
	return err
}

// holdsWeights reports that a file in a folder is called as weights are.
func holdsWeights(dir string) bool {
	names, err := os.ReadDir(dir)
	return err == nil && slices.ContainsFunc(names, func(e fs.DirEntry) bool { return familyOf(e.Name()) != nil })
}

// note adds a finding.
func (c *Checkpoint) note(rule, file, path, format string, args ...any) {
	c.findings = append(c.findings, finding(rule, file, path, format, args...))
}

func finding(rule, file, path, format string, args ...any) tensor.Finding {
	return tensor.Finding{Rule: rule, File: file, Tensor: path, Message: fmt.Sprintf(format, args...)}
}
