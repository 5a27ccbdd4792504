// Package arch matches a checkpoint with its architecture: what a model must hold,
// in each layout, as a function of its config.json; what a checkpoint lacks of it;
// and how each tensor of the mlx layout is made from the hf one, or the other way.
//
// Most users need [FindFor] (the architecture for a config and a checkpoint's names), [Arch.Resolve] (targets,
// gaps and unused tensors of a checkpoint; [Arch.Lacks] is what is missing alone),
// [Arch.Expect] (what a layout must hold),
// [Arch.Against] (what a checkpoint lacks of it, and what would fix that) and
// [Arch.Invert] (the way back from mlx to hf).
//
// A question passes four packages: [wreg/registry/arch/lang] parses the .arch file,
// [wreg/registry/arch/declare] applies it to the config, this package matches the
// result with the checkpoint, and the trees it returns are of
// [wreg/registry/arch/op]. Here, match.go finds stored tensors under their names,
// forward.go evaluates an expression and names what other software stored, codec_read.go
// reads packed tensors, choose.go picks the way to make an output, leftover.go judges
// what no output needs and resolve.go puts all together.
//
// Invariants: what was found never defines what was expected; every source tensor is
// used by a rule or dropped by a named one, else it is in Unused; no tensor bytes are
// read; a question takes no more than the budget of package declare.
package arch

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/lang"
	"wreg/registry/arch/op"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// The layouts.
const (
	HF     = "hf"        // per expert, PyTorch names
	MLX    = lang.MLX    // stacked, as mlx_lm wants them
	MLXVLM = lang.MLXVLM // with towers and all, as mlx_vlm wants them
)

// Made are the layouts that an architecture makes of hf's, each for one consumer.
var Made = lang.Layouts

// Layouts are all of them.
var Layouts = append([]string{HF}, Made...)

// Arch is one parsed architecture.
type Arch struct{ *lang.Arch }

// Config is a parsed config.json.
type Config = declare.Config

// Error is a fault met while an architecture is applied to a config: a key that is
// missing, a combination it refuses.
type Error = declare.Error

// UnknownError says which model_type has no architecture, and what is near.
type UnknownError = lang.UnknownError

// MaxConfig is how many bytes a config.json may have.
const MaxConfig = declare.MaxConfig

// ParseConfig reads config.json as Python does.
func ParseConfig(data []byte) (*Config, error) { return declare.ParseConfig(data) }

// NewConfig is ParseConfig of a file that was read.
func NewConfig(doc *pyjson.Object) *Config { return declare.NewConfig(doc) }

// Find gives the architecture that serves a config's model_type, its consumer's renames
// included: that of the first layout that has one. Unknown: an *UnknownError naming the nearest.
func Find(c *Config) (*Arch, error) {
	a, err := FindIn(MLX, c)
	if e, ok := errors.AsType[*UnknownError](err); ok && len(e.Serves) > 0 {
		return FindIn(e.Serves[0], c)
	}
	return a, err
}

// FindIn is Find for one of the layouts that are made.
func FindIn(layout string, c *Config) (*Arch, error) { return wrapped(declare.Find(layout, c)) }

// FindFor is FindIn for the names that a checkpoint's tensors have: llama.cpp's have
// architectures of their own. Without a layout ("") it is the first that serves the config,
// unless the checkpoint has names that only another one makes.
func FindFor(ctx context.Context, layout string, c *Config, src Source) (*Arch, error) {
	switch {
	case LlamaCpp(src) && layout != MLXVLM:
		a, known, err := lang.ByLlamaCpp(c.ModelType())
		if a == nil && err == nil {
			err = fmt.Errorf("the tensors have llama.cpp's names; those of model_type %q are not known (known are %s): give --arch FILE, or take the checkpoint the GGUF was made from",
				c.ModelType(), strings.Join(known, ", "))
		}
		return wrapped(a, err)
	case layout != "":
		return FindIn(layout, c)
	}
	a, err := Find(c)
	if err != nil || a.Layout != MLX {
		return a, err
	}
	whole, err := FindIn(MLXVLM, c)
	if err != nil || !namedAs(ctx, whole, a, c, src) {
		return a, ctx.Err()
	}
	return whole, nil
}

// Common is the layout that two checkpoints of these layouts are compared in where their own
// names do not do: mlx-vlm when one of them is in it, else "", what is judged by first.
func Common(a, b string) string {
	if a == MLXVLM || b == MLXVLM {
		return MLXVLM
	}
	return ""
}

// LlamaCpp reports that a checkpoint's tensors have llama.cpp's names, by the one that
// every language model in a GGUF has and no other layout uses.
func LlamaCpp(src Source) bool {
	_, ok := src.Lookup("token_embd.weight")
	return ok
}

// namedAs reports that a checkpoint has names that begin as those that a makes, and neither
// those of the hf layout nor those that b makes.
func namedAs(ctx context.Context, a, b *Arch, c *Config, src Source) bool {
	of, err := a.match(ctx, c, nil, false)
	if err != nil {
		return false
	}
	other, err := b.match(ctx, c, nil, false)
	if err != nil {
		return false
	}
	own, hf := of.roots()
	others, otherHF := other.roots()
	for root := range own {
		if hf[root] || others[root] || otherHF[root] {
			delete(own, root)
		}
	}
	found := false
	if len(own) > 0 {
		src.All(func(t tensor.Info) bool {
			found = own[rootOf(t.Path)]
			return !found && ctx.Err() == nil
		})
	}
	return found
}

// roots are the first segments of the names of what is made, and of the hf layout.
func (r *match) roots() (made, hf map[string]bool) {
	made, hf = map[string]bool{}, map[string]bool{}
	for _, it := range r.Outputs {
		if r.Round() != nil {
			break
		}
		made[rootOf(it.Path)] = true
		r.hfRoots(it.From[it.FirstWritten()], hf)
	}
	for _, n := range r.Renamings.List { // where newer files have no more than model. before a name, older ones have the name itself
		if hf[rootOf(n.From)] = true; n.From == "model."+n.To {
			hf[rootOf(n.To)] = true
		}
	}
	return made, hf
}

func (r *match) hfRoots(m *declare.TensorExpr, hf map[string]bool) {
	switch m.Op {
	case declare.Each: // all begin alike
		hf[rootOf(r.hfName(m.Prefix))] = true
	case op.Load:
		hf[rootOf(r.hfName(m.Path))] = true
	}
	for _, in := range m.In {
		r.hfRoots(in, hf)
	}
}

func rootOf(path string) string {
	root, _, _ := strings.Cut(path, ".")
	return root
}

// ByName gives an embedded architecture of layout mlx by its name or alias.
func ByName(name string) (*Arch, error) { return wrapped(lang.ByName(name)) }

// ByNameIn is ByName for any layout that is made.
func ByNameIn(layout, name string) (*Arch, error) { return wrapped(lang.ByNameIn(layout, name)) }

// Parse reads an architecture from text (for --arch FILE); errors have line, column
// and caret.
func Parse(file, text string) (*Arch, error) { return wrapped(lang.Parse(file, text)) }

func wrapped(a *lang.Arch, err error) (*Arch, error) {
	if err != nil {
		return nil, err
	}
	return &Arch{a}, nil
}

// Names lists the embedded architectures that make a layout, sorted, without their aliases.
func Names(layout string) []string { return lang.Names(layout) }

// Source is what resolving may ask about a checkpoint: metadata only.
type Source interface {
	Lookup(path string) (tensor.Info, bool)
	All(yield func(tensor.Info) bool) // every tensor, sorted by path
}

// Ranged is implemented by a Source that can look up a range of numbered tensors at
// once: models have experts by the thousand.
type Ranged interface {
	// Each reports that prefix+i+suffix is there for every from <= i < to, all with
	// the dtype and shape of the first.
	Each(prefix, suffix string, from, to int64) (first tensor.Info, ok bool)
}

// Templated is implemented by a Source that knows its paths with their numbers left
// out, without listing every one.
type Templated interface {
	Templates(yield func(template string) bool)
}

// Hashed is implemented by a Source that gives hashes only when they are asked for.
type Hashed interface {
	// Whole is Lookup with all that is known.
	Whole(path string) (tensor.Info, bool)
}

// Want is one tensor a layout must hold.
type Want struct {
	Path     string
	Shape    tensor.Shape
	DType    tensor.DType // Invalid: any float
	Optional bool
	Rule     string // "hunyuan.arch:23"
}

// Resolution is a checkpoint matched with its architecture.
type Resolution struct {
	Arch    *Arch
	Layout  string   // HF, what the architecture makes, or "mixed"
	Why     string   // what decided the layout
	Targets []Target // the layout made, in its consumer's module order; complete unless Gaps says otherwise
	Drops   []Drop   // source tensors a named rule drops
	Unused  []string // source tensors no rule uses or drops
	Gaps    []Gap    // what keeps the checkpoint from being whole, each with reason and remedy
}

// Target is one output tensor and how it is made.
type Target struct {
	Want
	Make *op.Node // nil when a gap prevents it
	Keep bool     // exempt from --dtype (mlx_lm's cast predicate)
	// Quant is the consumer's own quantization rule for the module this weight
	// belongs to.
	Quant QuantRule
	// Packed says how a tensor that the source already holds quantized is packed;
	// its targets are the stored parts: weight, scales and perhaps biases.
	Packed Packed
}

// Packed describes a quantized tensor's packing; zero for a plain tensor.
type Packed struct{ Bits, GroupSize int }

// QuantRule says whether -q quantizes a tensor.
type QuantRule struct {
	Eligible  bool   // a Linear, Embedding or stacked Linear weight
	Never     bool   // the consumer's predicate says no
	Bits      int    // 0: the default
	GroupSize int    // 0: the default
	Mode      string // as config.json says it; "": affine, which it does not say
}

// Drop is a source tensor left out on purpose.
type Drop struct {
	Path, Because, Rule string

	// Of a tied head that no hash speaks for: those that it may be a copy of.
	Of []string `json:"-"`
}

// Tied reports that the rule drops the tensor as a copy of the embedding, which its
// reason says and only the bytes prove.
func (d Drop) Tied() bool { return strings.HasPrefix(d.Because, "tied to") }

// Gap statuses.
const (
	Missing = "missing"
	Extra   = "extra"
	Changed = "changed"
)

// Options of export that make up for a gap.
const (
	AllowUnused = "--allow-unused" // the model is the same without an extra tensor
	Dequantize  = "-d"             // codes that config.json does not speak of become floats
	CastTo      = "--dtype"        // f64 becomes a type that mlx has
	ToHF        = "--target hf"    // where f64 may stay
)

// NoConfig says why a checkpoint without config.json is not judged, and what to do.
const NoConfig = "no config.json, so its architecture is unknown; put that of the model into a folder with the weights (and its tokenizer files) and ingest the folder"

// Alike says that so many more weights are stored as one that stands for all of its method.
func Alike(more int) string {
	switch more {
	case 0:
		return ""
	case 1:
		return "; 1 more weight is stored so"
	}
	return fmt.Sprintf("; %d more weights are stored so", more)
}

// Gap is a difference between expected and present.
type Gap struct {
	Status string
	Want                // what was expected; of Extra the path alone
	Have   *tensor.Info // what is there, for Extra and Changed
	Reason string       // "expert 9 of 16 missing in layer 3"
	Remedy string       // "can be stacked from mlp.experts.{0..15}.up_proj.weight"
	Method string       // of a weight that other software stored in a form that no rule reads: its name
	Unless string       // the option of export that makes up for it, if one does
	All    bool         // about the names of all tensors: Path is a pattern, Remedy what to do before anything else
}
