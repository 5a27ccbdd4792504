package view

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"wreg/export"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// Spread is what ingest recorded of a model's values, by module and layer.
type Spread struct {
	Ref      string   `json:"model"`
	Arch     string   `json:"arch,omitempty"`
	Layers   []int64  `json:"layers"`     // the number of each column
	Bands    []Band   `json:"components"` // what lies in layers; then, in order, what lies outside
	Tensors  int64    `json:"tensors"`    // floats that have statistics
	Unknown  int64    `json:"unknown"`    // floats that have none
	Codes    int64    `json:"codes"`      // codes and integers: their range says nothing of the weights
	NaNs     int64    `json:"nans"`
	Infs     int64    `json:"infs"`
	AbsMax   float64  `json:"absmax"`
	AbsMaxAt string   `json:"absmax_at"`
	Float16  Float16  `json:"float16"`
	Advice   []Advice `json:"more_bits"`           // for a model that is quantized
	Why      string   `json:"no_advice,omitempty"` // why nothing can be said of that
}

// Band is one module over the layers: its weights, or one of its other tensors.
type Band struct {
	Component string  `json:"component"`
	Outside   *Span   `json:"outside,omitempty"` // of a module outside of the layers; then Spans is empty
	Spans     []*Span `json:"layers,omitempty"`  // one for each of Spread.Layers; null where there is nothing
	Least     float64 `json:"least"`             // absmax of the layer where it is least, of those with a finite value
	Most      float64 `json:"most"`
	Stands    *Stand  `json:"stands_out,omitempty"`
}

// Span is what was recorded of the values of one module in one layer.
type Span struct {
	AbsMax  *float64 `json:"absmax"` // null where nothing is finite
	Min     *float64 `json:"min"`
	Max     *float64 `json:"max"`
	NaNs    int64    `json:"nans"`
	Infs    int64    `json:"infs"`
	Zeros   int64    `json:"zeros"`
	Tensors int64    `json:"tensors"`
}

// Stand is a layer whose values reach much further than those of the layers beside it.
type Stand struct {
	Layer  int64   `json:"layer"`
	AbsMax float64 `json:"absmax"`
	Beside float64 `json:"beside"` // the median of the neighbours' absmax
	Times  float64 `json:"times"`
}

// Advice is a module whose layer stands out, and that an export can give more bits.
type Advice struct {
	Module string `json:"module"` // as mlx names it
	Stand
	Override string `json:"q_override"` // what export's --q-override takes
}

// Float16 says what a cast to float16 would do, as far as statistics tell.
type Float16 struct {
	Overflow []Reach `json:"overflow"` // tensors with values beyond what it holds
	Vanish   []Reach `json:"vanish"`   // tensors of which nothing but zeros would be left
}

// Reach is a tensor and its greatest magnitude.
type Reach struct {
	Path   string  `json:"path"`
	AbsMax float64 `json:"absmax"`
}

const (
	halfMost   = 65504           // the largest number of float16
	halfNone   = 1.0 / (1 << 25) // what is not larger becomes zero there
	reach      = 4               // layers on each side are the neighbours of a layer
	neighbours = 3               // so many of them say what is usual
	standsOut  = 4               // times the median of the neighbours
	moreBits   = 8               // for what stands out
)

// Ranges gathers what ingest recorded of a revision's values. a is nil, or in place of
// the architecture that config.json names.
func Ranges(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch) (*Spread, error) {
	r := &Spread{Ref: v.Ref(), Layers: []int64{}, Bands: []Band{}, Advice: []Advice{}, Float16: Float16{[]Reach{}, []Reach{}}}
	bands, absmax := bands{}, map[string]float64{}
	for t, err := range s.Tensors(ctx, v) {
		if err != nil {
			return nil, err
		}
		switch {
		case !t.DType.Floating():
			r.Codes++
			continue
		case t.Stats == nil:
			r.Unknown++
			continue
		}
		t.Path = strings.Clone(t.Path)
		absmax[t.Path] = t.Stats.AbsMax
		r.Tensors++
		r.take(&t)
		if err := bands.add(&t); err != nil {
			return nil, fmt.Errorf("%s: %w", v.Ref(), err)
		}
	}
	r.Layers = bands.layers()
	if len(r.Layers)*len(bands) > maxCells {
		return nil, fmt.Errorf("%s: %d modules in %d layers: no map shows that", v.Ref(), len(bands), len(r.Layers))
	}
	r.Bands = bands.list(r.Layers)
	byReach := func(a, b Reach) int { return cmp.Or(cmp.Compare(b.AbsMax, a.AbsMax), strings.Compare(a.Path, b.Path)) }
	slices.SortFunc(r.Float16.Overflow, byReach)
	slices.SortFunc(r.Float16.Vanish, byReach)
	if r.Tensors == 0 {
		return r, nil
	}
	res, err := query.Resolve(ctx, s, v, a)
	if _, damaged := errors.AsType[*registry.DamagedError](err); damaged || ctx.Err() != nil {
		return nil, err
	}
	if err != nil {
		if r.Why = err.Error(); len(v.Config) == 0 {
			r.Why = v.Ref() + " has " + NoConfig // a query could do without
		}
		return r, nil
	}
	r.Arch = res.Arch.Name
	r.advise(res, absmax)
	return r, nil
}

// take counts one tensor.
func (r *Spread) take(t *tensor.Info) {
	st := t.Stats
	r.NaNs += st.NaNs
	r.Infs += st.Infs
	if st.AbsMax > r.AbsMax || r.AbsMaxAt == "" && finite(t) {
		r.AbsMax, r.AbsMaxAt = st.AbsMax, t.Path
	}
	switch {
	case t.DType == tensor.F16:
	case st.AbsMax > halfMost:
		r.Float16.Overflow = append(r.Float16.Overflow, Reach{t.Path, st.AbsMax})
	case st.AbsMax > 0 && st.AbsMax <= halfNone:
		r.Float16.Vanish = append(r.Float16.Vanish, Reach{t.Path, st.AbsMax})
	}
}

// finite reports a tensor with a finite value.
func finite(t *tensor.Info) bool {
	n, err := t.Shape.Numel()
	return err == nil && t.Stats.NaNs+t.Stats.Infs < n
}

// add takes one more tensor in.
func (s *Span) add(t *tensor.Info) {
	st := t.Stats
	s.Tensors++
	s.NaNs += st.NaNs
	s.Infs += st.Infs
	s.Zeros += st.Zeros
	if !finite(t) {
		return
	}
	if s.AbsMax == nil {
		low, high, most := st.Min, st.Max, st.AbsMax
		s.Min, s.Max, s.AbsMax = &low, &high, &most
		return
	}
	*s.Min, *s.Max, *s.AbsMax = min(*s.Min, st.Min), max(*s.Max, st.Max), max(*s.AbsMax, st.AbsMax)
}

// module is a part of a layer, or of what lies outside of layers.
type module struct{ tower, name string }

// moduleOf says which module of which layer a tensor belongs to; -1: of none. The experts
// of a layer are one module.
func moduleOf(path string) (m module, layer int64) {
	template, index := tensor.SplitPath(path)
	layer = -1
	rest, k := template, 0
	if slot, from, to := tensor.LayerOf(template); slot >= 0 && slot < len(index) {
		layer, k = index[slot], slot+1
		m.tower, rest = template[:from], strings.TrimPrefix(template[to:], ".")
		m.tower = tensor.JoinPath(m.tower, index[:slot])
	}
	counts := tensor.Placeholders(template)
	var name []string
	for seg := range strings.SplitSeq(rest, ".") {
		if len(index) > k && (seg == "{layer}" || seg == "{expert}" || seg == "{n}") {
			if k++; counts[k-1] == "expert" {
				continue
			}
			seg = tensor.JoinPath(seg, index[k-1:k])
		}
		name = append(name, seg)
	}
	m.name = strings.TrimSuffix(strings.Join(name, "."), ".weight")
	return m, layer
}

// bands are modules while their tensors are counted; layer -1 is outside of layers.
type bands map[module]map[int64]*Span

func (b bands) add(t *tensor.Info) error {
	m, layer := moduleOf(t.Path)
	if b[m] == nil {
		if len(b) == maxBands {
			return fmt.Errorf("more than %d modules: statistics by layer say nothing of them; wreg query 'find * select path, absmax' lists them", maxBands)
		}
		b[m] = map[int64]*Span{}
	}
	if b[m][layer] == nil {
		b[m][layer] = &Span{}
	}
	b[m][layer].add(t)
	return nil
}

// maxBands is how many modules are told apart: a layer has some thirty.
const maxBands = 4096

// layers lists the numbers of all layers.
func (b bands) layers() []int64 {
	seen := map[int64]bool{}
	for _, spans := range b {
		for layer := range spans {
			seen[layer] = true
		}
	}
	delete(seen, -1)
	list := slices.AppendSeq([]int64{}, maps.Keys(seen))
	slices.Sort(list)
	return list
}

// list makes rows of modules: those in layers, then the others.
func (b bands) list(layers []int64) []Band {
	towers := map[string]bool{}
	for m := range b {
		if m.tower != "" {
			towers[m.tower] = true
		}
	}
	rows := []Band{}
	for m, spans := range b {
		band := Band{Component: m.name}
		if len(towers) > 1 {
			band.Component = m.tower + m.name
		}
		if only := spans[-1]; only != nil {
			band.Outside = only
			band.measure([]*Span{only})
		} else {
			for _, layer := range layers {
				band.Spans = append(band.Spans, spans[layer])
			}
			band.measure(band.Spans)
			band.Stands = standing(layers, reaches(band.Spans))
		}
		rows = append(rows, band)
	}
	slices.SortFunc(rows, func(a, b Band) int {
		side := func(x Band) int {
			if x.Outside != nil {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(side(a), side(b)), strings.Compare(a.Component, b.Component))
	})
	return rows
}

// measure finds between which values absmax lies.
func (b *Band) measure(spans []*Span) {
	first := true
	for _, s := range spans {
		if s == nil || s.AbsMax == nil {
			continue
		}
		if first {
			b.Least, b.Most, first = *s.AbsMax, *s.AbsMax, false
		}
		b.Least, b.Most = min(b.Least, *s.AbsMax), max(b.Most, *s.AbsMax)
	}
}

// reaches are the absmax of each span, NaN where there is none.
func reaches(spans []*Span) []float64 {
	list := make([]float64, len(spans))
	for i, s := range spans {
		list[i] = math.NaN()
		if s != nil && s.AbsMax != nil {
			list[i] = *s.AbsMax
		}
	}
	return list
}

// standing finds the layer that stands out most; nil when none does.
func standing(layers []int64, absmax []float64) (most *Stand) {
	for i, x := range absmax {
		if s := standAt(layers[i], absmax, i); s != nil && x == s.AbsMax && (most == nil || s.Times > most.Times) {
			most = s
		}
	}
	return most
}

// standAt compares a layer with those beside it; nil when it does not stand out, or too
// few are there to tell.
func standAt(layer int64, absmax []float64, i int) *Stand {
	var beside []float64
	for _, step := range []int{-1, 1} {
		for k, n := i+step, 0; k >= 0 && k < len(absmax) && n < reach; k += step {
			if x := absmax[k]; x == x {
				beside = append(beside, x)
				n++
			}
		}
	}
	if len(beside) < neighbours || !(absmax[i] > 0) {
		return nil
	}
	slices.Sort(beside)
	median := (beside[(len(beside)-1)/2] + beside[len(beside)/2]) / 2
	if !(median > 0) || absmax[i] < standsOut*median {
		return nil
	}
	return &Stand{layer, absmax[i], median, min(absmax[i]/median, math.MaxFloat64)}
}

// keeping are the operations that leave values as they are: what is made by nothing else
// reaches as far as what it is made of.
var keeping = []op.Op{op.Load, op.Stack, op.Concat, op.Reshape, op.Permute}

func keeps(n *op.Node) bool {
	return slices.Contains(keeping, n.Op) && !slices.ContainsFunc(n.In, func(m *op.Node) bool { return !keeps(m) })
}

// advise finds the modules that stand out and that a quantizing export would give few
// bits.
func (r *Spread) advise(res *arch.Resolution, absmax map[string]float64) {
	type row struct {
		absmax map[int64]float64
		target map[int64]string
	}
	rows := map[module]*row{}
	for _, t := range res.Targets {
		m, layer := moduleOf(t.Path)
		if !t.Quant.Eligible || t.Packed.Bits > 0 || t.Make == nil || layer < 0 || !keeps(t.Make) {
			continue
		}
		most, known := 0.0, true
		t.Make.Sources(func(path string) {
			x, ok := absmax[path]
			most, known = max(most, x), known && ok
		})
		if !known {
			continue
		}
		if rows[m] == nil {
			rows[m] = &row{map[int64]float64{}, map[int64]string{}}
		}
		rows[m].absmax[layer], rows[m].target[layer] = most, t.Path
	}
	if len(rows) == 0 {
		r.Why = "no weight in its layers that could be quantized has statistics"
	}
	for _, x := range rows {
		layers := slices.Sorted(maps.Keys(x.absmax))
		reaches := make([]float64, len(layers))
		for i, layer := range layers {
			reaches[i] = x.absmax[layer]
		}
		for i, layer := range layers {
			stand := standAt(layer, reaches, i)
			if stand == nil {
				continue
			}
			path := strings.TrimSuffix(x.target[layer], ".weight")
			usual, err := export.Quantize{}.BitsOf(res.Targets, x.target[layer])
			if err != nil || usual == 0 || usual >= moreBits {
				continue // kept as it is, or of many bits already
			}
			more := export.Quantize{Overrides: []export.Override{{Pattern: path, Bits: moreBits}}}
			if bits, err := more.BitsOf(res.Targets, x.target[layer]); err != nil || bits != moreBits {
				continue
			}
			r.Advice = append(r.Advice, Advice{path, *stand, fmt.Sprintf("%s=%d", path, moreBits)})
		}
	}
	slices.SortFunc(r.Advice, func(a, b Advice) int {
		return cmp.Or(cmp.Compare(b.Times, a.Times), strings.Compare(a.Module, b.Module))
	})
}
