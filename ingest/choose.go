package ingest

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// family is a kind of checkpoint that may lie in a folder beside others. Which
// files belong to it is told by extension; what a file holds, by its content.
type family struct {
	name       string
	extensions []string
	single     string // the one file that holds all weights
	stem       string // of its numbered shards
}

// families in the order of preference, which is transformers' own: safetensors
// before pickles.
var families = []family{
	{"safetensors", []string{".safetensors"}, "model.safetensors", "model"},
	{"torch", []string{".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}, "pytorch_model.bin", "pytorch_model"},
	{"gguf", []string{".gguf"}, "", ""},
	{"npz", []string{".npz", ".npy"}, "weights.npz", "weights"},
}

// noWeights are files that training leaves beside torch weights. They hold no
// weights of the model and are passed over.
var noWeights = regexp.MustCompile(`^(training_args|optimizer|scheduler|scaler|rng_state|random_states|trainer_state|loss)[-_.0-9a-z]*\.(bin|pt|pth|pkl)$`)

// familyOf finds the family of a file name by its extension.
func familyOf(name string) *family {
	ext := strings.ToLower(path.Ext(name))
	for i := range families {
		if slices.Contains(families[i].extensions, ext) && !noWeights.MatchString(name) {
			return &families[i]
		}
	}
	return nil
}

// plan is the choice of files of a folder.
type plan struct {
	read   []string
	strays []string
	index  *index // nil when there is none, or none that is about these files
	strict bool   // what the index says and is not so is an error
	draft  *draft // of a new index; nil when no folder was looked at
}

// choose decides which files of a folder are the weights:
//
//  1. the first of families of which there are files or an index;
//  2. with an index of that family: the shards it names, if any of them is there;
//  3. else the single file (model.safetensors) if it is there, as transformers does;
//  4. else the family's numbered shards, else the first numbered set by name;
//  5. else every file of the family.
//
// What is left over is stray: reported, compared, not read.
func (c *Checkpoint) choose(ctx context.Context, d *Folder, k *contents) (*plan, error) {
	chosen, x, err := c.chooseFamily(ctx, d, k)
	if err != nil {
		return nil, err
	}
	for i := range families {
		f := &families[i]
		if files := k.weights[f.name]; f != chosen && len(files) > 0 {
			c.note("other-format", files[0], "", "%s: not read (%d files of %s): the %s weights beside it are; wreg ingest it by name to index it too",
				files[0], len(files), f.name, chosen.name)
		}
	}
	files := k.weights[chosen.name]
	p := &plan{index: x, draft: drafted(chosen, files, x)}
	here := setOf(files)
	switch {
	case x != nil && (len(files) == 0 || slices.ContainsFunc(x.shards, func(s string) bool { return here[s] })):
		p.read = x.shards
	default:
		if x != nil {
			c.note("foreign-index", x.name, "", "%s: names %d shards, from %s, of which none is here; it was passed over", x.name, len(x.shards), x.shards[0])
			p.index = nil
		}
		if p.read, err = c.withoutIndex(chosen, files); err != nil {
			return nil, err
		}
	}
	p.strays = without(files, p.read)
	return p, nil
}

func setOf(names []string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// without lists the names that are none of some others.
func without(names, others []string) []string {
	out := setOf(others)
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return out[name] })
}

// chooseFamily finds the first family that is there, and its index.
func (c *Checkpoint) chooseFamily(ctx context.Context, d *Folder, k *contents) (*family, *index, error) {
	indexFamily := func(x *index) *family {
		for _, s := range x.shards {
			if f := familyOf(s); f != nil {
				return f
			}
		}
		return nil
	}
	// The usual name first, then by name.
	slices.SortStableFunc(k.indexes, func(a, b string) int { return usualIndex(a) - usualIndex(b) })
	of := map[*family]*index{}
	for _, name := range k.indexes {
		if f := indexNameFamily(name); f != nil && of[f] != nil {
			c.note("other-index", name, "", "%s: not read: %s is", name, of[f].name)
			continue
		}
		x, err := c.loadIndex(ctx, d, name)
		if err != nil {
			return nil, nil, err
		}
		switch f := indexFamily(x); {
		case f == nil:
			return nil, nil, fmt.Errorf("%s: names no file of weights", name)
		case of[f] != nil:
			c.note("other-index", name, "", "%s: not read: %s is", name, of[f].name)
		default:
			of[f] = x
		}
	}
	for i := range families {
		if f := &families[i]; len(k.weights[f.name]) > 0 || of[f] != nil {
			return f, of[f], nil
		}
	}
	return nil, nil, c.noWeightsHere(k)
}

func usualIndex(name string) int {
	if name == "model.safetensors"+indexSuffix || name == "pytorch_model.bin"+indexSuffix {
		return 0
	}
	return 1
}

// indexNameFamily tells from model.safetensors.index.json whose index it is.
func indexNameFamily(name string) *family {
	return familyOf(strings.TrimSuffix(name, indexSuffix))
}

// numbered is the name of one of several shards: model-00002-of-00004.safetensors.
var numbered = regexp.MustCompile(`^(.*)-(\d{5,6})-of-(\d{5,6})(\.[a-z0-9]+)$`)

// set is files whose names say that they belong together.
type set struct {
	stem  string // before the numbers
	files []string
}

// sets are the numbered sets among files, in the order of their names.
func sets(files []string) (list []set) {
	at := map[string]int{}
	for _, file := range files {
		m := numbered.FindStringSubmatch(file)
		if m == nil {
			continue
		}
		key := m[1] + "-of-" + m[3] + m[4]
		i, known := at[key]
		if !known {
			i = len(list)
			at[key] = i
			list = append(list, set{stem: m[1]})
		}
		list[i].files = append(list[i].files, file)
	}
	slices.SortFunc(list, func(a, b set) int { return strings.Compare(a.files[0], b.files[0]) })
	return list
}

// pick chooses among files when no index decides: the single one, else the usual
// numbered set, else the first, else all. rivals are the sets that another might
// have chosen as well.
func (f *family) pick(files []string) (chosen []string, rivals []set) {
	if slices.Contains(files, f.single) {
		return []string{f.single}, nil
	}
	all := sets(files)
	if len(all) == 0 {
		return files, nil
	}
	usual := slices.DeleteFunc(slices.Clone(all), func(s set) bool { return s.stem != f.stem })
	if f.stem == "" || len(usual) == 0 {
		usual = all
	}
	return usual[0].files, usual[1:]
}

// withoutIndex is the choice among the files of a family when no index decides.
// Several gguf files are several checkpoints, mostly one model in several
// quantizations: then it is for the user to choose.
func (c *Checkpoint) withoutIndex(f *family, files []string) ([]string, error) {
	if f.name == "gguf" {
		all := sets(files)
		n := len(all) + len(files)
		for _, s := range all {
			n -= len(s.files)
		}
		if n > 1 {
			return nil, fmt.Errorf("%s: holds %d gguf files that are checkpoints of their own (%s, …); name one", c.root, n, files[0])
		}
	}
	chosen, _ := f.pick(files)
	if first, absent, total := absentNumbers(chosen); absent > 0 {
		c.note("absent-shard", first, "", "%s: absent, as are %d of %d shards by their numbers; download them", first, absent, total)
	}
	return chosen, nil
}

// absentNumbers counts the numbers that a set of shards lacks; the rest of a name
// is that of the first.
func absentNumbers(have []string) (first string, absent, total int) {
	if len(have) == 0 {
		return "", 0, 0
	}
	m := numbered.FindStringSubmatch(have[0])
	if m == nil {
		return "", 0, 0
	}
	fmt.Sscanf(m[3], "%d", &total)
	seen := setOf(have)
	for n := 1; n <= total; n++ {
		name := fmt.Sprintf("%s-%0*d-of-%s%s", m[1], len(m[2]), n, m[3], m[4])
		if !seen[name] {
			if absent++; first == "" {
				first = name
			}
		}
	}
	return first, absent, total
}

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
