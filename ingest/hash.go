package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"strings"

	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/interrupt"
	"wreg/ingest/sums"
	"wreg/registry/tensor"
)

// HashOptions of Hash. The zero value takes hashes and statistics on every core.
type HashOptions struct {
	Jobs     int               // workers; 0 is one per core
	NoSHA    bool              // XXH3 only: memory speed, for re-checks
	NoStats  bool              // no min, max, NaN counts
	Progress func(bytes int64) // called with bytes done since the last call, from any worker
}

// Hash reads every byte once, in fixed buffers, and returns the tensors of
// Tensors with Hash, Sum, Slices and Stats filled in. Tensors are hashed in
// parallel, the largest first; those that are the same bytes of one file under
// several paths are read once. It fails when a file changed since Open. What the
// values say of the weights (not finite, all zero) is in Findings then.
//
// Slices are taken of tensors of rank 3 and more with at most 65,536 slices. A
// second tensor under a path is compared too: see Findings.
func (c *Checkpoint) Hash(ctx context.Context, o HashOptions) ([]tensor.Info, error) {
	if err := c.unchanged(); err != nil {
		return nil, err
	}
	out := slices.Clone(c.tensors)
	tasks, copies := c.tasks(out)
	values := newValues(out)
	if err := interrupt.Each(ctx, o.Jobs, tasks, func() func(context.Context, task) error {
		debug.SetPanicOnFault(true) // of this goroutine; see window
		h := sums.NewHasher(sums.Options{NoSHA: o.NoSHA, NoStats: o.NoStats, Progress: o.Progress})
		return func(ctx context.Context, t task) error {
			if err := c.hashOne(ctx, h, &t); err != nil {
				return err
			}
			values.rows(&t, h)
			return nil
		}
	}); err != nil {
		return nil, err
	}
	if err := interrupt.Each(ctx, o.Jobs, tasks, func() func(context.Context, task) error {
		return func(ctx context.Context, t task) error { return c.prove(ctx, t.at, t.into) }
	}); err != nil {
		return nil, err
	}
	for i, of := range copies {
		if t := &out[of]; i != of {
			out[i].Hash, out[i].Sum, out[i].Slices, out[i].Stats = t.Hash, t.Sum, t.Slices, t.Stats
		}
	}
	if err := c.unchanged(); err != nil {
		return nil, err
	}
	c.settleRivals(tasks, out)
	c.valueFindings(values)
	return out, nil
}

// task is one tensor to hash into.
type task struct {
	at    location
	into  *tensor.Info
	rival int // of c.rival; -1 for a tensor of the checkpoint
}

// viewer is a reader that knows which of its tensors are the same bytes, wherever and
// however they lie: Twin is the first of them.
type viewer interface{ Twin(i int) int }

// tasks lists what to hash, the costliest first; copies[i] is the tensor that
// out[i] shares its bytes with, itself when it was the first.
func (c *Checkpoint) tasks(out []tensor.Info) (tasks []task, copies []int) {
	type place struct {
		file   uint32
		twin   int // -1: the rest says which bytes they are
		offset int64
		dtype  tensor.DType
		shape  string
	}
	copies = make([]int, len(out))
	seen := map[place]int{}
	for i := range out {
		copies[i] = i
		// Safetensors cannot alias bytes, and a map of a million tensors has its price.
		if t := &out[i]; t.Format != "safetensors" && t.Bytes > 0 {
			at := c.where[i]
			p := place{file: at.file, twin: -1, offset: t.Offset, dtype: t.DType}
			if v, ok := c.open[at.file].reader.(viewer); ok {
				p = place{file: at.file, twin: v.Twin(int(at.index))}
			} else if t.Offset >= 0 {
				p.shape = t.Shape.String()
			} else {
				tasks = append(tasks, task{at, t, -1})
				continue
			}
			if of, twice := seen[p]; twice {
				copies[i] = of
				continue
			}
			seen[p] = i
		}
		tasks = append(tasks, task{c.where[i], &out[i], -1})
	}
	for i, r := range c.rival {
		t := *c.info(r.at)
		if of, ok := c.tensors.Find(r.path); ok && t.DType == out[of].DType && t.Shape.Equal(out[of].Shape) {
			tasks = append(tasks, task{r.at, &t, i})
		}
	}
	cost := func(t *task) int64 {
		if sums.Sliced(t.into) {
			return 2 * t.into.Bytes
		}
		return t.into.Bytes
	}
	slices.SortStableFunc(tasks, func(a, b task) int { return cmp.Compare(cost(&b), cost(&a)) })
	return tasks, copies
}

// hashOne reads one tensor and fills in what was asked for.
func (c *Checkpoint) hashOne(ctx context.Context, h *sums.Hasher, t *task) error {
	r, err := c.at(t.at)
	if err == nil {
		err = h.Hash(ctx, t.into, r)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: tensor %q: %w", t.into.File, t.into.Path, err)
	}
	return nil
}

// unchanged fails when an open file is not as it was at Open.
func (c *Checkpoint) unchanged() error {
	var errs []error
	for _, f := range c.open {
		now, err := files.Stat(f.disk)
		switch {
		case err != nil:
			errs = append(errs, folder.Named(f.info.Name, err))
		case now.Size != f.info.Size || !now.ModTime.Equal(f.info.ModTime):
			errs = append(errs, fmt.Errorf("%s: changed while it was read: %d bytes of %s, now %d of %s; ingest it again when nothing writes to it", f.info.Name,
				f.info.Size, f.info.ModTime.Format("15:04:05.000"), now.Size, now.ModTime.Format("15:04:05.000")))
		}
	}
	return errors.Join(errs...)
}

// settleRivals replaces each duplicate-tensor finding by what the hashes say.
func (c *Checkpoint) settleRivals(tasks []task, out []tensor.Info) {
	if len(c.rival) == 0 {
		return
	}
	var equal, unequal groups
	for i := range tasks {
		t := &tasks[i]
		if t.rival < 0 {
			continue
		}
		of, _ := c.tensors.Find(t.into.Path)
		chosen := &out[of]
		g := &equal
		if t.into.Sum != chosen.Sum || t.into.Hash != chosen.Hash {
			g = &unequal
		}
		g.add(chosen.File+"\x00"+t.into.File, t.into.Path)
	}
	c.settled.Lock()
	defer c.settled.Unlock()
	list := slices.DeleteFunc(slices.Clone(c.findings), func(f tensor.Finding) bool {
		return f.Rule == "duplicate-tensor" || f.Rule == "duplicate-equal" || f.Rule == "duplicate-differs"
	})
	for _, g := range equal.sorted() {
		have, other, _ := strings.Cut(g.key, "\x00")
		list = append(list, finding("duplicate-equal", other, g.first, "%s: also holds %s, byte for byte those in %s", other, g.names(), have))
	}
	for _, g := range unequal.sorted() {
		have, other, _ := strings.Cut(g.key, "\x00")
		list = append(list, finding("duplicate-differs", other, g.first, "%s: also holds %s, with other bytes than those in %s, which were read; find out which are right", other, g.names(), have))
	}
	c.findings = list
}
