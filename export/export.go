// Package export writes the checkpoint a consumer needs from an ingested model
// and proves that nothing was lost on the way.
//
// Most users need [New] (plan and checks), [Plan.Run] (write, prove and land) and,
// later, receipt.Verify.
//
// New goes from config.json and the architecture (plan.go, config.go; quantize.go with
// -q) to one tree of operations for each output tensor, and refuses what would go wrong
// (check.go). Run (run.go) looks at where the output will lie, opens a staging folder and has workers write it:
// writer.go holds what they share, schedule.go hands out segments, worker.go copies or
// makes one, readback.go compares what the disk has with what was meant, resume.go finds
// what an earlier run left, receiptof.go writes down what was done; sink.go has finished shards go elsewhere. Below it lie compute
// (how tensors are made), disk (what the system does for files), staging (the folder and
// its journals), mlxconfig (config.json as mlx_lm writes it) and receipt (the proof, and
// who checks it).
//
// A unit is what is made together: a tensor, or the codes, scales and biases of one. A
// segment is a range of a unit that one worker makes. A part is --part K/N: the segments
// that one machine writes.
//
// Invariants: a plan is pure and deterministic; nothing is written before every check
// passed, but for Run's folder in --out's parent that shows that one can be made, and is
// removed at once; the output folder appears under its final name complete and proven,
// or not at all.
package export

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"wreg/accel"
	"wreg/export/compute"
	"wreg/export/staging"
	"wreg/ingest/place"
	"wreg/ingest/spool"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// Options of New. The zero value exports to mlx with the config's own dtype on the CPU.
type Options struct {
	Target      string       // "mlx" (default) or "hf"
	Out         string       // the output folder; must not exist
	DType       tensor.DType // Invalid: config.json's torch_dtype, as mlx_lm decides
	Arch        *arch.Arch   // nil: by model_type
	AllowUnused bool         // list tensors no rule knows and go on
	Memory      int64        // bound on buffers, bytes; 0 is DefaultMemory
	ShardBytes  int64        // tensor data of one shard; 0 is DefaultShardBytes
	Jobs        int          // workers; 0 is GOMAXPROCS+1
	Quantize    *Quantize    // nil: weights are not quantized
	Dequantize  bool         // turn quantized weights into floats
	Prove       string       // "xxh3" (default) or "sha256"
	NoSync      bool         // skip fsync
	Resume      bool         // go on with what a killed export of the same plan left
	Part, Parts int          // write share Part (1…Parts) only, to be landed by Finish; 0: all
	Finish      bool         // prove and land what all shares wrote
	Device      accel.Device // nil: accel.CPU()
	Tool        string       // "wreg 0.1.0", for the receipt
	Sink        staging.Sink // nil: Out becomes the folder; else each file goes there, and Out is the name of the folder in between

	// Open opens the place where a source lies that is not on a disk; nil: as its address says.
	Open func(ctx context.Context, address string) (place.Place, error)

	// Progress is given bytes of output, at most total; with Part, of its share.
	Progress func(done, total int64)
}

// DefaultMemory bounds the buffers of an export unless Options.Memory does.
const DefaultMemory = 512 << 20

// The ways to prove that bytes are what they should be.
const (
	ProveXXH3   = "xxh3"
	ProveSHA256 = "sha256"
)

// Plan is the ordered list of output tensors, each with its inputs and steps.
type Plan struct {
	Model     string       `json:"model"` // source revision ref
	Arch      string       `json:"architecture"`
	Target    string       `json:"target"`
	DType     tensor.DType `json:"-"` // floats are cast to it; Invalid: none are
	Tensors   []PlanTensor `json:"tensors"`
	Shards    []Shard      `json:"shards"`
	Drops     []arch.Drop  `json:"dropped"`
	Unused    []string     `json:"unused"`
	Notes     []string     `json:"notes"`             // warnings about the source
	TotalSize int64        `json:"total_size"`        // bytes of all output tensors
	Memory    int64        `json:"memory"`            // most bytes held in buffers while running
	Disk      int64        `json:"disk"`              // bytes the output folder will take
	Network   int64        `json:"network,omitempty"` // bytes of weights that are read from elsewhere
	Spool     int64        `json:"spool,omitempty"`   // bytes of them that are on disk at once, beside the output

	o         Options
	quantizer *quantizer // nil: -q was not asked for
	source    source
	config    []byte // config.json to write
	headers   [][]byte
	files     []staging.Extra
	doc       *pyjson.Object // config.json of the source
	stream    *spool.Plan    // nil for a source on a disk
	keys      []staging.Key  // jobs of stream
	jobs      map[staging.Key]int
	plain     bool // no weight of the source is stored in codes
}

// BitsPerWeight is what a number of the model takes in the output, with the scales and
// biases of its group; 0 without -q.
func (p *Plan) BitsPerWeight() float64 {
	var bytes, numbers int64
	for i, t := range p.Tensors {
		if bytes += t.Bytes; !t.quant || i == 0 || p.Tensors[i-1].tree != t.tree {
			numbers += compute.Numel(t.tree.Shape)
		}
	}
	if p.quantizer == nil || numbers == 0 {
		return 0
	}
	return 8 * float64(bytes) / float64(numbers)
}

// PlanTensor is one output tensor.
type PlanTensor struct {
	Path   string
	DType  tensor.DType
	Shape  tensor.Shape
	Bytes  int64
	Make   *op.Node
	Shard  int
	Offset int64 // in the shard file, header included
	Rule   string
	Quant  string // with -q: how it is quantized, or why not

	tree  *op.Node // what workers make: Make, or the weight that is quantized
	quant bool
	spec  accel.QuantSpec
	bits  int // of a packed weight's elements; 0: not packed
}

// Quantized is the weight that -q makes a tensor of, and how: "4-bit" or the mode's name. Of
// a tensor that is not quantized ok is false.
func (t *PlanTensor) Quantized() (weight tensor.Shape, how string, ok bool) {
	if !t.quant {
		return nil, "", false
	}
	if t.spec.Mode == accel.Affine {
		return t.tree.Shape, fmt.Sprintf("%d-bit", t.spec.Bits), true
	}
	return t.tree.Shape, t.spec.Mode, true
}

// Shard is one output file.
type Shard struct {
	Name  string `json:"name"`
	Bytes int64  `json:"bytes"` // of the whole file
}

// GapError lists every gap that keeps a model from being exported.
type GapError struct {
	Model string
	Gaps  []arch.Gap
}

// shownGaps is how many gaps an error spells out; Gaps has them all.
const shownGaps = 20

func (e *GapError) Error() string { return strings.Join(e.Lines(), "\n") }

// Lines are the lines of Error; a line break within one is a name's.
func (e *GapError) Lines() []string {
	head := tensor.Count(len(e.Gaps), "gap")
	if len(e.Gaps) > 0 && !slices.ContainsFunc(e.Gaps, func(g arch.Gap) bool { return g.Unless != arch.AllowUnused }) {
		head = "no rule uses or drops these tensors; --allow-unused leaves them out"
	}
	lines := []string{e.Model + " cannot be exported: " + head}
	said, alike := map[string]bool{}, map[string]int{} // of the weights that other software stored, by its name
	for _, g := range e.Gaps {
		alike[g.Method]++
	}
	untold := len(e.Gaps)
	for _, g := range e.Gaps {
		if g.Method != "" && alike[g.Method] == 0 {
			continue
		}
		if len(lines) > shownGaps {
			lines = append(lines, fmt.Sprintf("  … %d more; wreg query gaps -m %s lists them", untold, e.Model))
			break
		}
		line := fmt.Sprintf("  %s %s", g.Status, g.Path)
		if g.Reason != "" {
			line += ": " + g.Reason
		}
		untold--
		if g.Remedy != "" && !said[g.Remedy] && g.Remedy != arch.Lost {
			line += "; " + g.Remedy
			said[g.Remedy] = true // once is enough
		}
		if g.Method != "" {
			line += arch.Alike(alike[g.Method] - 1)
			untold -= alike[g.Method] - 1
			alike[g.Method] = 0
		}
		lines = append(lines, line)
	}
	return lines
}

// bytesFor is the bytes that the first n elements of the tree take in this tensor.
func (t *PlanTensor) bytesFor(n int64) int64 {
	if !t.quant {
		return compute.SizeOf(t.DType, n)
	}
	if t.bits != 0 {
		return n / 8 * int64(t.spec.Bits)
	}
	return compute.SizeOf(t.DType, n/int64(t.spec.Group))
}

// parent is the path without its last segment.
func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// unit is what is made together: one tensor, or the codes, scales and biases of a
// quantized one.
type unit struct {
	first, n int // tensors of the plan
	segments []compute.Segment
	chunk    int64 // bytes of the tree's result that are made at once
}

// units lists what is made together, without their chunks.
func (p *Plan) units() (units []unit) {
	for i := 0; i < len(p.Tensors); {
		t := &p.Tensors[i]
		u := unit{first: i, n: 1, segments: compute.Cut(t.tree)}
		for t.quant && i+u.n < len(p.Tensors) && p.Tensors[i+u.n].tree == t.tree {
			u.n++
		}
		units = append(units, u)
		i += u.n
	}
	return units
}

// shardsOnDisk is what shards take at once: all of them, or as many of the largest as are there at once.
func (p *Plan) shardsOnDisk() (n int64) {
	sizes := make([]int64, len(p.Shards))
	for i, s := range p.Shards {
		sizes[i] = s.Bytes
	}
	if p.o.Sink != nil {
		slices.SortFunc(sizes, func(a, b int64) int { return cmp.Compare(b, a) })
		sizes = sizes[:min(len(sizes), max(2, p.shardsAtOnce()))]
	}
	for _, size := range sizes {
		n += size
	}
	return n
}

// shardsAtOnce is how many shards are begun and not finished at once, where segments are written in order.
func (p *Plan) shardsAtOnce() (most int) {
	units, order := p.units(), []int{} // of units, one for each segment
	if p.stream != nil {
		for _, i := range p.stream.Order() {
			order = append(order, p.keys[i].Unit)
		}
	} else {
		for i := range units {
			order = append(order, i)
		}
	}
	shards := func(unit int) []PlanTensor { return p.Tensors[units[unit].first : units[unit].first+units[unit].n] }
	last := make([]int, len(p.Shards))
	for at, unit := range order {
		for _, t := range shards(unit) {
			last[t.Shard] = at
		}
	}
	open := map[int]bool{}
	for at, unit := range order {
		for _, t := range shards(unit) {
			open[t.Shard] = true
		}
		most = max(most, len(open))
		maps.DeleteFunc(open, func(shard int, _ bool) bool { return last[shard] == at })
	}
	return most
}
