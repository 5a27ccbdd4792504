// Package declare applies an architecture to a config.json. The result lists the
// tensors of the mlx layout, each with the expressions that can make it, and the rules
// about names; what a checkpoint holds of them is decided by package arch.
//
// Most users need [ParseConfig], [Find] (the architecture for a config) and [Apply],
// whose [Declared] has the [Output]s; an Output's From are [TensorExpr]s.
//
// Statements run in apply.go, output.go and rule.go; scope.go says what names mean,
// names.go expands names with braces, build.go and function.go turn expressions into
// [TensorExpr]s.
//
// Invariants: statements ask about a checkpoint through [Checkpoint] alone, and a result
// that depends on one is not kept; every loop over a file, a config or a checkpoint
// counts in the [Budget].
package declare

import (
	"strings"

	"wreg/registry/arch/lang"
	"wreg/registry/arch/op"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// Checkpoint answers what statements ask about a checkpoint while they run.
type Checkpoint interface {
	// Load gives a tensor's dtype and shape, read as the statements so far say; false
	// when it cannot be read.
	Load(d *Declared, path string) (op.Array, bool)
	// Any reports that there is a tensor that a pattern matches.
	Any(d *Declared, p *tensor.Pattern) bool
}

// Declared is an architecture applied to a config. Its statements leave Outputs (the
// tensors of the mlx layout) and rules about names.
type Declared struct {
	Budget
	Arch      *lang.Arch
	Outputs   []*Output
	Drops     ByRoot[NameRule]
	Keeps     ByRoot[NameRule]
	Quants    ByRoot[NameRule]
	Reads     ByRoot[*Read]
	Ignored   []Ignored
	Renamings ByRoot[Renaming]        // by what they are renamed to
	HFNames   ByRoot[Renaming]        // by what the hf layout calls them
	Shapes    map[string]tensor.Shape // of hf tensors, that source statements give
	Words     map[string]bool         // paths declared as u32: packed words are what they are
	TowardsHF bool                    // unconverted(…) is true

	config     object
	checkpoint Checkpoint // nil: nothing is known about one
	asked      bool       // a statement asked for the checkpoint: the outputs depend on it
	depth      int
	nested     int
	pending    error
	braces     map[string]*expr.Node
	cut        map[string][]piece
	rules      map[*lang.Statement]string
	matched    map[string]bool // by the text of a pattern
}

// Output is one tensor of the mlx layout.
type Output struct {
	Path     string
	Shape    tensor.Shape
	DType    tensor.DType
	Optional bool
	Rule     string
	From     []*TensorExpr // alternatives, in order; the tensor itself is among them
	Own      int           // which of them is the tensor itself, as it is
	Listed   int           // how many were written after from

	OwnListed bool // the tensor as it is was among those written
}

// LastAxis is the declared size of the last axis, 0 without one.
func (it *Output) LastAxis() int64 {
	if n := len(it.Shape); n > 0 {
		return it.Shape[n-1]
	}
	return 0
}

// FirstWritten is the first way written in the file, the hf layout's; without one, the
// tensor itself.
func (it *Output) FirstWritten() int {
	for k := range it.From {
		if it.Listed > 0 && (k != it.Own || it.OwnListed) {
			return k
		}
	}
	return it.Own
}

// NameRule is a drop, keep or quant.
type NameRule struct {
	Because string
	Rule    string
	Cast    bool // keep: not kept after all
	No      bool // quant: the consumer's predicate says no
	Never   bool // quant: the module cannot be quantized
	Bits    int
	Group   int
	Mode    string // quant: what config.json says of the module; "": it is affine, and not said
}

// Read is a read statement: how the tensors that a pattern names may be stored, and
// the stored tensors that belong to them.
type Read struct {
	Kind   string
	Rule   string
	Parts  map[string]string // role → the last segment of the stored tensor's path, or what is added to it
	ignore []string
	Rows   int64 // fp8: rows of a block; 0: the scale is broadcast
	Cols   int64
	Group  int
}

// Ignored is the ending of tensors that only describe how another one is stored.
type Ignored struct {
	Suffix string
	Read   *Read
}

// Renaming says that the tensors under To may be stored under From.
type Renaming struct{ From, To string }

// Moved gives a path under a its name under b.
func Moved(path, a, b string) (string, bool) {
	if rest, ok := strings.CutPrefix(path, a); ok && strings.HasPrefix(rest, ".") {
		return b + rest, true
	}
	return "", false
}
