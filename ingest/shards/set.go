package shards

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Numbered is the name of one of several shards: model-00002-of-00004.safetensors.
var Numbered = regexp.MustCompile(`^(.*)-(\d{5,6})-of-(\d{5,6})(\.[a-z0-9]+)$`)

// Set is files whose names say that they belong together.
type Set struct {
	stem  string // before the numbers
	Files []string
}

// Sets are the numbered sets among files, in the order of their names.
func Sets(files []string) (list []Set) {
	at := map[string]int{}
	for _, file := range files {
		m := Numbered.FindStringSubmatch(file)
		if m == nil {
			continue
		}
		key := m[1] + "-of-" + m[3] + m[4]
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
	usual := slices.DeleteFunc(slices.Clone(all), func(s Set) bool { return s.stem != f.stem })
	if f.stem == "" || len(usual) == 0 {
		usual = all
	}
	return usual[0].Files, usual[1:]
}

// absences finds the first of the numbers that a set of shards lacks, and says how
// many there are; the rest of a name is that of the first shard.
func absences(have []string) (first, said string) {
	if len(have) == 0 {
		return "", ""
	}
	m := Numbered.FindStringSubmatch(have[0])
	if m == nil {
		return "", ""
	}
	var absent, total int
	fmt.Sscanf(m[3], "%d", &total)
	seen := SetOf(have)
	for n := 1; n <= total; n++ {
		name := fmt.Sprintf("%s-%0*d-of-%s%s", m[1], len(m[2]), n, m[3], m[4])
		if !seen[name] {
			if absent++; first == "" {
				first = name
			}
		}
	}
	if absent > 0 {
		said = fmt.Sprintf("%s: absent, as are %d of %d numbered shards; download them", first, absent, total)
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

// Without lists the names that are none of some others.
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
		errs = append(errs, fmt.Errorf("%d sets of shards lie here, as two uploads leave them (%s): which one is meant, their names do not say; remove the others",
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
