package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sort"
	"strconv"
	"strings"

	"wreg/ingest/pathsort"
	"wreg/registry/tensor"
)

// adopt joins the tensors of the open files into one list sorted by path, and
// holds it against the index. Of two tensors under one path the one in the shard
// that the index names wins, else the one in the first file by name.
func (c *Checkpoint) adopt(x *index) {
	for _, f := range c.open {
		c.findings = append(c.findings, f.findings...)
	}
	all := c.sorted()
	if x == nil && len(c.open) == 1 && len(all) == len(c.open[0].reader.Tensors()) && !repeats(c, all) && inOrder(all) {
		c.tensors, c.where = c.open[0].reader.Tensors(), all
		return
	}
	d := newDisagreements(c, x)
	c.tensors = make([]tensor.Info, 0, len(all))
	c.where = make([]location, 0, len(all))
	next := 0 // of the index's entries
	for i := 0; i < len(all); {
		path := c.info(all[i]).Path
		end := i + 1
		for end < len(all) && c.info(all[end]).Path == path {
			end++
		}
		for ; x != nil && next < len(x.entries) && x.entries[next].path < path; next++ {
			d.lost(x.entries[next])
		}
		want := ""
		if x != nil && next < len(x.entries) && x.entries[next].path == path {
			want = x.shards[x.entries[next].shard]
			next++
		}
		c.pick(all[i:end], want, d)
		i = end
	}
	for ; x != nil && next < len(x.entries); next++ {
		d.lost(x.entries[next])
	}
	d.report()
}

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
	c.tensors, c.where = append(c.tensors, *t), append(c.where, l)
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
	var runs [][]location
	for i, f := range c.open {
		ts := f.reader.Tensors()
		run := make([]location, len(ts))
		for j := range ts {
			run[j] = location{uint32(i), uint32(j)}
		}
		for k, from := range pathsort.Order(len(ts), func(i int) string { return ts[i].Path }) {
			run[k].index = from
		}
		runs = append(runs, run)
	}
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
	for _, f := range c.open {
		c.files = append(c.files, f.info)
	}
	slices.SortFunc(c.files, func(a, b tensor.File) int { return strings.Compare(a.Name, b.Name) })
	if len(c.tensors) == 0 && !slices.ContainsFunc(c.findings, func(f tensor.Finding) bool { return f.Rule == "no-tensors" }) {
		c.note("no-tensors", c.single, "", "%s: holds no tensors", c.Path())
	}
	return nil
}

// strict turns what an index claims and is not so into an error.
func (c *Checkpoint) strict(x *index) error {
	var errs []error
	for _, f := range c.findings {
		switch f.Rule {
		case "absent-shard", "index-missing-tensor", "wrong-shard":
			errs = append(errs, errors.New(f.Message))
		}
	}
	return errors.Join(errs...)
}

func sortEntries(entries []fs.DirEntry) {
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
}

// disagreements gathers what index, shards and disk do not agree on, so that a
// thousand tensors of one shard make one finding.
type disagreements struct {
	c         *Checkpoint
	index     *index
	missing   groups // shard → tensors it lacks
	moved     groups // shard of the index, shard found in
	unindexed groups // shard → tensors the index does not name
	alike     groups // file, other file → tensors of equal shape and dtype
	unlike    groups
	strayOnly map[uint32]int // stray file → its tensors found nowhere else
}

func newDisagreements(c *Checkpoint, x *index) *disagreements {
	return &disagreements{c: c, index: x, strayOnly: map[uint32]int{}}
}

func (d *disagreements) lost(e indexEntry) { d.missing.add(d.index.shards[e.shard], e.path) }

func (d *disagreements) twice(chosen, other location, a, b *tensor.Info) {
	key := d.c.open[chosen.file].info.Name + "\x00" + d.c.open[other.file].info.Name
	if a.DType == b.DType && a.Shape.Equal(b.Shape) {
		d.alike.add(key, a.Path)
	} else {
		d.unlike.add(key, fmt.Sprintf("%s (%v %v, %v %v)", a.Path, a.DType, a.Shape, b.DType, b.Shape))
	}
}

// report turns all of it into findings.
func (d *disagreements) report() {
	c := d.c
	absent := map[string]bool{}
	for _, f := range c.findings {
		if f.Rule == "absent-shard" {
			absent[f.File] = true
		}
	}
	for _, g := range d.missing.sorted() {
		if absent[g.key] {
			continue // the absent shard was reported with its count
		}
		c.note("index-missing-tensor", g.key, g.first, "%s: shard %s lacks %s; wreg reindex the folder if the shards are right", d.index.name, g.key, g.names())
	}
	for _, g := range d.moved.sorted() {
		want, have, _ := strings.Cut(g.key, "\x00")
		c.note("wrong-shard", have, g.first, "%s: %s should be in %s but lies in %s; it was read from there; wreg reindex mends the index", d.index.name, g.names(), want, have)
	}
	for _, g := range d.unindexed.sorted() {
		c.note("not-in-index", g.key, g.first, "%s: holds %s, which %s does not name; read all the same; wreg reindex mends the index", g.key, g.names(), d.index.name)
	}
	for _, g := range d.alike.sorted() {
		have, other, _ := strings.Cut(g.key, "\x00")
		c.note("duplicate-tensor", other, g.first, "%s: also holds %s, with the dtype and shape of those in %s; the latter were read; hashing tells whether the bytes are equal", other, g.names(), have)
	}
	for _, g := range d.unlike.sorted() {
		have, other, _ := strings.Cut(g.key, "\x00")
		path, _, _ := strings.Cut(g.first, " ")
		c.note("conflicting-tensor", other, path, "%s: also holds %s, unlike those in %s; the latter were read", other, g.names(), have)
	}
	for i, f := range c.open {
		if f.stray {
			c.note("stray-shard", f.info.Name, "", "%s: not one of the checkpoint's files; of its %d tensors %d are in no other file and were not read; remove it, or wreg reindex to take it in",
				f.info.Name, len(f.reader.Tensors()), d.strayOnly[uint32(i)])
		}
	}
	d.totalSize()
}

func (d *disagreements) totalSize() {
	if d.index == nil || d.index.totalSize == "" {
		return
	}
	var sum int64
	for i := range d.c.tensors {
		sum += d.c.tensors[i].Bytes
	}
	if n, err := strconv.ParseInt(d.index.totalSize, 10, 64); err != nil || n != sum {
		d.c.note("index-total-size", d.index.name, "", "%s: total_size is %.40s, but the tensors take %d bytes", d.index.name, d.index.totalSize, sum)
	}
}

// absentShard reports a shard that the index names and the folder lacks.
func (c *Checkpoint) absentShard(x *index, name string) {
	n := 0
	for _, e := range x.entries {
		if x.shards[e.shard] == name {
			n++
		}
	}
	c.note("absent-shard", name, "", "%s: absent, though %s says it holds %d tensors; download it", name, x.name, n)
}

// groups counts names under a key and keeps the first few.
type groups struct{ list []*group }

type group struct {
	key, first string
	few        []string
	n          int
}

// fewNames is how many names a finding lists.
const fewNames = 3

func (g *groups) add(key, name string) {
	i, found := slices.BinarySearchFunc(g.list, key, func(a *group, key string) int { return cmp.Compare(a.key, key) })
	if !found {
		g.list = slices.Insert(g.list, i, &group{key: key, first: name})
	}
	at := g.list[i]
	if at.n++; at.n <= fewNames {
		at.few = append(at.few, strconv.Quote(name))
	}
}

func (g *groups) sorted() []*group { return g.list }

// names reads: tensor "a", or 5 tensors ("a", "b", "c", …).
func (g *group) names() string {
	switch {
	case g.n == 1:
		return "tensor " + g.few[0]
	case g.n <= fewNames:
		return fmt.Sprintf("%d tensors (%s)", g.n, strings.Join(g.few, ", "))
	}
	return fmt.Sprintf("%d tensors (%s, …)", g.n, strings.Join(g.few, ", "))
}
