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
}

// Families are in the order of preference, which is transformers' own: safetensors
// before pickles.
var Families = []Family{
	{"safetensors", []string{".safetensors"}, "model.safetensors", "model"},
	{"torch", []string{".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle"}, "pytorch_model.bin", "pytorch_model"},
	{"gguf", []string{".gguf"}, "", ""},
	{"npz", []string{".npz", ".npy"}, "weights.npz", "weights"},
}

// noWeights are files that training leaves beside torch weights. They hold no
// weights of the model and are passed over.
var noWeights = regexp.MustCompile(`^(training_args|optimizer|scheduler|scaler|rng_state|random_states|trainer_state|loss)[-_.0-9a-z]*\.(bin|pt|pth|pkl)$`)

// FamilyOf finds the family of a file name by its extension.
func FamilyOf(name string) *Family {
	ext := strings.ToLower(path.Ext(name))
	for i := range Families {
		if slices.Contains(Families[i].extensions, ext) && !noWeights.MatchString(name) {
			return &Families[i]
		}
	}
	return nil
}

// Contents is what a folder holds, sorted into what concerns us.
type Contents struct {
	Weights    map[string][]string // family → files, sorted
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
		case name == "config.json":
			k.Config = true
		case strings.HasSuffix(name, ".incomplete"):
			k.Incomplete = append(k.Incomplete, name)
		case strings.HasSuffix(name, IndexSuffix):
			k.Indexes = append(k.Indexes, name)
		case f != nil:
			k.Weights[f.Name] = append(k.Weights[f.Name], name)
		case e.IsDir():
			k.Subfolders = append(k.Subfolders, name)
		default:
			k.Other = append(k.Other, name)
		}
	}
	return k
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
