package shards

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// numbered is the name of one of several shards: model-00002-of-00004.safetensors,
// a variant's model-00002-of-00004.fp16.bin too.
var numbered = regexp.MustCompile(`^(.*?)[-_.](\d{1,6})([-_])of[-_](\d{1,6})((?:\.\w+)+)$`)

// PartOf says which shard of how many a name is that of.
func PartOf(name string) (no, of int, ok bool) {
	m := numbered.FindStringSubmatch(name)
	if m == nil {
		return 0, 0, false
	}
	no, _ = strconv.Atoi(m[2]) // of six digits at most
	of, _ = strconv.Atoi(m[4])
	return no, of, true
}

// Set is files whose names say that they belong together.
type Set struct {
	stem  string // before the numbers
	Files []string
}

// Sets are the numbered sets among files, in the order of their names.
func Sets(files []string) (list []Set) {
	at := map[string]int{}
	for _, file := range files {
		m := numbered.FindStringSubmatch(file)
		if m == nil {
			continue
		}
		key := m[1] + m[3] + "of" + m[3] + m[4] + m[5]
		i, known := at[key]
		if !known {
			i = len(list)
			at[key] = i
			list = append(list, Set{stem: m[1]})
		}
		list[i].Files = append(list[i].Files, file)
	}
	slices.SortFunc(list, func(a, b Set) int { return strings.Compare(a.Files[0], b.Files[0]) })
	return list
}

// Pick chooses among files when no Index decides: the single one, else the usual
// numbered set, else the first, else all. rivals are the sets that another might
// have chosen as well.
func (f *Family) Pick(files []string) (chosen []string, rivals []Set) {
	if slices.Contains(files, f.Single) {
		return []string{f.Single}, nil
	}
	all := Sets(files)
	if len(all) == 0 {
		return files, nil
	}
	usual := f.usual(all)
	if len(usual) == 0 {
		usual = all
	}
	return usual[0].Files, usual[1:]
}

// usual are the sets called as the family's shards are.
func (f *Family) usual(sets []Set) []Set {
	return slices.DeleteFunc(slices.Clone(sets), func(s Set) bool { return f.stem == "" || s.stem != f.stem })
}

// named reports whether files are called as the family's are: then what other names
// there are is beside them.
func (f *Family) named(files []string) bool {
	return f.Single != "" && slices.Contains(files, f.Single) || len(f.usual(Sets(files))) > 0
}

// absences finds the first of the numbers that a set of shards lacks, and says how
// many there are; the rest of a name is that of the first shard. A few writers count
// from 0.
func absences(have []string) (first, said string) {
	if len(have) == 0 {
		return "", ""
	}
	at := numbered.FindStringSubmatchIndex(have[0])
	if at == nil {
		return "", ""
	}
	from := 1
	no, total, _ := PartOf(have[0])
	if no == 0 {
		from = 0
	}
	absent := 0
	seen := SetOf(have)
	for n := from; n < from+total; n++ {
		name := fmt.Sprintf("%s%0*d%s", have[0][:at[4]], at[5]-at[4], n, have[0][at[5]:])
		if !seen[name] {
			if absent++; first == "" {
				first = name
			}
		}
	}
	if absent > 0 {
		said = fmt.Sprintf("%s: missing (%d of %d numbered shards); download what is missing", first, absent, total)
	}
	return first, said
}

// SetOf is the set of some names.
func SetOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// Without lists the names that are not among others.
func Without(names, others []string) []string {
	out := SetOf(others)
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return out[name] })
}

// Draft is the index that Reindex would write for a folder, on paper. It is made
// before reindexing is advised, too: nobody is told to do what would be refused, or
// would leave out what an index has right.
type Draft struct {
	Shards  []string // that it names
	Absent  string   // the first shard that is absent by its number, "" when none is
	Lacking string   // how many are
	Refused error    // why it cannot be written, as far as names tell
}

// Draw drafts it by the names of a family's files; old is the index that is there.
func Draw(f *Family, files []string, old *Index) *Draft {
	chosen, rivals := f.Pick(files)
	d := &Draft{Shards: chosen}
	d.Absent, d.Lacking = absences(chosen)
	var errs []error
	if len(rivals) > 0 {
		names := []string{chosen[0]}
		for _, r := range rivals {
			names = append(names, r.Files[0])
		}
		errs = append(errs, fmt.Errorf("%d sets of shards lie here, as two uploads leave them (%s): their names do not say which one is meant; remove the others",
			len(names), strings.Join(names[:min(len(names), 5)], ", ")))
	}
	if d.Lacking != "" {
		errs = append(errs, errors.New(d.Lacking))
	}
	if old != nil && len(rivals) == 0 {
		here, named := SetOf(files), SetOf(chosen)
		lost := slices.DeleteFunc(slices.Clone(old.Shards), func(s string) bool { return !here[s] || named[s] })
		if len(lost) > 0 {
			errs = append(errs, fmt.Errorf("%s names %s, which is here and not a shard of the set from %s: a new index would leave out %d files; remove those that are not the model's",
				old.Name, lost[0], chosen[0], len(lost)))
		}
	}
	d.Refused = errors.Join(errs...)
	return d
}
