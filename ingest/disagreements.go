package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"wreg/ingest/claim"
	"wreg/ingest/shards"
	"wreg/registry/tensor"
)

// disagreements gathers what index, shards and disk do not agree on, so that a
// thousand tensors of one shard make one finding.
type disagreements struct {
	c         *Checkpoint
	index     *shards.Index
	missing   groups // shard → tensors it lacks
	moved     groups // shard of the index, shard found in
	unindexed groups // shard → tensors the index does not name
	alike     groups // file, other file → tensors of equal shape and dtype
	unlike    groups
	strayOnly map[uint32]int // stray file → its tensors found nowhere else
}

func newDisagreements(c *Checkpoint, x *shards.Index) *disagreements {
	return &disagreements{c: c, index: x, strayOnly: map[uint32]int{}}
}

func (d *disagreements) lost(e shards.Entry) { d.missing.add(d.index.Shards[e.Shard], e.Path) }

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
		c.note("index-missing-tensor", g.key, g.first, "%s: shard %s lacks %s", d.index.Name, g.key, g.names())
	}
	for _, g := range d.moved.sorted() {
		want, have, _ := strings.Cut(g.key, "\x00")
		c.note("wrong-shard", have, g.first, "%s: %s should be in %s but lies in %s; it was read from there", d.index.Name, g.names(), want, have)
	}
	for _, g := range d.unindexed.sorted() {
		c.note("not-in-index", g.key, g.first, "%s: holds %s, which %s does not name; read anyway", g.key, g.names(), d.index.Name)
	}
	for _, g := range d.alike.sorted() {
		have, other, _ := strings.Cut(g.key, "\x00")
		c.note("duplicate-tensor", other, g.first, "%s: also holds %s, with the dtype and shape of those in %s; the latter were read; hashing shows whether the bytes are equal", other, g.names(), have)
	}
	for _, g := range d.unlike.sorted() {
		have, other, _ := strings.Cut(g.key, "\x00")
		path, _, _ := strings.Cut(g.first, " ")
		c.note("conflicting-tensor", other, path, "%s: also holds %s, unlike those in %s; the latter were read", other, g.names(), have)
	}
	d.strays()
	d.totalSize()
}

func (d *disagreements) totalSize() {
	if d.index == nil || d.index.TotalSize == "" {
		return
	}
	var sum int64
	for i := range d.c.tensors {
		sum += d.c.tensors[i].Bytes
	}
	if n, err := strconv.ParseInt(d.index.TotalSize, 10, 64); err != nil || n != sum {
		d.c.note("index-total-size", d.index.Name, "", "%s: total_size is %.40s, but the tensors take %d bytes", d.index.Name, d.index.TotalSize, sum)
	}
}

// absentShards reports the shards that the index names and the folder lacks.
func (c *Checkpoint) absentShards(x *shards.Index, names []string) {
	if len(names) == 0 {
		return
	}
	tensors := make([]int, len(x.Shards))
	for _, e := range x.Entries {
		tensors[e.Shard]++
	}
	for _, name := range names {
		i, _ := slices.BinarySearch(x.Shards, name)
		c.note("absent-shard", name, "", "%s: missing, though %s says it holds %s; download it", name, x.Name, tensor.Count(tensors[i], "tensor"))
	}
}

// strays reports the files of weights that are not part of the checkpoint, and what
// they look like.
func (d *disagreements) strays() {
	c := d.c
	if !slices.ContainsFunc(c.open, func(f *file) bool { return f.stray }) {
		return
	}
	again := d.otherNames()
	for i, f := range c.open {
		if !f.stray {
			continue
		}
		n, alone := len(f.reader.Tensors()), d.strayOnly[uint32(i)]
		switch {
		case besideModel(f) != "":
			c.noteBeside(f)
		case alone < n:
			c.note("stray-shard", f.info.Name, "", "%s: not one of the checkpoint's files and not read: %d of its %d tensors have the names of tensors that were read from others; remove it if it is what another upload left",
				f.info.Name, n-alone, n)
		case again:
			c.note("stray-shard", f.info.Name, "", "%s: not one of the checkpoint's files and not read: its %d tensors have other names, and the dtypes and shapes of those that were read, as in a second copy in its maker's own layout; wreg ingest it by name to compare hashes",
				f.info.Name, n)
		default:
			c.note("stray-shard", f.info.Name, "", "%s: not one of the checkpoint's files; its %d tensors are in no other file and were not read; remove it if it is not the model's", f.info.Name, n)
		}
	}
}

// otherNames reports whether the stray files, which share no name with those read,
// hold as many tensors of every dtype and shape: one model under other names.
func (d *disagreements) otherNames() bool {
	type kind struct {
		dtype tensor.DType
		shape string
	}
	balance := map[kind]int{}
	taken := map[string]bool{} // by a new index: parts of this model
	if d.c.draft != nil {
		taken = shards.SetOf(d.c.draft.Shards)
	}
	for i, f := range d.c.open {
		step := 1
		if f.stray {
			step = -1
			if taken[f.info.Name] || d.strayOnly[uint32(i)] < len(f.reader.Tensors()) {
				return false
			}
		}
		for _, t := range f.reader.Tensors() {
			balance[kind{t.DType, t.Shape.String()}] += step
		}
	}
	for _, n := range balance {
		if n != 0 {
			return false
		}
	}
	return true
}

// groups counts names under a key and keeps the first few.
type groups struct{ at map[string]*group }

type group struct {
	key, first string
	few        []string
	n          int
}

// fewNames is how many names a finding lists.
const fewNames = 3

func (g *groups) add(key, name string) { g.about(key, name, "") }

// about is add with what is to be said of the name.
func (g *groups) about(key, name, said string) {
	at := g.at[key]
	if at == nil {
		if g.at == nil {
			g.at = map[string]*group{}
		}
		at = &group{key: key, first: name}
		g.at[key] = at
	}
	if at.n++; at.n <= fewNames {
		at.few = append(at.few, strings.TrimSpace(strconv.Quote(name)+" "+said))
	}
}

// sorted are the groups by key.
func (g *groups) sorted() []*group {
	return slices.SortedFunc(maps.Values(g.at), func(a, b *group) int { return cmp.Compare(a.key, b.key) })
}

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

// repeated lists what an index would hide: tensors in two files, of which it can
// name one.
func (c *Checkpoint) repeated() error {
	stray := map[string]bool{}
	for _, f := range c.open {
		stray[f.info.Name] = f.stray
	}
	var errs []error
	for _, f := range c.findings {
		switch {
		case f.Rule == "duplicate-tensor", f.Rule == "conflicting-tensor", f.Rule == "no-tensors" && !stray[f.File]:
			errs = append(errs, errors.New(f.Message))
		}
	}
	return errors.Join(errs...)
}

// fixes are what follows a finding that a new index would fix.
var fixes = map[string]string{
	"foreign-index":        "; wreg reindex writes the right one",
	"index-missing-tensor": "; wreg reindex the folder if the shards are right",
	"wrong-shard":          "; wreg reindex fixes the index",
	"not-in-index":         "; wreg reindex fixes the index",
	"stray-shard":          "; wreg reindex takes it in",
}

// advise adds to findings that a new index would help, where it would: it can be
// written, every shard that it names was read, and none of the old one's is absent.
func (c *Checkpoint) advise() {
	d := c.draft
	if d == nil || d.Refused != nil || c.repeated() != nil || slices.ContainsFunc(c.findings, func(f tensor.Finding) bool { return f.Rule == "absent-shard" }) {
		return
	}
	named, read := shards.SetOf(d.Shards), 0
	for _, f := range c.open {
		if named[f.info.Name] {
			read++
		}
	}
	if read < len(named) {
		return
	}
	for i := range c.findings {
		if f := &c.findings[i]; f.Rule != "stray-shard" || named[f.File] {
			f.Message += fixes[f.Rule]
		}
	}
}

// fits reports whether an index says of the files it names just what they hold, and
// all of them are here.
func (c *Checkpoint) fits(x *shards.Index) bool {
	if x == nil {
		return false
	}
	said := make(map[string]string, len(x.Entries))
	for _, e := range x.Entries {
		said[e.Path] = x.Shards[e.Shard]
	}
	named := shards.SetOf(x.Shards)
	var files, tensors int
	var sum int64
	for _, f := range c.open {
		if !named[f.info.Name] {
			continue
		}
		files++
		for _, t := range f.reader.Tensors() {
			if said[t.Path] != f.info.Name {
				return false
			}
			tensors, sum = tensors+1, sum+t.Bytes
		}
	}
	return files == len(named) && tensors == len(said) && (x.TotalSize == "" || x.TotalSize == fmt.Sprint(sum))
}

// wroteMLX reports that the weights say of themselves that mlx wrote them.
func (c *Checkpoint) wroteMLX() bool {
	return slices.ContainsFunc(c.open, func(f *file) bool {
		s, ok := f.reader.(interface{ Metadata() map[string]string })
		return ok && s.Metadata()["format"] == "mlx"
	})
}

// weightName matches the last segment of what models multiply or add: there something
// must be. Of other tensors nothing is known.
var weightName = regexp.MustCompile(`^(weight|bias|.*_(weight|bias|proj))$`)

// noteEmpty reports weights without elements.
func (c *Checkpoint) noteEmpty() {
	var empty groups
	flat := true // as ZeRO-3 has them
	for i := range c.tensors {
		t := &c.tensors[i]
		if !slices.Contains(t.Shape, 0) {
			continue
		}
		if _, _, part := tensor.AdapterPart(t.Path); part || weightName.MatchString(t.Path[strings.LastIndexByte(t.Path, '.')+1:]) {
			empty.add(t.File, t.Path)
			flat = flat && len(t.Shape) == 1
		}
	}
	for _, g := range empty.sorted() {
		how := "look at how it was saved"
		if flat {
			how = "ZeRO-3 leaves them so when one rank saves its share: " + tensor.GatherZeRO3 + ", and save again"
		}
		c.note("no-elements", g.key, g.first, "%s: no elements in %d of %d tensors (%s); %s", g.key, g.n, len(c.tensors), strings.Join(g.few, ", "), how)
	}
}

// noteLeftover reports a config.json that says quantized of weights that are not.
func (c *Checkpoint) noteLeftover() {
	if c.doc == nil || slices.ContainsFunc(c.tensors, func(t tensor.Info) bool { return t.Coded() }) {
		return
	}
	// mlx_lm leaves transformers' block of an fp8 source beside the floats it made of
	// it, and passes over it: in what mlx wrote only mlx's own block means something.
	if key, method := claim.Quantized(c.doc); key != "" && len(c.tensors) > 0 && (strings.HasSuffix(key, "quantization") || !c.wroteMLX()) {
		if method != "" {
			method = " (" + method + ")"
		}
		c.note("leftover-quantization", "config.json", "",
			"config.json: %s%s says that weights are quantized, but none are: transformers would look for scales, mlx_lm may decode floats; an export leaves the block out", key, method)
	}
}
