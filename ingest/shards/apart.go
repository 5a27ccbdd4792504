package shards

import (
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"wreg/registry/tensor"
)

// Variant is files that holds a model once more: in another type, or as training
// left it beside what it made of it. diffusers and transformers name it so, and read
// the one without the word.
type Variant struct {
	Files []string // one, or its shards
	Of    string
}

// setVariantsApart takes NAME.WORD.ext out of the weights where NAME.ext, or shards of
// it, are among them.
func (k *Contents) setVariantsApart() {
	usual := map[string]string{}
	for _, f := range Families {
		for _, name := range k.Weights[f.Name] {
			if at := bare(name); usual[at] == "" && f.variants {
				usual[at] = name
			}
		}
	}
	for _, f := range Families {
		if !f.variants {
			continue
		}
		k.Weights[f.Name] = slices.DeleteFunc(k.Weights[f.Name], func(name string) bool {
			for at := bare(name); ; {
				m := word.FindStringSubmatch(at)
				if m == nil {
					return false
				}
				if at = m[1]; usual[at] != "" {
					k.variant(name, usual[at])
					return true
				}
			}
		})
		if len(k.Weights[f.Name]) == 0 {
			delete(k.Weights, f.Name)
		}
	}
}

// variant adds a file to the variants, to the shards of the same if it is one.
func (k *Contents) variant(name, of string) {
	if _, _, part := PartOf(name); part && len(k.Variants) > 0 {
		last := &k.Variants[len(k.Variants)-1]
		if len(Sets(append(slices.Clone(last.Files), name))) == 1 {
			last.Files = append(last.Files, name)
			return
		}
	}
	k.Variants = append(k.Variants, Variant{[]string{name}, of})
}

// Keep puts variants that an index names back among the weights: they are its shards.
func (k *Contents) Keep(x *Index) {
	named := SetOf(x.Shards)
	k.Variants = slices.DeleteFunc(k.Variants, func(v Variant) bool {
		f := FamilyOf(v.Files[0])
		if !slices.ContainsFunc(v.Files, func(name string) bool { return named[name] }) {
			return false
		}
		k.Weights[f.Name] = append(k.Weights[f.Name], v.Files...)
		slices.Sort(k.Weights[f.Name])
		return true
	})
}

// word is the last of the words that dots set apart. One that begins with a digit is a
// number or a version.
var word = regexp.MustCompile(`^(.+)\.[A-Za-z][\w-]*$`)

// bare is a name without extension and numbers.
func bare(name string) string {
	if m := numbered.FindStringSubmatch(name); m != nil {
		name = m[1] + m[5]
	}
	return strings.TrimSuffix(name, path.Ext(name))
}

// Apart lists a file of each model that may lie in a folder without an index, of which
// f is the family to read; nil when names say that there is one.
func (k *Contents) Apart(f *Family) []string {
	files := k.Weights[f.Name]
	if f.named(files) {
		return nil
	}
	firsts := f.apart(files)
	if firsts == nil && len(files) > 0 {
		firsts = files[:1]
	}
	stems := map[string]bool{}
	for _, name := range files {
		stems[bare(name)] = true
	}
	for _, other := range Families {
		if other.Name == f.Name || other.Name == "npz" { // arrays lie beside many a model
			continue
		}
		for _, name := range k.Weights[other.Name] {
			if at := bare(name); !stems[at] {
				stems[at] = true
				firsts = append(firsts, name)
			}
		}
	}
	if len(firsts) < 2 {
		return nil
	}
	return firsts
}

// apart lists a file of each model that files of a family may be, nil when they are one.
// Where there is a set, it is read and the rest are strays.
func (f *Family) apart(files []string) []string {
	sets := Sets(files)
	if len(sets) > 0 && f.Name != "gguf" {
		stems := map[string]bool{}
		var firsts []string
		for _, s := range sets { // two of one stem are what two uploads left
			if !stems[s.stem] {
				stems[s.stem] = true
				firsts = append(firsts, s.Files[0])
			}
		}
		return firsts
	}
	var of, firsts []string
	for _, s := range sets {
		of, firsts = append(of, s.Files...), append(firsts, s.Files[0])
	}
	arrays := false
	for _, name := range Without(files, of) {
		array := path.Ext(name) == ".npy" // all of them are one model's
		if !array || !arrays {
			firsts = append(firsts, name)
		}
		arrays = arrays || array
	}
	return firsts
}

// Piece is a kind of file that holds a piece of each tensor, or of the list of them,
// in a way that names do not undo.
type Piece struct {
	name *regexp.Regexp
	few  int    // this many of them are needed to be pieces
	What string // they are
	Do   string // to have what they are pieces of
}

const joinThem = "join them with the software that wrote them"

// Pieces are in the order in which they are looked for.
var Pieces = []Piece{
	{regexp.MustCompile(`zero_pp_rank_\d+_mp_rank_\d+_model_states\.pt$`), 1, "pieces of a DeepSpeed ZeRO-3 checkpoint, one for each process", tensor.ZeROToFP32},
	{regexp.MustCompile(`zero_pp_rank_\d+_mp_rank_\d+_?optim_states\.pt$`), 1, "optimizer states of a DeepSpeed ZeRO checkpoint, one for each process", tensor.ZeROToFP32},
	{regexp.MustCompile(`^layer_\d+-model_\d+-model_states\.pt$`), 1, "layers of a DeepSpeed pipeline, in pieces", joinThem},
	{regexp.MustCompile(`^mp_rank_\d+(_\d+)*(_model_states\.pt)?$`), 2, "pieces of each tensor, one for each process of model parallelism (Megatron, DeepSpeed)", joinThem},
	{regexp.MustCompile(`^consolidated\.\d+\.(pth|pt|safetensors)$`), 2, "pieces of each tensor, one for each process of model parallelism, as Meta's models come", "convert them with the script of the model's makers, or of transformers"},
	{regexp.MustCompile(`^model\d+-mp\d+\.safetensors$`), 2, "pieces of each tensor, one for each process of model parallelism, as DeepSeek's converter leaves them", "take the files they were made of"},
	{regexp.MustCompile(`(^|[-_.])(model_parallel|tp|mp|rank)[-_]?(?P<no>\d+)([-_.].*)?\.(pt|pth|bin|ckpt|safetensors)$`), 2, "pieces, one for each process (FSDP, tensor or model parallelism)", joinThem},
	{regexp.MustCompile(`\.(safetensors|gguf|bin|pt|pth|ckpt|npz)[-.](split-?)?(part)?[-_.]?([a-z]{1,3}|\d{1,4}([-_]?of[-_]?\d{1,4})?)$`), 2, "pieces of one file, as split leaves them", "join them with cat, in their order"},
}

// first reports the piece of the first process: other numbers (lora_rank_16) count none.
func (p *Piece) first(name string) bool {
	return strings.Trim(p.name.FindStringSubmatch(name)[p.name.SubexpIndex("no")], "0") == ""
}

// PieceOf says what a file is a piece of by its name and, where it takes several to be
// sure, by those beside it.
func PieceOf(name string, beside func() []string) *Piece {
	if !slices.ContainsFunc(Pieces, func(p Piece) bool { return p.name.MatchString(name) }) {
		return nil
	}
	if kind, pieces := PiecesAmong(beside()); slices.Contains(pieces, name) {
		return kind
	}
	return nil
}

// PiecesAmong finds the first kind of pieces among names.
func PiecesAmong(names []string) (kind *Piece, pieces []string) {
	for i := range Pieces {
		kind = &Pieces[i]
		pieces = slices.DeleteFunc(slices.Clone(names), func(name string) bool { return !kind.name.MatchString(name) })
		if len(pieces) >= kind.few && (kind.name.SubexpIndex("no") < 0 || slices.ContainsFunc(pieces, kind.first)) {
			return kind, pieces
		}
	}
	return nil, nil
}

// sequel is a name that ends in a number.
var sequel = regexp.MustCompile(`^(.*?[-_.]?)(\d{1,6})(\.\w+)$`)

// InSequence reports that names are equal but for a number that counts from 0 or 1: as
// mlx once wrote weights.00.npz.
func InSequence(names []string) bool {
	var stem string
	var numbers []int
	for i, name := range names {
		m := sequel.FindStringSubmatch(name)
		if m == nil || i > 0 && m[1]+m[3] != stem {
			return false
		}
		n, _ := strconv.Atoi(m[2])
		stem, numbers = m[1]+m[3], append(numbers, n)
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if n != numbers[0]+i {
			return false
		}
	}
	return len(numbers) > 1 && numbers[0] <= 1
}
