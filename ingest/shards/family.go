package shards

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Family is a kind of checkpoint that may lie in a folder beside others. Which
// files belong to it follows from the extension; what a file holds, from its content.
type Family struct {
	Name       string
	extensions []string
	Single     string // the one file that holds all weights
	stem       string // of its numbered shards
	variants   bool   // NAME.WORD.ext beside NAME.ext is a variant of it
}

// Families are in the order of preference, which is transformers' own: safetensors
// before pickles.
var Families = []Family{
	{"safetensors", []string{".safetensors"}, "model.safetensors", "model", true},
	{"torch", []string{".bin", ".pt", ".pt2", ".pth", ".ckpt", ".pkl", ".pickle"}, "pytorch_model.bin", "pytorch_model", true},
	{"gguf", []string{".gguf"}, "", "", false},
	{"npz", []string{".npz", ".npy"}, "weights.npz", "weights", false},
}

// noWeights are files and folders that training leaves beside torch weights. They
// hold no weights of the model and are passed over.
var noWeights = regexp.MustCompile(`(?i)^((training_args|optim|optimizers?|optimizer_states?|(lr_)?schedulers?|scaler|sampler|rng_states?|random_states|train(ing|er)?_state|extra_state|custom_checkpoint|loss)\d*([-_.][-_.0-9a-z]*)?|.*optim_states)(\.(bin|pt|pth|pkl))?$`)

// OfTraining reports the name of a file or folder that holds what training needs to
// go on, and no weights.
func OfTraining(name string) bool { return noWeights.MatchString(name) }

// FamilyOf finds the family of a file name by its extension.
func FamilyOf(name string) *Family {
	ext := strings.ToLower(path.Ext(name))
	for i := range Families {
		if slices.Contains(Families[i].extensions, ext) && !OfTraining(name) {
			return &Families[i]
		}
	}
	return nil
}

// FamilyNamed finds the family of a file by its format.
func FamilyNamed(format string) *Family {
	if format == "npy" {
		format = "npz"
	}
	return &Families[slices.IndexFunc(Families, func(f Family) bool { return f.Name == format })]
}

// incomplete are the extensions that programs give a download before it is whole, or a
// file beside it that says so.
var incomplete = []string{".incomplete", ".part", ".partial", ".crdownload", ".download", ".aria2"}

// Contents is what a folder holds, sorted into what concerns us.
type Contents struct {
	Weights    map[string][]string // family → files, sorted
	Variants   []Variant           // of them: not among Weights
	Indexes    []string
	Incomplete []string
	Config     bool
	Subfolders []string
	Other      []string
}

// Sort sorts the names of a folder.
func Sort(entries []fs.DirEntry) *Contents {
	k := &Contents{Weights: map[string][]string{}}
	for _, e := range entries {
		name := e.Name()
		f := FamilyOf(name)
		switch {
		case e.IsDir():
			k.Subfolders = append(k.Subfolders, name)
		case name == "config.json":
			k.Config = true
		case slices.Contains(incomplete, path.Ext(name)):
			k.Incomplete = append(k.Incomplete, name)
		case strings.HasSuffix(name, IndexSuffix):
			k.Indexes = append(k.Indexes, name)
		case f != nil:
			k.Weights[f.Name] = append(k.Weights[f.Name], name)
		default:
			k.Other = append(k.Other, name)
		}
	}
	k.setVariantsApart()
	return k
}

// Family is the first of which files have the usual names, or an index; else the first
// of which there are files; nil when there is none.
func (k *Contents) Family(indexed func(*Family) bool) *Family {
	for _, is := range []func(*Family) bool{
		func(f *Family) bool { return indexed(f) || f.named(k.Weights[f.Name]) },
		func(f *Family) bool { return len(k.Weights[f.Name]) > 0 },
	} {
		for i := range Families {
			if is(&Families[i]) {
				return &Families[i]
			}
		}
	}
	return nil
}

// UsualIndex is 0 for the names that writers give an index, 1 for others.
func UsualIndex(name string) int {
	if name == "model.safetensors"+IndexSuffix || name == "pytorch_model.bin"+IndexSuffix {
		return 0
	}
	return 1
}

// FamilyOfIndex tells from model.safetensors.index.json whose index it is.
func FamilyOfIndex(name string) *Family {
	return FamilyOf(strings.TrimSuffix(name, IndexSuffix))
}
