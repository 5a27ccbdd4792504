// Package arch knows what a model of each architecture consists of, in each
// layout, as a function of its config.json, and how the hf layout becomes the
// mlx layout. An architecture is a file in archs/, in the language of
// docs/arch-language.md.
//
// Most users need Find, Arch.Resolve (a checkpoint against its architecture:
// targets, gaps, unused) and Arch.Expect (what a layout must hold).
//
// Rules that bite: names, shapes and counts are declared and then checked, what
// was found never defines what was expected; every source tensor is used by a
// rule or dropped by a named rule, else it is in Unused; nothing here reads
// tensor bytes.
package arch

import (
	"wreg/registry/tensor"
)

// The layouts.
const (
	HF  = "hf"  // per expert, PyTorch names
	MLX = "mlx" // stacked, as mlx_lm wants them
)

// Arch is one parsed architecture.
type Arch struct {
	Name    string   // "hunyuan"
	Aliases []string // further model_types it serves
	File    string   // "hunyuan.arch", for errors

	file *file
}

// Config is a parsed config.json.


// ParseConfig parses config.json strictly: one object, duplicate keys refused,
// integers kept exact, mlx's tagged floats ({"__float__": "Infinity"}) decoded.
func ParseConfig(data []byte) (*Config, error) { panic("contract") }

// ModelType is config.json's model_type, "" when absent.
func (c *Config) ModelType() string { panic("contract") }

// Find gives the architecture that serves a config's model_type, mlx_lm's
// renames included. Unknown: an *UnknownError naming the nearest.
func Find(c *Config) (*Arch, error) { panic("contract") }

// ByName gives an embedded architecture by its name or alias.
func ByName(name string) (*Arch, error) { panic("contract") }

// Names lists the embedded architectures.
func Names() []string { panic("contract") }

// Parse reads an architecture from text (for --arch FILE); errors have line,
// column and caret.
func Parse(file, text string) (*Arch, error) { panic("contract") }

// UnknownError says which model_type has no architecture, and what is near.
type UnknownError struct {
	ModelType string
	Nearest   []string
}

func (e *UnknownError) Error() string { panic("contract") }

// Source is what resolving may ask about a checkpoint: metadata only.
type Source interface {
	Lookup(path string) (tensor.Info, bool)
	All(yield func(tensor.Info) bool) // every tensor, sorted by path
}

// Want is one tensor a layout must hold.
type Want struct {
	Path     string
	Shape    tensor.Shape
	DType    tensor.DType // Invalid: any float
	Optional bool
	Rule     string // "hunyuan.arch:23"
}

// Expect lists what the layout must hold for a config, in declaration order. src
// may be nil; where the checkpoint decides (optional tensors, alternatives), the
// first alternative is expected then.
func (a *Arch) Expect(c *Config, layout string, src Source) ([]Want, error) { panic("contract") }

// Resolution is a checkpoint laid against its architecture.
type Resolution struct {
	Arch    *Arch
	Layout  string   // HF, MLX, or "mixed"
	Why     string   // what decided the layout
	Targets []Target // the mlx layout in mlx_lm's module order; complete unless Gaps says otherwise
	Drops   []Drop   // source tensors a named rule drops
	Unused  []string // source tensors no rule uses or drops
	Gaps    []Gap    // missing and changed inputs, each with reason and remedy
}

// Target is one output tensor and how it is made.
type Target struct {
	Want
	Make *Node // nil when a gap prevents it
	Keep bool  // exempt from --dtype (mlx_lm's cast predicate)
	// Quant is the consumer's own quantization rule for the module this weight
	// belongs to.
	Quant QuantRule
}

// QuantRule: whether -q touches a tensor.
type QuantRule struct {
	Eligible  bool // a Linear, Embedding or stacked Linear weight
	Never     bool // the consumer's predicate says no
	Bits      int  // 0: the default
	GroupSize int  // 0: the default
}

// Drop is a source tensor left out on purpose.
type Drop struct{ Path, Because, Rule string }

// Gap statuses.
const (
	Missing = "missing"
	Extra   = "extra"
	Changed = "changed"
)

// Gap is a difference between expected and present.
type Gap struct {
	Status string
	Want                // what was expected; zero for Extra
	Have   *tensor.Info // what is there, for Extra and Changed
	Reason string       // "expert 9 of 16 absent in layer 3"
	Remedy string       // "stackable from mlp.experts.{0..15}.up_proj.weight"
}

// Op is what a Node does. The set is mlx-conversion's vocabulary.
type Op string

// The operations. Arguments are the Node fields named beside each.
const (
	OpLoad    Op = "load"    // Path: the source tensor as stored
	OpStack   Op = "stack"   // new axis 0
	OpConcat  Op = "concat"  // Axis
	OpSlice   Op = "slice"   // Start, Stop, Step per axis
	OpReshape Op = "reshape" // Shape
	OpPermute Op = "permute" // Perm: output axis i is input axis Perm[i]
	OpAdd     Op = "add"     // Scalar, rounded to the dtype first
	OpMul     Op = "mul"     // Scalar, rounded to the dtype first
	OpMulVec  Op = "mulvec"  // Vector: one factor per index of axis 0
	OpCast    Op = "cast"    // DType
	OpView    Op = "view"    // DType: same bits, last axis rescaled
	OpFP8     Op = "fp8"     // In[0] e4m3, In[1] scales; Block: rows, cols (0,0: broadcast); to bf16
	OpRepeat  Op = "repeat"  // Axis, Count
	OpL2Norm  Op = "l2norm"  // Axis
)

// Node is one step of the tree that makes a tensor: all numbers concrete, so it
// can be printed, costed and run without the architecture.
type Node struct {
	Op    Op
	In    []*Node
	DType tensor.DType // of the result
	Shape tensor.Shape // of the result

	Path              string
	Axis, Count       int
	Start, Stop, Step []int64
	Perm              []int
	Scalar            float64
	Vector            []float64
	Block             [2]int64
}

// Resolve lays a checkpoint against the architecture. Gaps and Unused are data,
// not errors; an error means the config cannot be evaluated (a missing key, a
// refused combination) and says which rule, key and line.
func (a *Arch) Resolve(c *Config, src Source) (*Resolution, error) { panic("contract") }
