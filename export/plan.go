package export

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"wreg/accel"
	"wreg/export/compute"
	"wreg/export/consumer"
	"wreg/export/mlxconfig"
	"wreg/ingest"
	"wreg/ingest/claim"
	"wreg/ingest/place"
	"wreg/ingest/places"
	"wreg/ingest/safetensors"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/arch/wrap"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// DefaultShardBytes is mlx_lm's MAX_FILE_SIZE_GB in bytes of tensor data.
const DefaultShardBytes = 5 << 30

// maxParts bounds in how many shares an export may be made: each is looked at for
// every piece that is dealt.
const maxParts = 10_000

// New plans an export of v and checks it: gaps (*GapError), unused tensors
// (*UnusedError), overflow foretold by statistics. It writes nothing, and does not
// look at the disk that the output is for: Run does.
func New(ctx context.Context, s *registry.Snapshot, v *registry.Revision, o Options) (*Plan, error) {
	o, err := o.filled()
	if err != nil {
		return nil, err
	}
	src, err := readSource(ctx, s, v)
	if err != nil {
		return nil, err
	}
	if src.far() && (o.Parts > 0 || o.Finish) {
		return nil, fmt.Errorf("%s: --part and --finish are for a source on a disk, as each part would download all of this one; export it as one, or download it and ingest the copy", src.root)
	}
	if err := src.find(ctx, o.Open); err != nil {
		return nil, err
	}
	if v.Adapter != nil {
		return nil, wrap.NoModel(v.Ref(), v.Adapter)
	}
	if v.Config == nil {
		return nil, fmt.Errorf("%s has %s", v.Ref(), arch.NoConfig)
	}
	doc, err := pyjson.Parse(v.Config)
	if err != nil {
		return nil, fmt.Errorf("%s: config.json: %w", v.Ref(), err)
	}
	c := arch.NewConfig(doc)
	if o.Arch == nil {
		if o.Arch, err = arch.FindFor(ctx, o.layout(), c, src); err != nil {
			return nil, fmt.Errorf("%s: %w", v.Ref(), err)
		}
	}
	if layout := o.layout(); layout != "" && o.Arch.Layout != layout {
		return nil, fmt.Errorf("%s makes layout %s, and %s was asked for; a file for it begins with: arch NAME as %s", o.Arch.File, o.Arch.Layout, layout, layout)
	}
	p := &Plan{Model: v.Ref(), Target: o.Target, o: o, source: *src}
	r, err := p.resolve(ctx, c, src)
	if fault, ok := errors.AsType[*arch.Error](err); o.Target == arch.MLX && (err == nil || ok && !fault.Refused) {
		if refused := mlxconfig.Refuses(v.Config); refused != nil {
			return nil, fmt.Errorf("%s cannot be exported: %w", v.Ref(), refused)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", v.Ref(), err)
	}
	p.Arch, p.Drops, p.Unused = r.Arch.Name, r.Drops, r.Unused
	if err := p.complete(r); err != nil {
		return nil, err
	}
	p.noteNames(r)
	if p.doc, err = pyjson.Parse(v.Config); err != nil { // before mlx_lm's edits
		return nil, err
	}
	p.recomputed(r.Drops)
	for _, f := range v.Findings {
		if f.Rule != ingest.NotFinite && slices.Contains(ingest.ValueRules, f.Rule) { // check tells those of each tensor
			p.Notes = append(p.Notes, f.Message)
		}
	}
	said, _ := claim.Quantized(doc)
	p.dropLeftover(doc, said)
	p.DType = o.DType
	if o.Target != arch.HF {
		p.DType = mlxconfig.DType(o.DType, doc)
		if err := p.rewrite(ctx, doc, r.Targets); err != nil {
			return nil, err
		}
	}
	targets := r.Targets
	if o.Dequantize {
		if targets, err = dequantizedTargets(targets, p.DType, said != ""); err != nil {
			return nil, err
		}
	}
	for _, t := range targets {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if err := p.add(t); err != nil {
			return nil, fmt.Errorf("tensor %q (%s): %w", t.Path, t.Rule, err)
		}
	}
	if p.quantizer != nil {
		if err := p.quantizer.unmet(); err != nil {
			return nil, err
		}
	}
	if err := p.layout(); err != nil {
		return nil, err
	}
	if o.Target != arch.HF {
		if err := p.recordQuantization(doc, r.Targets); err != nil {
			return nil, err
		}
	}
	if err := p.finish(ctx, v.Config, doc); err != nil {
		return nil, err
	}
	return p, p.check(ctx)
}

// filled checks options and sets what was left out.
func (o Options) filled() (Options, error) {
	o.Target = cmp.Or(o.Target, arch.MLX)
	switch {
	case !slices.Contains(arch.Layouts, o.Target):
		return o, fmt.Errorf("target %q: want one of %s", o.Target, strings.Join(arch.Layouts, ", "))
	case o.Target == arch.HF && (o.Quantize != nil || o.Dequantize):
		return o, errors.New("target hf: quantization is mlx's; dequantize with target mlx first")
	}
	if o.Out == "" {
		return o, errors.New("no output folder given")
	}
	out, err := filepath.Abs(o.Out)
	if err != nil {
		return o, err
	}
	o.Out = out
	switch o.DType {
	case tensor.Invalid, tensor.F16, tensor.BF16, tensor.F32:
	default:
		return o, fmt.Errorf("dtype %v: want f16, bf16 or f32", o.DType)
	}
	if o.Prove = cmp.Or(o.Prove, ProveXXH3); o.Prove != ProveXXH3 && o.Prove != ProveSHA256 {
		return o, fmt.Errorf("prove %q: want %s or %s", o.Prove, ProveXXH3, ProveSHA256)
	}
	if o.Parts != 0 && (o.Part < 1 || o.Part > o.Parts) || o.Parts < 0 {
		return o, fmt.Errorf("part %d of %d: want 1 to the number of parts", o.Part, o.Parts)
	}
	if o.Parts > maxParts {
		return o, fmt.Errorf("part %d of %d: at most %d parts are possible", o.Part, o.Parts, maxParts)
	}
	if o.Finish && (o.Parts != 0 || o.Resume) {
		return o, errors.New("--finish lands what all parts wrote; it cannot be combined with --part or --resume")
	}
	if o.Quantize != nil && o.Dequantize {
		return o, errors.New("quantize or dequantize, not both")
	}
	if o.Jobs < 0 || o.Memory < 0 {
		return o, fmt.Errorf("%d jobs, %d bytes of memory: want 0 or more", o.Jobs, o.Memory)
	}
	o.Jobs = cmp.Or(o.Jobs, runtime.GOMAXPROCS(0)+1) // one waits for its turn to write to a file
	o.Memory = cmp.Or(o.Memory, DefaultMemory)
	o.ShardBytes = cmp.Or(o.ShardBytes, DefaultShardBytes)
	o.Tool = cmp.Or(o.Tool, "wreg")
	if o.Device == nil {
		o.Device = accel.CPU()
	}
	if o.Open == nil {
		o.Open = func(ctx context.Context, address string) (place.Place, error) {
			return places.Open(ctx, address, places.Options{UserAgent: o.Tool})
		}
	}
	return o, nil
}

// layout is the one that an architecture must make for the target, "" for any.
func (o *Options) layout() string {
	if o.Target == arch.HF {
		return ""
	}
	return o.Target
}

// resolve lists the output tensors of a target. An mlx checkpoint is taken back to
// hf; one that is in the hf layout already stays as it is, tensor by tensor: in
// safetensors, and in shards of the usual size, whatever it was before.
func (p *Plan) resolve(ctx context.Context, c *arch.Config, src arch.Source) (*arch.Resolution, error) {
	if p.Target != arch.HF || arch.LlamaCpp(src) { // those families have the same names in hf and mlx
		return p.o.Arch.Resolve(ctx, c, src)
	}
	back, err := p.o.Arch.Invert(ctx, c, src)
	if err != nil || len(back.Gaps) == 0 {
		return back, err
	}
	r, err := p.o.Arch.Resolve(ctx, c, src)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil || r.Layout != arch.HF {
		return back, nil
	}
	left := map[string]bool{}
	for _, d := range r.Drops { // here nothing is: a tied head may be any
		left[d.Path] = true
	}
	r.Gaps = slices.DeleteFunc(r.Gaps, func(g arch.Gap) bool { return g.Have != nil && left[g.Have.Path] })
	if needed(r.Gaps) {
		if !needed(back.Gaps) {
			return back, nil
		}
		return r, nil // what hf lacks, not what mlx would
	}
	clear(left)
	for _, path := range r.Unused {
		left[path] = true
	}
	r.Targets, r.Drops = nil, nil
	for t := range src.All {
		if !t.DType.Floating() && p.o.DType != tensor.Invalid {
			return nil, fmt.Errorf("%s: tensor %q is %v: a checkpoint that is stored quantized keeps its dtypes; leave --dtype out", p.Model, t.Path, t.DType)
		}
		if !left[t.Path] {
			r.Targets = append(r.Targets, same(t))
		}
	}
	return r, nil
}

// noteNames says that tensors were read under llama.cpp's names, and whose rows were
// put back in hf's order.
func (p *Plan) noteNames(r *arch.Resolution) {
	if !arch.LlamaCpp(&p.source) {
		return
	}
	turned := 0
	for _, t := range r.Targets {
		if t.Make != nil && t.Make.Op != op.Load {
			turned++
		}
	}
	note := fmt.Sprintf("%s has llama.cpp's names and order of rows, as a GGUF has: read by %s", p.Model, r.Arch.File)
	if turned > 0 {
		note += fmt.Sprintf("; q and k are put back from the order of its rotary pairs into hf's: %d tensors", turned)
	}
	p.Notes = append(p.Notes, note)
}

// same is a tensor as it is.
func same(t tensor.Info) arch.Target {
	return arch.Target{
		Want: arch.Want{Path: t.Path, Shape: t.Shape, Rule: "in this layout already"},
		Make: &op.Node{Step: op.Step{Op: op.Load, Path: t.Path}, DType: t.DType, Shape: t.Shape},
	}
}

// needed reports gaps for which no option makes up.
func needed(gaps []arch.Gap) bool {
	return slices.ContainsFunc(gaps, func(g arch.Gap) bool { return g.Unless == "" })
}

// complete refuses a checkpoint with gaps that no option given makes up for.
func (p *Plan) complete(r *arch.Resolution) error {
	toHF := p.Target == arch.HF
	given := map[string]bool{arch.AllowUnused: p.o.AllowUnused, arch.Dequantize: toHF || p.o.Dequantize || p.o.Quantize != nil,
		arch.CastTo: toHF || p.o.DType != tensor.Invalid, arch.ToHF: toHF}
	if slices.ContainsFunc(r.Gaps, func(g arch.Gap) bool { return !given[g.Unless] }) {
		return &GapError{p.Model, slices.DeleteFunc(slices.Clone(r.Gaps), func(g arch.Gap) bool { return given[g.Unless] })}
	}
	if len(r.Targets) == 0 {
		return fmt.Errorf("%s: architecture %s has no tensors for this config.json; nothing would be written", p.Model, p.Arch)
	}
	return nil
}

// castTo casts floats, when a dtype is wanted that they do not have.
func castTo(n *op.Node, dtype tensor.DType) *op.Node {
	if dtype == tensor.Invalid || !n.DType.Floating() || n.DType == dtype {
		return n
	}
	return &op.Node{Step: op.Step{Op: op.Cast}, In: []*op.Node{n}, DType: dtype, Shape: n.Shape}
}

// add appends the output tensors of one target.
func (p *Plan) add(t arch.Target) error {
	n := t.Make
	if n == nil {
		return errors.New("no rule makes it")
	}
	as := p.DType
	if t.Keep {
		as = n.DType
	}
	n = p.decode(n, as)
	if !t.Keep {
		n = castTo(n, p.DType)
	}
	if err := compute.Check(n, p.source.Lookup); err != nil {
		return err
	}
	why := ""
	if p.quantizer != nil {
		spec, reason, yes, err := p.quantizer.decide(t, n.DType)
		if err != nil {
			return err
		}
		if yes {
			return p.quantized(t, n, spec, reason)
		}
		why = "kept: " + reason
	}
	size, err := n.Shape.Bytes(n.DType)
	if err != nil {
		return err
	}
	x := PlanTensor{Path: t.Path, DType: n.DType, Shape: n.Shape, Bytes: size, Make: n, Rule: t.Rule, Quant: why, tree: n}
	if strings.HasSuffix(t.Path, ".weight") {
		x.bits = t.Packed.Bits
	}
	p.Tensors = append(p.Tensors, x)
	return nil
}

// quantized plans the tensors that a weight becomes.
func (p *Plan) quantized(t arch.Target, n *op.Node, spec accel.QuantSpec, why string) error {
	module := parent(t.Path)
	last := len(n.Shape) - 1
	with := func(d int64) tensor.Shape {
		s := slices.Clone(n.Shape)
		s[last] = d
		return s
	}
	groups := with(n.Shape[last] / int64(spec.Group))
	type made struct {
		dtype tensor.DType
		shape tensor.Shape
	}
	list := []made{{tensor.U32, with(n.Shape[last] * int64(spec.Bits) / 32)}, {tensor.U8, groups}}
	if spec.Mode == accel.Affine {
		list = []made{list[0], {n.DType, groups}, {n.DType, groups}}
	}
	for i, m := range list {
		size, err := m.shape.Bytes(m.dtype)
		if err != nil {
			return err
		}
		p.Tensors = append(p.Tensors, PlanTensor{
			Path: module + "." + quantParts[i], DType: m.dtype, Shape: m.shape, Bytes: size, Rule: t.Rule, Quant: why,
			Make: &op.Node{Step: op.Step{Op: opQuantize}, In: []*op.Node{n}, DType: m.dtype, Shape: m.shape},
			tree: n, spec: spec, quant: true,
		})
	}
	p.Tensors[len(p.Tensors)-len(list)].bits = spec.Bits
	return nil
}

// decode puts the decoding of blocks under every load of a tree that needs it. as
// is the dtype that the floats become.
func (p *Plan) decode(n *op.Node, as tensor.DType) *op.Node {
	if n.Op == op.Load {
		if t, ok := p.source.Lookup(n.Path); ok && op.Decodable(t.DType) {
			load := *n
			load.DType = t.DType
			limit, _ := as.Greatest()
			return &op.Node{Step: op.Step{Op: op.GGML, Scalar: limit}, In: []*op.Node{&load}, DType: tensor.F32, Shape: n.Shape}
		}
		return n
	}
	out := *n
	out.In = make([]*op.Node, len(n.In))
	for i, m := range n.In {
		out.In[i] = p.decode(m, as)
	}
	return &out
}

// layout gives each tensor its shard and offset: in order, a new shard when the
// next tensor would exceed the limit, a larger one alone. It writes the headers,
// so that every offset is known before the first byte.
func (p *Plan) layout() error {
	size, shards := int64(0), 0
	for i := range p.Tensors {
		t := &p.Tensors[i]
		if shards == 0 || size+t.Bytes > p.o.ShardBytes {
			shards, size = shards+1, 0
		}
		t.Shard = shards - 1
		size += t.Bytes
		if p.TotalSize += t.Bytes; p.TotalSize < 0 {
			return errors.New("the output's size overflows 64 bits")
		}
	}
	for first := 0; first < len(p.Tensors); {
		shard := p.Tensors[first].Shard
		var infos []tensor.Info
		for _, t := range p.Tensors[first:] {
			if t.Shard != shard {
				break
			}
			infos = append(infos, tensor.Info{Path: t.Path, DType: t.DType, Shape: t.Shape})
		}
		name := "model.safetensors"
		if shards > 1 {
			name = fmt.Sprintf("model-%05d-of-%05d.safetensors", shard+1, shards)
		}
		header, offsets, err := safetensors.AppendHeader(nil, infos, map[string]string{"format": consumer.Of(p.Target).Header})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		for i := range infos {
			p.Tensors[first+i].Offset = offsets[i]
		}
		p.Shards = append(p.Shards, Shard{name, offsets[len(infos)]})
		p.headers = append(p.headers, header)
		first += len(infos)
	}
	return nil
}

// fingerprint names a plan and its inputs: equal for two plans exactly when they
// write the same bytes from the same bytes.
func (p *Plan) fingerprint() string {
	h := sha256.New()
	fmt.Fprintf(h, "1 %s %s %s\n", p.Model, p.Target, p.o.Prove)
	for _, header := range p.headers {
		h.Write(header)
	}
	for i := range p.Tensors {
		t := &p.Tensors[i]
		fmt.Fprintf(h, "%q %d %v %v\n", t.Path, t.Shard, t.quant, t.spec)
		hashNode(h, t.tree)
	}
	fmt.Fprintf(h, "%q\n", p.config)
	for _, x := range p.files {
		fmt.Fprintf(h, "%q %d\n", x.Name, x.Size)
	}
	if p.source.addressed() { // which names the revision
		fmt.Fprintf(h, "%q\n", p.source.root)
	}
	for _, t := range p.source.tensors {
		fmt.Fprintf(h, "%q %v %v %v\n", t.Path, t.DType, t.Shape, t.Sum)
	}
	for _, f := range p.source.files {
		fmt.Fprintf(h, "%q %d", f.Name, f.Size)
		if !p.source.hashed { // nothing else tells whether it changed
			fmt.Fprintf(h, " %d", f.ModTime.UnixNano())
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

func hashNode(w io.Writer, n *op.Node) {
	fmt.Fprintf(w, "%s %v %v %q %d %d %v %v %v %v %v %x", n.Op, n.DType, n.Shape, n.Path, n.Axis, n.Count, n.Start, n.Stop, n.Stride, n.Perm, n.Block, math.Float64bits(n.Scalar))
	for _, f := range n.Vector {
		binary.Write(w, binary.LittleEndian, f)
	}
	fmt.Fprintf(w, " %d\n", len(n.In))
	for _, m := range n.In {
		hashNode(w, m)
	}
}
