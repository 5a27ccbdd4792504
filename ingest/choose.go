package ingest

import (
	"context"
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
	p := &plan{index: x}
	switch {
	case x != nil && (len(files) == 0 || slices.ContainsFunc(x.shards, func(s string) bool { return slices.Contains(files, s) })):
		p.read = x.shards
	default:
		if x != nil {
			c.note("foreign-index", x.name, "", "%s: names %d shards, from %s, of which none is here; it was passed over; wreg reindex writes the right one",
				x.name, len(x.shards), x.shards[0])
			p.index = nil
		}
		if p.read, err = c.withoutIndex(chosen, files); err != nil {
			return nil, err
		}
	}
	for _, name := range files {
		if !slices.Contains(p.read, name) {
			p.strays = append(p.strays, name)
		}
	}
	return p, nil
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

// withoutIndex is the choice among the files of a family when no index decides.
// Several gguf files are several checkpoints, mostly one model in several
// quantizations: then it is for the user to choose.
func (c *Checkpoint) withoutIndex(f *family, files []string) ([]string, error) {
	if slices.Contains(files, f.single) {
		return []string{f.single}, nil
	}
	sets := map[string][]string{}
	var names []string
	for _, file := range files {
		if m := numbered.FindStringSubmatch(file); m != nil {
			set := m[1] + "-of-" + m[3] + m[4]
			if sets[set] == nil {
				names = append(names, set)
			}
			sets[set] = append(sets[set], file)
		}
	}
	inSets := 0
	for _, set := range sets {
		inSets += len(set)
	}
	if f.name == "gguf" && len(names)+len(files)-inSets > 1 {
		return nil, fmt.Errorf("%s: holds %d gguf files that are checkpoints of their own (%s, …); name one", c.root, len(names)+len(files)-inSets, files[0])
	}
	if len(names) == 0 {
		return files, nil
	}
	slices.Sort(names)
	pick := names[0]
	for _, n := range names {
		if strings.HasPrefix(n, f.stem+"-of-") && f.stem != "" {
			pick = n
			break
		}
	}
	c.absentNumbers(sets[pick])
	return sets[pick], nil
}

// absentNumbers reports the numbers that a set of shards lacks.
func (c *Checkpoint) absentNumbers(have []string) {
	m := numbered.FindStringSubmatch(have[0])
	total := 0
	fmt.Sscanf(m[3], "%d", &total)
	seen := map[string]bool{}
	for _, name := range have {
		seen[name] = true
	}
	absent, first := 0, ""
	for n := 1; n <= total; n++ {
		name := fmt.Sprintf("%s-%0*d-of-%s%s", m[1], len(m[2]), n, m[3], m[4])
		if !seen[name] {
			if absent++; first == "" {
				first = name
			}
		}
	}
	if absent > 0 {
		c.note("absent-shard", first, "", "%s: absent, as are %d of %d shards by their numbers; download them", first, absent, total)
	}
}
