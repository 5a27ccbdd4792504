package ingest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"wreg/registry/tensor"
)

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
