// Package export writes the checkpoint a consumer needs from an ingested model
// and proves that nothing was lost on the way.
//
// Most users need New (plan and checks, nothing written), Plan.Run and Verify.
//
// Rules that bite: a plan is pure and deterministic; nothing is written before
// every check passed; the output folder appears under its final name complete and
// proven, or not at all.
package export

import (
	"context"

	"wreg/accel"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// Options of New. The zero value exports to mlx with the config's own dtype on the CPU.
type Options struct {
	Target      string       // "mlx" (default) or "hf"
	Out         string       // the output folder; must not exist
	DType       tensor.DType // Invalid: config.json's torch_dtype, as mlx_lm decides
	Arch        *arch.Arch   // nil: by model_type
	AllowUnused bool         // list tensors no rule knows and go on
	Memory      int64        // bound on buffers, bytes; 0 is 512 MiB
	Jobs        int          // workers; 0 is one a core
	Prove       string       // "xxh3" (default) or "sha256"
	NoSync      bool         // skip fsync
	Resume      bool
	Device      accel.Device // nil: accel.CPU()
	Progress    func(done, total int64)
}

// Plan is the ordered list of output tensors, each with its inputs and steps.
type Plan struct {
	Model     string // source revision ref
	Target    string
	Tensors   []PlanTensor
	Shards    []Shard
	Drops     []arch.Drop
	Unused    []string
	TotalSize int64
}

// PlanTensor is one output tensor.
type PlanTensor struct {
	Path   string
	DType  tensor.DType
	Shape  tensor.Shape
	Bytes  int64
	Make   *arch.Node
	Shard  int
	Offset int64 // in the shard file, header included
	Rule   string
}

// Shard is one output file.
type Shard struct {
	Name  string
	Bytes int64 // of the whole file
}

// GapError lists every gap that keeps a model from being exported.
type GapError struct {
	Model string
	Gaps  []arch.Gap
}

func (e *GapError) Error() string { panic("contract") }

// New plans an export of v and checks it: gaps (*GapError), unused tensors,
// overflow foretold by statistics, disk space, output not an input. It writes
// nothing.
func New(s *registry.Snapshot, v *registry.Revision, o Options) (*Plan, error) { panic("contract") }

// Receipt is the proof an export leaves: wreg-receipt.json.
type Receipt struct{}

// Run writes the plan and lands it: temp folder beside the target, read back,
// fsync, rename.
func (p *Plan) Run(ctx context.Context) (*Receipt, error) { panic("contract") }
