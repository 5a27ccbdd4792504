package ingest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// draft is the index that Reindex would write for a folder, on paper. It is made
// before reindexing is advised, too: nobody is told to do what would be refused, or
// would leave out what an index has right.
type draft struct {
	shards  []string // that it names
	refused error    // why it cannot be written, as far as names tell
}

// drafted decides by the names of a family's files; old is the index that is there.
func drafted(f *family, files []string, old *index) *draft {
	chosen, rivals := f.pick(files)
	d := &draft{shards: chosen}
	var errs []error
	if len(rivals) > 0 {
		names := []string{chosen[0]}
		for _, r := range rivals {
			names = append(names, r.files[0])
		}
		errs = append(errs, fmt.Errorf("%d sets of shards lie here, as two uploads leave them (%s): which one is meant, their names do not say; remove the others",
			len(names), strings.Join(names[:min(len(names), 5)], ", ")))
	}
	if first, absent, total := absentNumbers(chosen); absent > 0 {
		errs = append(errs, fmt.Errorf("%s: absent, as are %d of %d shards by their numbers; download them", first, absent, total))
	}
	if old != nil && len(rivals) == 0 {
		here, named := setOf(files), setOf(chosen)
		lost := slices.DeleteFunc(slices.Clone(old.shards), func(s string) bool { return !here[s] || named[s] })
		if len(lost) > 0 {
			errs = append(errs, fmt.Errorf("%s names %s, which is here and no shard of the set from %s: a new index would leave out %d files; remove those that are not the model's",
				old.name, lost[0], chosen[0], len(lost)))
		}
	}
	d.refused = errors.Join(errs...)
	return d
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

// mends are what follows a finding where a new index would do away with it.
var mends = map[string]string{
	"foreign-index":        "; wreg reindex writes the right one",
	"index-missing-tensor": "; wreg reindex the folder if the shards are right",
	"wrong-shard":          "; wreg reindex mends the index",
	"not-in-index":         "; wreg reindex mends the index",
	"stray-shard":          "; wreg reindex takes it in",
}

// advise adds to findings that a new index would help, where it would: it can be
// written, every shard that it names was read, and none of the old one's is absent.
func (c *Checkpoint) advise() {
	d := c.draft
	if d == nil || d.refused != nil || c.repeated() != nil || slices.ContainsFunc(c.findings, func(f tensor.Finding) bool { return f.Rule == "absent-shard" }) {
		return
	}
	named, read := setOf(d.shards), 0
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
			f.Message += mends[f.Rule]
		}
	}
}

// fits reports whether an index says of the files it names just what they hold, and
// all of them are here.
func (c *Checkpoint) fits(x *index) bool {
	if x == nil {
		return false
	}
	said := make(map[string]string, len(x.entries))
	for _, e := range x.entries {
		said[e.path] = x.shards[e.shard]
	}
	named := setOf(x.shards)
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
	return files == len(named) && tensors == len(said) && (x.totalSize == "" || x.totalSize == fmt.Sprint(sum))
}
