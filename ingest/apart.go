package ingest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/gguf"
	"wreg/ingest/shards"
	"wreg/ingest/torch"
	"wreg/registry/tensor"
)

// maxSniffed is how many files of a folder that has no weights by their names are
// looked at for what they begin with, how many folders inside it are, and how many
// headers are read to see whether files are one model.
const maxSniffed = 256

// sortByContent finds weights among files whose names do not say so: those that begin
// as one of the formats does, and hold tensors. unread says of others why they cannot
// be read.
func sortByContent(x *fetcher, k *shards.Contents) (unread []string, err error) {
	for _, name := range k.Other[:min(len(k.Other), maxSniffed)] {
		if shards.OfTraining(name) {
			continue
		}
		if is, err := begins(x.ctx, x.d, name); err != nil {
			return nil, err
		} else if !is {
			continue
		}
		switch f := x.peek(name); {
		case unasked(f.err()):
			return nil, f.err()
		case f.err() != nil:
			unread = append(unread, fmt.Sprint(f.err()))
		case len(f.file.reader.Tensors()) > 0:
			of := shards.FamilyNamed(f.file.info.Format).Name
			k.Weights[of] = append(k.Weights[of], name)
		}
	}
	return unread[:min(len(unread), folder.MaxShown)], nil
}

// begins reports that a file begins as one of the formats does. Of one that cannot be
// opened, as a pipe or a link that leads out, nothing says that it is the model's.
func begins(ctx context.Context, d files.Files, name string) (bool, error) {
	f, err := openIn(ctx, d, name)
	if err != nil {
		return false, onlyUnasked(err)
	}
	defer f.disk.Close()
	head, err := f.head()
	return err == nil && (formatOf(head) != nil || foreign(name, head) != ""), onlyUnasked(err)
}

// oneModel reads the headers of files that may be models of their own, and says which
// are to be read as one: the one that holds tensors; the parts of a split GGUF, by its
// own count; files in sequence that share no tensor. Else it is for the user to choose.
func (c *Checkpoint) oneModel(x *fetcher, p *plan) ([]string, error) {
	var models, beside []string
	whole := true
	if len(p.apart) > maxSniffed {
		return nil, c.several(p.apart)
	}
	for _, name := range p.apart {
		f := x.peek(name)
		switch err := f.err(); {
		case unasked(err):
			return nil, err
		case err == nil && len(f.file.reader.Tensors()) == 0:
			c.note("passed-over", name, "", "%s: holds no tensors, so it is not the model", name)
		case errors.Is(err, torch.ErrOtherPickle):
			c.note("passed-over", name, "", "not read: %v", err)
		case errors.Is(err, errNoFormat):
			c.note("unreadable-file", name, "", "not read and not part of the checkpoint: %v", err)
		case err == nil && besideModel(f.file) != "":
			beside = append(beside, name)
		default:
			models, whole = append(models, name), whole && err == nil
		}
	}
	if len(models) == 0 {
		models, beside = beside, nil
	}
	for _, name := range shards.Without(beside, p.strays) { // those are told later
		c.noteBeside(x.peek(name).file)
	}
	whole = whole && len(models) == len(shards.Without(p.read, beside))
	switch {
	case len(models) == 0: // the errors of reading them say why
		return p.read, nil
	case len(models) == 1 && slices.Contains(p.read, models[0]):
		return shards.Without(p.read, shards.Without(p.apart, models)), nil
	case len(models) == 1, whole && oneSplit(x, models):
		return models, nil
	case whole && shards.InSequence(models) && disjoint(x, models):
		c.note("shards-by-number", models[0], "", "%s and %d more, which are numbered and have no tensor in common, were read as shards of one model; no index says so",
			models[0], len(models)-1)
		return models, nil
	}
	return nil, c.several(models)
}

// besideModel says what a file is that goes with a model and is none.
func besideModel(f *file) string {
	if g, ok := f.reader.(*gguf.File); ok && g.Beside() != "" {
		return g.Beside()
	}
	if tensor.IsAdapter(f.reader.Tensors()) {
		return "an adapter"
	}
	return ""
}

func (c *Checkpoint) noteBeside(f *file) {
	rule, what := "passed-over", besideModel(f)
	if what == "an adapter" {
		rule = "adapter-beside"
	}
	c.note(rule, f.info.Name, "", "%s: %s beside the model, not read: wreg ingest it by name to index it too", f.info.Name, what)
}

func (c *Checkpoint) several(models []string) error {
	return fmt.Errorf("%s: holds %d separate models: %s; name one", c.shown(), len(models), listed(models))
}

// listed names the first of some files, and how many more there are.
func listed(names []string) string {
	text := strings.Join(names[:min(len(names), folder.MaxShown)], ", ")
	if more := len(names) - folder.MaxShown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

// oneSplit reports that files are the parts of one split GGUF, by its metadata.
func oneSplit(x *fetcher, names []string) bool {
	seen := make([]bool, len(names))
	for _, name := range names {
		g, ok := x.peek(name).file.reader.(*gguf.File)
		if !ok {
			return false
		}
		if no, count := g.Split(); count != len(names) || seen[no] {
			return false
		} else {
			seen[no] = true
		}
	}
	return true
}

func disjoint(x *fetcher, names []string) bool {
	seen := map[string]bool{}
	for _, name := range names {
		for _, t := range x.peek(name).file.reader.Tensors() {
			if seen[t.Path] {
				return false
			}
			seen[t.Path] = true
		}
	}
	return true
}

// noteParts reports files that are parts of a checkpoint of which not all were read: a
// GGUF says so itself, of the one file that was named its name may.
func (c *Checkpoint) noteParts() {
	read := 0
	for _, f := range c.open {
		if !f.stray {
			read++
		}
	}
	for _, f := range c.open {
		name := f.info.Name
		if g, ok := f.reader.(*gguf.File); ok && !f.stray {
			if no, count := g.Split(); count > 1 && count != read {
				of := ""
				if all := g.SplitTensors(); all > 0 {
					of = fmt.Sprintf(" and holds %d of %d tensors", len(g.Tensors()), all)
				}
				c.note("part-of-set", name, "", "%s: is part %d of %d by its split.count%s; read its folder, with all of them in it", name, no+1, count, of)
				continue
			}
		}
		if c.single != name {
			continue
		}
		if no, count, ok := shards.PartOf(name); ok && count > 1 {
			c.note("part-of-set", name, "", "%s: is part %d of %d; name its folder to read them all", name, no, count)
		} else if kind := shards.PieceOf(name, c.neighbours); kind != nil {
			c.note("part-of-set", name, "", "%s: by its name one of %s; %s", name, kind.What, kind.Do)
		}
	}
}

// neighbours names what lies where the checkpoint does.
func (c *Checkpoint) neighbours() (list []string) {
	if c.place == nil {
		return names(c.root)
	}
	entries, _ := c.place.List(context.Background()) // it was asked for before
	for _, e := range entries {
		list = append(list, e.Name)
	}
	return list
}

// noteFlat says what tensors are that consist of pieces of weights.
func (c *Checkpoint) noteFlat() {
	if f, first, n := tensor.FlatAmong(c.tensors); n > 0 {
		c.note("flat-parameters", c.single, first, "%s: %d of %d tensors, the first %q, are %s: pieces of many weights in a row; %s", c.Path(), n, len(c.tensors), first, f.Whose, f.Do)
	}
}

// noteVariants says which files hold the model once more.
func (c *Checkpoint) noteVariants(all []shards.Variant) {
	for _, v := range all {
		name, by := v.Files[0], "wreg ingest it by name"
		if more := len(v.Files) - 1; more > 0 {
			by = fmt.Sprintf("so are %d more shards; name its index, or move them into a folder of their own,", more)
		}
		c.note("variant", name, "", "%s: not read: a variant of %s; %s to index it too", name, v.Of, by)
	}
}

// noteZero says that DeepSpeed's optimizer states lie beside weights that are whole, as
// in ZeRO's stages 1 and 2.
func (c *Checkpoint) noteZero(read, other []string) {
	if kind, some := shards.PiecesAmong(other); kind != nil && len(read) == 1 {
		c.note("optimizer-pieces", read[0], "", "%s: the weights as they are computed with; those in fp32 are in %s, %s, which were not read; %s",
			read[0], listed(some), kind.What, kind.Do)
	}
}

// comparedBytes is how much of a tensor tells whether two are equal, when headers are
// read.
const comparedBytes = 64 << 10

// pieced refuses files that no index tells apart, of which one holds most tensors of
// another with other bytes: pieces of each, of which only the first would be read.
func (c *Checkpoint) pieced() error {
	type pair struct{ first, second uint32 }
	again := map[pair]int{}
	largest := map[pair]rival{}
	for _, r := range c.rival {
		i, _ := c.tensors.Find(r.path)
		a, b := &c.tensors[i], c.info(r.at)
		at := pair{c.where[i].file, r.at.file}
		if c.open[at.second].stray || a.DType != b.DType || !a.Shape.Equal(b.Shape) {
			continue
		}
		again[at]++
		if l, ok := largest[at]; !ok || c.info(l.at).Bytes < b.Bytes {
			largest[at] = r
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(again), func(a, b pair) int { return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.second, b.second)) }) {
		n := again[at]
		if all := len(c.open[at.second].reader.Tensors()); 2*n < all || n < min(all, 2) {
			continue
		}
		r := largest[at]
		i, _ := c.tensors.Find(r.path)
		equal, err := c.sameStart(c.where[i], r.at, c.tensors[i].Bytes)
		if err != nil {
			return fmt.Errorf("%s: tensor %q: %w", c.open[at.second].info.Name, r.path, err)
		}
		if !equal {
			return fmt.Errorf("%s: %s and %s hold %d tensors with the same names and shapes but different bytes (tensor %q): pieces of each, one for each process of model parallelism, or separate models; join pieces with the software that wrote them, or name one file",
				c.shown(), c.open[at.first].info.Name, c.open[at.second].info.Name, n, r.path)
		}
	}
	return nil
}

// sameStart compares the first bytes of two tensors of n bytes.
func (c *Checkpoint) sameStart(a, b location, n int64) (bool, error) {
	n = min(n, comparedBytes)
	var starts [2][]byte
	for i, l := range []location{a, b} {
		r, err := c.at(l)
		if err != nil {
			return false, err
		}
		starts[i] = make([]byte, n)
		if err := tensor.ReadFull(r, starts[i], 0); err != nil {
			return false, err
		}
	}
	return bytes.Equal(starts[0], starts[1]), nil
}

// pieces refuses files each of which holds a piece of a tensor, which names and
// headers do not put together.
func (c *Checkpoint) pieces(names []string) error {
	if kind, some := shards.PiecesAmong(names); kind != nil {
		return fmt.Errorf("%s: its %s are %s: not a model that can be read; %s", c.shown(), listed(some), kind.What, kind.Do)
	}
	return nil
}

// noWeightsHere refuses a folder without weights, and says where some are.
func (c *Checkpoint) noWeightsHere(k *shards.Contents, hints []string) error {
	if err := c.pieces(slices.Concat(k.Other, k.Subfolders)); err != nil {
		return err
	}
	if len(k.Incomplete) > 0 {
		hints = append(hints, fmt.Sprintf("%s is an incomplete download", k.Incomplete[0]))
	}
	for _, name := range k.Subfolders {
		if shards.FamilyOf(name) != nil {
			hints = append(hints, name+": a folder, not a file")
		}
	}
	elsewhere := c.weightsOnDisk
	if c.place != nil {
		elsewhere = c.foldersFar
	}
	more, err := elsewhere(k)
	if err != nil {
		return err
	}
	hints = append(hints, more...)
	others := slices.DeleteFunc(slices.Clone(k.Other), shards.OfTraining)
	if n := len(k.Other) - len(others); n > 0 {
		hints = append(hints, fmt.Sprintf("%d more, as training leaves beside weights, were not looked at", n))
	}
	if err = fmt.Errorf("%s: no weights: no file lies in it", c.shown()); len(others) > 0 {
		err = fmt.Errorf("%s: no weights: none of %s is named *.safetensors, *.bin, *.pt, *.pth, *.gguf, *.npz or begins like one", c.shown(), tensor.Count(len(others), "file"))
	}
	if len(hints) > 0 {
		err = fmt.Errorf("%w (%s)", err, strings.Join(hints, "; "))
	}
	return err
}

// foldersFar says what to name in place of a place whose folders were not looked into.
func (c *Checkpoint) foldersFar(k *shards.Contents) (hints []string, err error) {
	if len(k.Subfolders) > 0 {
		hints = append(hints, "its folders were not looked into: name one, as "+c.shown()+"/"+k.Subfolders[0])
	}
	return hints, nil
}

// weightsOnDisk says where weights are in folders of the folder, and beside it.
func (c *Checkpoint) weightsOnDisk(k *shards.Contents) (hints []string, err error) {
	found, err := weightsBelow(c.root, k.Subfolders)
	if err != nil {
		return nil, err
	}
	switch len(found) {
	case 0:
	case 1:
		hints = append(hints, "its folder "+found[0]+" holds some: name that, "+filepath.Join(c.root, found[0]))
	default:
		hints = append(hints, "its folders "+listed(found)+" hold some: name one"+c.allOf(found))
	}
	if snapshots := filepath.Dir(c.root); filepath.Base(snapshots) == "snapshots" { // of the hf cache
		others, _ := os.ReadDir(snapshots)
		for _, e := range others {
			if name := e.Name(); name != filepath.Base(c.root) && holdsWeights(contents(filepath.Join(snapshots, name))) {
				hints = append(hints, "the snapshot "+name+" beside it holds some: name that, as org/name@"+name+" or by its path")
			}
			if len(hints) > folder.MaxShown {
				break
			}
		}
	}
	return hints, nil
}

// allOf says what to type to have each of the folders as a model.
func (c *Checkpoint) allOf(found []string) string {
	entries, err := os.ReadDir(c.root)
	entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return strings.HasPrefix(e.Name(), ".") }) // as a shell does
	folders := slices.DeleteFunc(slices.Clone(entries), func(e os.DirEntry) bool { return !e.IsDir() })
	names := tensor.ShellWord(c.root) + "/*"
	switch below := func(f string) bool { return f != filepath.Base(f) }; {
	case err == nil && len(folders) == len(found) && !slices.ContainsFunc(found, below):
		if len(folders) < len(entries) {
			names += "/"
		}
	case len(found) <= folder.MaxShown:
		names = ""
		for i, f := range found {
			if i > 0 {
				names += " "
			}
			names += tensor.ShellWord(filepath.Join(c.root, f))
		}
	default:
		return ""
	}
	return ", or all: wreg ingest " + names
}

// weightsBelow finds the folders inside root that hold weights, the nearest first. In
// one that does, no more are looked for. Where none does, it fails with what pieces are
// there instead.
func weightsBelow(root string, subs []string) (found []string, err error) {
	for looked := 0; len(subs) > 0 && looked < maxSniffed; looked++ {
		sub := subs[0]
		subs = subs[1:]
		if name := filepath.Base(sub); shards.OfTraining(name) || strings.HasPrefix(name, ".") {
			continue
		}
		k := contents(filepath.Join(root, sub))
		c := Checkpoint{root: filepath.Join(root, sub)}
		switch pieces := c.pieces(slices.Concat(k.Weights["torch"], k.Weights["safetensors"], k.Other, k.Subfolders)); {
		case pieces != nil:
			err = cmp.Or(err, pieces)
		case holdsWeights(k):
			found = append(found, sub)
		default:
			for _, name := range k.Subfolders {
				subs = append(subs, filepath.Join(sub, name))
			}
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	return nil, err
}

// contents sorts the names of a folder; one that cannot be read has none.
func contents(dir string) *shards.Contents { return shards.Sort(entries(dir)) }

func entries(dir string) []fs.DirEntry {
	d, err := folder.Open(dir)
	if err != nil {
		return nil
	}
	defer d.Close()
	entries, _ := d.List()
	return entries
}

func names(dir string) (names []string) {
	for _, e := range entries(dir) {
		names = append(names, e.Name())
	}
	return names
}

// holdsWeights reports that files of a folder are called as weights are.
func holdsWeights(k *shards.Contents) bool {
	return len(k.Weights) > 0 || len(k.Indexes) > 0 || isDistributed(k)
}
