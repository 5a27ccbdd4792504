package view

import (
	"context"
	"fmt"
	"slices"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/view/measure"
)

// Comparison is how model B differs from model A.
type Comparison struct {
	A          string       `json:"a"`
	B          string       `json:"b"`
	Arch       string       `json:"arch,omitempty"`
	Layout     string       `json:"layout,omitempty"` // under whose names; mlx where both were carried over
	Layers     []int64      `json:"layers"`           // the number of each column of the map
	Parts      []Part       `json:"components"`       // what lies in layers; then, in order, what lies outside
	Changed    int64        `json:"changed"`
	Missing    int64        `json:"missing"` // in B
	Extra      int64        `json:"extra"`   // in B
	Equal      int64        `json:"equal"`
	Uncompared int64        `json:"not_compared"`
	Differs    bool         `json:"differs"`             // something is not equal, or not known to be
	Measured   bool         `json:"values"`              // both were read
	Bytes      int64        `json:"bytes"`               // that measuring reads, or read
	Total      *Change      `json:"total,omitempty"`     // of the tensors that changed
	Quantized  *Patch       `json:"quantized,omitempty"` // what either side has quantized; null: nothing
	BitsA      float64      `json:"bits_a"`              // a weight, of what both have
	BitsB      float64      `json:"bits_b"`
	Tensors    []Difference `json:"tensors"` // all that are not equal
	Lines      []Line       `json:"lines"`   // gaps that say more than that bytes differ, folded
	Notes      []string     `json:"notes"`

	a, b   *side
	pairs  []compared                 // gone, as are a and b, once values were measured
	lone   []Difference               // what is not in pairs
	doubts []string                   // notes that hold until values are measured
	errors map[spotted]*measure.Delta // of B's quantized weights, by where a map of B has them
}

// Statuses of a Difference beside those of gaps.
const (
	Equal      = "equal"
	Uncompared = "not compared"
)

// Part is one module over the layers.
type Part struct {
	Component string   `json:"component"`
	Outside   *Patch   `json:"outside,omitempty"` // of a module outside of the layers; then Patches is empty
	Patches   []*Patch `json:"layers,omitempty"`  // one for each of Comparison.Layers; null where there is nothing
	Total     Patch    `json:"total"`

	module module
}

// Patch is what became of one module in one layer.
type Patch struct {
	Changed    int64   `json:"changed,omitempty"`
	Missing    int64   `json:"missing,omitempty"`
	Extra      int64   `json:"extra,omitempty"`
	Equal      int64   `json:"equal,omitempty"`
	Uncompared int64   `json:"not_compared,omitempty"`
	BitsA      float64 `json:"bits_a,omitempty"` // a weight
	BitsB      float64 `json:"bits_b,omitempty"`
	Change     *Change `json:"change,omitempty"` // of the tensors that changed; null: not measured

	delta                    measure.Delta // of the tensors that changed
	elements, bytesA, bytesB int64
}

// Change is how far numbers moved. Norms are over elements that are finite on both sides.
type Change struct {
	Relative *float64 `json:"relative"`          // norm of the change by the norm of A; null where A's is zero
	Max      *float64 `json:"max"`               // the largest change; null where there are no numbers
	At       []int64  `json:"at,omitempty"`      // the index of the first element that changed so much
	AtPath   string   `json:"at_path,omitempty"` // of several tensors: in which
	Elements int64    `json:"elements"`
	Changed  int64    `json:"elements_changed"`
	NaNs     int64    `json:"nans"` // elements left out: not a number on either side
	Infs     int64    `json:"infs"` // likewise, infinite
}

// Difference is a tensor that is not equal, or not known to be.
type Difference struct {
	Path      string  `json:"path"`
	Status    string  `json:"status"`
	Component string  `json:"component"`
	Layer     *int64  `json:"layer"`
	A         string  `json:"a"` // how it is stored: bf16, affine 4/64
	B         string  `json:"b"`
	BitsA     float64 `json:"bits_a"` // a weight
	BitsB     float64 `json:"bits_b"`
	Change    *Change `json:"change,omitempty"`
	Reason    string  `json:"reason,omitempty"`
	Remedy    string  `json:"remedy,omitempty"`
}

// compared is a pair and what is known of it.
type compared struct {
	pair
	status string
	gapped bool   // a gap says it is changed
	alone  bool   // and no more than that its bytes are
	remedy string // of the gap
	reason string // why it is not compared, or what is changed beside values
	delta  *measure.Delta
}

// Compare says which tensors of B differ from those of A, by what the registry knows.
// ar is nil, or in place of the architecture that config.json names. Measure, which the
// snapshot need not outlive, adds by how much.
func Compare(ctx context.Context, s *registry.Snapshot, a, b *registry.Revision, ar *arch.Arch) (*Comparison, error) {
	found, err := query.Against(ctx, s, b, a, ar)
	if err != nil {
		return nil, err
	}
	c := &Comparison{A: a.Ref(), B: b.Ref(), Layout: found.Layout, Notes: append([]string{}, found.Notes...), doubts: found.Doubts}
	if c.a, err = sideOf(ctx, s, a); err != nil {
		return nil, err
	}
	if c.b, err = sideOf(ctx, s, b); err != nil {
		return nil, err
	}
	if known := archOf(ctx, b, "", c.b.recorded, ar); known != nil {
		c.Arch = known.Name
	}
	list, err := pairs(ctx, c.a, c.b, found.Mapped, ar)
	if err != nil {
		return nil, err
	}
	gapOf := map[string]*arch.Gap{}
	for i := range found.Gaps {
		gapOf[found.Gaps[i].Path] = &found.Gaps[i]
	}
	unlike, unproven := among(found.Unlike), among(found.Unproven)
	covered := map[string]bool{}
	told := map[string]bool{} // the gaps of pairs that say more than that values differ
	for _, p := range list {
		x := compared{pair: p, status: Equal}
		var gap *arch.Gap
		for _, path := range slices.Concat(p.a.parts, p.b.parts) {
			covered[path] = true
			switch g := gapOf[path]; {
			case g != nil && (gap == nil || g.Status == arch.Changed && path == p.a.path):
				gap, x.status = g, arch.Changed
			case (unlike[path] || unproven[path]) && x.status == Equal:
				x.status = Uncompared
			}
		}
		switch {
		case p.a.packed != p.b.packed:
			x.status, x.reason = Uncompared, "quantized on one side only"
		case gap == nil:
		case p.a.packed: // the shapes of codes say nothing beside bits and group
			x.gapped, x.alone, x.reason = true, true, "bytes differ"
		default:
			x.gapped, x.alone, x.reason, x.remedy = true, bytesAlone(gap), gap.Reason, gap.Remedy
			told[gap.Path] = told[gap.Path] || !x.alone
		}
		c.pairs = append(c.pairs, x)
		if x.status != Equal {
			c.Bytes += readOf(c.a, p.a) + readOf(c.b, p.b)
		}
	}
	if found.Mapped {
		c.dropped(c.a, c.b)
		c.dropped(c.b, c.a)
	}
	c.gaps(found.Gaps, found.Unlike, covered, told)
	c.Differs = len(found.Gaps)+len(found.Uncompared) > 0
	c.settle()
	return c, nil
}

// dropped notes what a side has that layout mlx leaves out on purpose, and the other side
// does not have: it is not compared.
func (c *Comparison) dropped(x, other *side) {
	if x.res == nil {
		return
	}
	var paths []string
	for _, d := range x.res.Drops {
		if _, both := other.recorded.Find(d.Path); !both {
			paths = append(paths, d.Path)
		}
	}
	if len(paths) > 0 {
		more := ""
		if len(paths) > 1 {
			more = " …"
		}
		c.Notes = append(c.Notes, fmt.Sprintf("%s of %s left out by layout %s on purpose, not compared: %s%s", tensor.Count(len(paths), "tensor"), x.revision.Ref(), x.res.Arch.Layout, paths[0], more))
	}
}

func among(list []string) map[string]bool {
	m := make(map[string]bool, len(list))
	for _, s := range list {
		m[s] = true
	}
	return m
}

// readOf is the bytes of a unit's sources.
func readOf(x *side, u *unit) (bytes int64) {
	u.make.Sources(func(path string) {
		t, _ := x.recorded.Lookup(path)
		bytes += t.Bytes
	})
	return bytes
}

// gaps lists what only one side has, or what cannot be paired.
func (c *Comparison) gaps(list []arch.Gap, unlike []string, covered, told map[string]bool) {
	var telling []arch.Gap
	for _, g := range list {
		if covered[g.Path] {
			if told[g.Path] {
				telling = append(telling, g)
			}
			continue
		}
		covered[g.Path] = true
		telling = append(telling, g)
		c.lone = append(c.lone, Difference{Path: g.Path, Status: g.Status, A: c.form(c.a, &g), B: c.form(c.b, &g), Reason: g.Reason, Remedy: g.Remedy})
	}
	for _, path := range unlike {
		if !covered[path] {
			covered[path] = true
			c.lone = append(c.lone, Difference{Path: path, Status: Uncompared, Reason: "quantized on one side only"})
		}
	}
	c.Lines = append([]Line{}, Fold(telling)...)
}

// form is how a side stores what a gap is about, "" where it does not.
func (c *Comparison) form(x *side, g *arch.Gap) string {
	if u := x.units[g.Path]; u != nil {
		return u.form
	}
	return ""
}
