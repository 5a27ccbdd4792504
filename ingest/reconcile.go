package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sort"
	"strings"

	"golang.org/x/sync/errgroup"

	"wreg/ingest/interrupt"
	"wreg/ingest/pathsort"
	"wreg/ingest/shards"
	"wreg/ingest/torch"
	"wreg/ingest/zipfile"
	"wreg/registry/tensor"
)

// gather takes the findings of the open files; of a class that is not known there is one,
// however many files have objects of it.
func (c *Checkpoint) gather() {
	count, files := map[string]int{}, map[string][]string{}
	for _, f := range c.open {
		c.findings = append(c.findings, f.findings...)
		if t, ok := f.reader.(*torch.File); ok {
			for class, n := range t.Inert() {
				count[class] += n
				files[class] = append(files[class], f.info.Name)
			}
		}
	}
	for _, class := range slices.Sorted(maps.Keys(files)) {
		c.findings = append(c.findings, torch.Inert(files[class][0], len(files[class])-1, class, count[class]))
	}
}

// adopt joins the tensors of the open files into one list sorted by path, and
// holds it against the index. Of two tensors under one path the one in the shard
// that the index names wins, else the one in the first file by name.
func (c *Checkpoint) adopt(ctx context.Context, x *shards.Index) error {
	c.gather()
	all := c.sorted()
	if x == nil && len(c.open) == 1 && len(all) == len(c.open[0].reader.Tensors()) && !repeats(c, all) && inOrder(all) {
		c.tensors, c.where = c.open[0].reader.Tensors(), all
		return nil
	}
	d := newDisagreements(c, x)
	c.where = make([]location, 0, len(all))
	next := 0 // of the index's entries
	steps := interrupt.Steps{Context: ctx}
	for i := 0; i < len(all); {
		if err := steps.Next(); err != nil {
			return err
		}
		path := c.info(all[i]).Path
		end := i + 1
		for end < len(all) && c.info(all[end]).Path == path {
			end++
		}
		for ; x != nil && next < len(x.Entries) && x.Entries[next].Path < path; next++ {
			d.lost(x.Entries[next])
		}
		want := ""
		if x != nil && next < len(x.Entries) && x.Entries[next].Path == path {
			want = x.Shards[x.Entries[next].Shard]
			next++
		}
		c.pick(all[i:end], want, d)
		i = end
	}
	for ; x != nil && next < len(x.Entries); next++ {
		d.lost(x.Entries[next])
	}
	c.tensors = make([]tensor.Info, len(c.where))
	onAllCores(len(c.tensors)/copied+1, func(i int) {
		for k := i * copied; k < min((i+1)*copied, len(c.where)); k++ {
			c.tensors[k] = *c.info(c.where[k])
		}
	})
	d.report()
	return nil
}

// copied is how many tensors are copied by one core at a time.
const copied = 1 << 12

// pick chooses among the tensors of one path. want is the shard the index names,
// "" when it names none.
func (c *Checkpoint) pick(same []location, want string, d *disagreements) {
	chosen := -1
	for i, l := range same {
		f := c.open[l.file]
		if f.info.Name == want {
			chosen = i
			break
		}
		if chosen < 0 && (!f.stray || want != "") {
			chosen = i
		}
	}
	if chosen >= 0 && c.open[same[chosen].file].stray && want != "" {
		// The index asks for it and its shard lacks it: better from a stray file
		// than lost, unless a proper shard has it too.
		for i, l := range same {
			if !c.open[l.file].stray {
				chosen = i
				break
			}
		}
	}
	if chosen < 0 {
		for _, l := range same {
			d.strayOnly[l.file]++
		}
		return
	}
	l := same[chosen]
	t := c.info(l)
	switch name := c.open[l.file].info.Name; {
	case d.index == nil || name == want:
	case want == "":
		d.unindexed.add(name, t.Path)
	default:
		d.moved.add(want+"\x00"+name, t.Path)
	}
	c.where = append(c.where, l)
	for i, other := range same {
		if i == chosen {
			continue
		}
		c.rival = append(c.rival, rival{t.Path, other})
		d.twice(l, other, t, c.info(other))
	}
}

func (c *Checkpoint) info(l location) *tensor.Info {
	return &c.open[l.file].reader.Tensors()[l.index]
}

// sorted lists all tensors of all files by path; equal paths by file.
func (c *Checkpoint) sorted() []location {
	runs := make([][]location, len(c.open))
	onAllCores(len(runs), func(i int) {
		ts := c.open[i].reader.Tensors()
		run := make([]location, len(ts))
		for j := range ts {
			run[j] = location{uint32(i), uint32(j)}
		}
		for k, from := range pathsort.Order(len(ts), func(i int) string { return ts[i].Path }) {
			run[k].index = from
		}
		runs[i] = run
	})
	for len(runs) > 1 { // merge neighbours until one is left
		var merged [][]location
		for i := 0; i+1 < len(runs); i += 2 {
			merged = append(merged, c.merge(runs[i], runs[i+1]))
		}
		if len(runs)%2 == 1 {
			merged = append(merged, runs[len(runs)-1])
		}
		runs = merged
	}
	if len(runs) == 0 {
		return nil
	}
	return runs[0]
}

// merge joins two sorted runs. Shards hold whole layers, so it looks for long
// stretches of one run that go before the other's next.
func (c *Checkpoint) merge(a, b []location) []location {
	out := make([]location, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		n := c.stretch(a, c.info(b[0]).Path, true)
		out, a = append(out, a[:n]...), a[n:]
		if len(a) > 0 {
			n = c.stretch(b, c.info(a[0]).Path, false)
			out, b = append(out, b[:n]...), b[n:]
		}
	}
	return append(append(out, a...), b...)
}

// stretch is how many of run's paths go before path: doubling steps, then a
// binary search. equal ones count too when orEqual is set.
func (c *Checkpoint) stretch(run []location, path string, orEqual bool) int {
	before := func(i int) bool {
		p := c.info(run[i]).Path
		return p < path || orEqual && p == path
	}
	step := 1
	for step < len(run) && before(step-1) {
		step *= 2
	}
	from := step / 2
	return from + sort.Search(min(step, len(run))-from, func(i int) bool { return !before(from + i) })
}

// onAllCores calls work(0) to work(n-1), several at once.
func onAllCores(n int, work func(i int)) {
	var g errgroup.Group
	g.SetLimit(runtime.GOMAXPROCS(0))
	for i := range n {
		g.Go(func() error { work(i); return nil })
	}
	_ = g.Wait() // none of them fails
}

func repeats(c *Checkpoint, all []location) bool {
	for i := 1; i < len(all); i++ {
		if c.info(all[i]).Path == c.info(all[i-1]).Path {
			return true
		}
	}
	return false
}

func inOrder(all []location) bool {
	for i := range all {
		if int(all[i].index) != i {
			return false
		}
	}
	return true
}

// sealed finishes an opened checkpoint: its files in order, nothing empty.
func (c *Checkpoint) sealed() error {
	if err := c.rename(); err != nil {
		return err
	}
	var all zipfile.Budget
	for _, f := range c.open {
		c.files = append(c.files, f.info)
		if h, ok := f.reader.(interface {
			Budget() zipfile.Budget
			Within(*zipfile.Again)
		}); ok {
			b := h.Budget()
			if err := cmp.Or(all.Hold(b.Held), all.Gather(b.Pieces)); err != nil {
				return fmt.Errorf("%s: with it, %w", f.info.Name, err)
			}
			h.Within(&c.again)
		}
	}
	slices.SortFunc(c.files, func(a, b tensor.File) int { return strings.Compare(a.Name, b.Name) })
	if len(c.tensors) == 0 && !slices.ContainsFunc(c.findings, func(f tensor.Finding) bool { return f.Rule == "no-tensors" }) {
		c.note("no-tensors", c.single, "", "%s: holds no tensors", c.Path())
	}
	c.noteAdapter()
	c.noteLeftover()
	c.noteEmpty()
	c.noteFlat()
	return nil
}

// rename gives tensors the names that were asked for. Findings about one tensor name
// it as it is called then; their messages are about files.
func (c *Checkpoint) rename() error {
	if c.naming.IsZero() {
		return nil
	}
	renamed, from, left, err := c.naming.Renamed(c.tensors)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Path(), err)
	}
	where, names := make([]location, len(from)), make(map[string]string, len(from))
	for i, k := range from {
		where[i] = c.where[k]
		names[c.tensors[k].Path] = renamed[i].Path
	}
	c.tensors, c.where, c.left = renamed, where, left
	rivals := c.rival[:0]
	for _, r := range c.rival {
		if name, ok := names[r.path]; ok {
			rivals = append(rivals, rival{name, r.at})
		}
	}
	c.rival = rivals
	for i := range c.findings {
		if name, ok := names[c.findings[i].Tensor]; ok {
			c.findings[i].Tensor = name
		}
	}
	return nil
}

// strict turns what an index claims and is not so into an error.
func (c *Checkpoint) strict() error {
	var errs []error
	for _, f := range c.findings {
		switch f.Rule {
		case "absent-shard", "index-missing-tensor", "wrong-shard":
			errs = append(errs, errors.New(f.Message))
		}
	}
	return errors.Join(errs...)
}
