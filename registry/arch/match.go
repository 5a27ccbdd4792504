package arch

import (
	"context"
	"slices"
	"strings"

	"wreg/registry/arch/declare"
	"wreg/registry/arch/op"
	"wreg/registry/method"
	"wreg/registry/tensor"
)

// match is an architecture applied to a config and, where there is one, a
// checkpoint.
type match struct {
	*declare.Declared
	src        Source            // nil: nothing is known about a checkpoint
	followed   map[string]bool   // what renamings are from: whether there is any
	endings    map[string]bool   // of tensors: whether there is any
	finder     *method.Finder    // nil: not asked for yet
	foreign    map[string]bool   // weights in forms that no rule reads
	outside    int               // outputs made of them
	said       *string           // the method that config.json names; nil: not asked for yet
	coded      map[string]string // by module, a tensor of codes; nil: not asked for yet
	making     making            // what is read for
	loaderCast tensor.DType      // awq: the loader casts every float to the scales' dtype
}

func (a *Arch) match(ctx context.Context, c *Config, src Source, towardsHF bool) (*match, error) {
	r := &match{followed: map[string]bool{}, endings: map[string]bool{}, foreign: map[string]bool{}}
	var cp declare.Checkpoint
	if src != nil {
		cp, r.src = r, decoded{src}
	}
	d, err := declare.Apply(ctx, a.Arch, c, cp, towardsHF)
	if err != nil {
		return nil, err
	}
	r.Declared = d
	r.loader()
	return r, nil
}

// decoded is a source whose blocks of ggml's are seen as the floats they become.
type decoded struct{ Source }

func (d decoded) Lookup(path string) (tensor.Info, bool) {
	i, ok := d.Source.Lookup(path)
	return asFloats(i), ok
}

func (d decoded) All(yield func(tensor.Info) bool) {
	d.Source.All(func(i tensor.Info) bool { return yield(asFloats(i)) })
}

func asFloats(i tensor.Info) tensor.Info {
	if op.Decodable(i.DType) {
		i.DType = tensor.F32
		i.Bytes, _ = i.Shape.Bytes(i.DType)
	}
	return i
}

// Load is declare.Checkpoint.
func (r *match) Load(d *declare.Declared, path string) (op.Array, bool) {
	r.Declared = d
	f, t := r.load(path)
	return f.Array, t == nil
}

// Any is declare.Checkpoint.
func (r *match) Any(d *declare.Declared, p *tensor.Pattern) (found bool) {
	r.src.All(func(i tensor.Info) bool {
		found = p.Match(i.Path)
		return !found && d.Work(declare.MatchSteps(p, i.Path)) == nil
	})
	return found
}

// making is the output that tensors are read for, and the way by which it is made of
// them.
type making struct {
	*declare.Output
	way  *declare.TensorExpr // nil: it is stored as it is
	told map[string]tensor.Shape
}

// lastAxis is what the output being made declares for the last axis of a tensor that
// it is made of; 0 when nothing is known.
func (r *match) lastAxis(path string) int64 {
	m := &r.making
	switch {
	case m.Output == nil:
		return 0
	case m.way == nil || m.way.Op == op.Load || m.way.Op == declare.Each:
		return m.LastAxis()
	case m.told == nil:
		m.told = r.inputShapes(m.way, m.Shape)
	}
	if s := m.told[path]; len(s) > 0 {
		return max(s[len(s)-1], 0)
	}
	return 0
}

// loader does what mlx_lm's loader does to an AWQ checkpoint: it casts all other
// floats to the dtype of the scales.
func (r *match) loader() {
	if method := r.QuantMethod(); r.src == nil || method != "awq" && method != "gptq" {
		return
	}
	r.src.All(func(i tensor.Info) bool {
		if strings.HasSuffix(i.Path, ".qweight") { // of several the last counts, as in mlx_lm
			if scales, ok := r.src.Lookup(sibling(i.Path, "scales")); ok {
				r.loaderCast = scales.DType
			}
		}
		return true
	})
}

// cast puts the loader's cast behind a plain float.
func (r *match) cast(n *op.Node) *op.Node {
	if r.loaderCast == tensor.Invalid || n == nil || !n.DType.Float() || n.DType == r.loaderCast {
		return n
	}
	return &op.Node{Step: op.Step{Op: op.Cast, To: r.loaderCast}, DType: r.loaderCast, Shape: n.Shape, In: []*op.Node{n}}
}

// stored finds a tensor under its own path, or under one that a renaming gives it.
func (r *match) stored(path string) (tensor.Info, bool) {
	if r.src == nil {
		return tensor.Info{}, false
	}
	if i, ok := r.src.Lookup(path); ok {
		return i, true
	}
	for _, k := range r.Renamings.Near(path) {
		n := r.Renamings.List[k]
		if hf, ok := declare.Moved(path, n.To, n.From); ok && r.Work(1) == nil {
			if i, ok := r.src.Lookup(hf); ok {
				return i, true
			}
		}
	}
	return tensor.Info{}, false
}

// hfName is the hf layout's name of a path, by the first renaming that applies and that
// the checkpoint follows. A more specific one before it wins even if nothing is stored
// under its name: that is what is missing. A checkpoint that follows no renaming has
// the mlx layout's names.
func (r *match) hfName(path string) string {
	var best *declare.Renaming
	followed := false
	for _, k := range r.Renamings.Near(path) {
		n := &r.Renamings.List[k]
		if followed || len(path) == len(n.To) || r.Work(1) != nil {
			continue
		}
		known := r.src == nil || r.TowardsHF || r.follows(*n)
		if best == nil || known && len(n.To) >= len(best.To) || len(n.To) > len(best.To) {
			best, followed = n, known
		}
	}
	if best == nil {
		return path
	}
	if !followed {
		if _, ok := r.src.Lookup(path); ok || !r.followsAny() {
			return path
		}
	}
	return best.From + path[len(best.To):]
}

// follows reports that a checkpoint has tensors under a renaming's from, and
// remembers it.
func (r *match) follows(n declare.Renaming) bool {
	if known, ok := r.followed[n.From]; ok {
		return known
	}
	found := false
	r.src.All(func(i tensor.Info) bool {
		found = strings.HasPrefix(i.Path, n.From+".")
		return !found && r.Work(1) == nil
	})
	r.followed[n.From] = found
	return found
}

func (r *match) followsAny() bool {
	const any = "" // nothing is renamed from there
	known, ok := r.followed[any]
	if !ok {
		known = slices.ContainsFunc(r.Renamings.List, r.follows)
		r.followed[any] = known
	}
	return known
}

// renamable reports that the hf layout has another name for path.
func (r *match) renamable(path string) bool {
	return slices.ContainsFunc(r.Renamings.Near(path), func(k int) bool { return len(path) > len(r.Renamings.List[k].To) })
}

// renamed reports that path is there under its hf name only.
func (r *match) renamed(path string) bool {
	i, ok := r.stored(path)
	return ok && i.Path != path
}

// renamedPath is what an hf path is called here, "" when nothing renames it.
func (r *match) renamedPath(path string) string {
	for _, k := range r.HFNames.Near(path) {
		n := r.HFNames.List[k]
		if mlx, ok := declare.Moved(path, n.From, n.To); ok && r.Work(1) == nil {
			return mlx
		}
	}
	return ""
}

// sibling is the path of a companion tensor: weight_scale replaces the last segment of
// x.weight, _scales is appended to x.
func sibling(path, name string) string {
	if strings.HasPrefix(name, "_") {
		return path + name
	}
	if dot := strings.LastIndexByte(path, '.'); dot >= 0 {
		return path[:dot+1] + name
	}
	return name
}
