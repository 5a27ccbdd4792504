package rows

import (
	"math/bits"
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/block"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// Column is one of the names a query can use.
type Column uint8

const (
	Path Column = iota
	Template
	Model
	Layer
	Expert
	DType
	Shape
	Rank
	Numel
	Bytes
	Hash
	File
	Offset
	Format
	Trust
	Min
	Max
	AbsMax
	NaNs
	Infs
	Zeros
	Status
	ExpectedShape
	ExpectedDType
	Reason
	Remedy
	numColumns
)

// column is all there is to know of a column.
type column struct {
	name  string
	kind  expr.Kind
	about string
	of    func(g *arch.Gap, s *source) expr.Value // of a gap; Null where it is absent

	load     func(p *part, rows []int32) *vector // of these rows of a block; nil: only gaps have it
	constant func(p *part) bool                  // one value for all rows of the block; nil: always
	code     func(p *part) (int64, bool)         // in place of constant: a number that stands for that value
	axis     func(s *shape) int                  // in place of both: the placeholder it shows, -1 for none

	dtype   bool // text that names a dtype
	dotted  bool // text that is a path, which patterns match segment by segment
	implied bool // not added to an answer because where mentions it: other columns show it
	costly  bool // conditions on it are checked last
	needs   need // what an ingest may have left out
}

// Columns is the one table of columns: what the parser suggests, completion offers
// and the engine computes. A column that is added is a constant above and a row.
var columns = [numColumns]column{
	Path: {name: "path", kind: expr.StringKind, about: "the tensor's dotted name", dotted: true, costly: true,
		of:       func(g *arch.Gap, _ *source) expr.Value { return expr.String(g.Path) },
		load:     loadPaths,
		constant: func(p *part) bool { return p.block.Len() == 1 }},
	Template: {name: "template", kind: expr.StringKind, about: "the path with its numbers taken out", dotted: true, implied: true,
		of: func(g *arch.Gap, _ *source) expr.Value {
			template, _ := tensor.SplitPath(g.Path)
			return expr.String(template)
		},
		load: func(p *part, _ []int32) *vector { return constantVector(expr.String(p.block.Template())) },
		code: func(*part) (int64, bool) { return 0, true }}, // a signature holds the shape
	Model: {name: "model", kind: expr.StringKind, about: "the revision it belongs to, as name@number", implied: true,
		of:   func(_ *arch.Gap, s *source) expr.Value { return expr.String(s.Ref()) },
		load: func(p *part, _ []int32) *vector { return constantVector(expr.String(p.source.Ref())) },
		code: func(*part) (int64, bool) { return 0, true }}, // and the revision
	Layer: {name: "layer", kind: expr.IntKind, about: "the number after layers, blocks, h, blk, stages, features and the like", implied: true,
		of:   numberOf("layer"),
		load: func(p *part, rows []int32) *vector { return p.numbers(p.layer, rows) },
		axis: func(s *shape) int { return s.layer }},
	Expert: {name: "expert", kind: expr.IntKind, about: "the number after experts", implied: true,
		of:   numberOf("expert"),
		load: func(p *part, rows []int32) *vector { return p.numbers(p.expert, rows) },
		axis: func(s *shape) int { return s.expert }},
	DType: {name: "dtype", kind: expr.StringKind, about: "element type: bf16, f32, f8_e4m3, u8 …", dtype: true,
		of:   have(func(t *tensor.Info) expr.Value { return expr.String(t.DType.String()) }),
		load: loadDTypes,
		code: func(p *part) (int64, bool) { return p.block.DTypes().Const() }},
	Shape: {name: "shape", kind: expr.ShapeKind, about: "dimensions, outermost first; shape[0] is one of them",
		of:       have(func(t *tensor.Info) expr.Value { return expr.Shape(t.Shape) }),
		load:     func(p *part, rows []int32) *vector { return shapes(p.block.Shapes(), rows) },
		constant: oneShape},
	Rank: {name: "rank", kind: expr.IntKind, about: "number of dimensions", implied: true,
		of:   have(func(t *tensor.Info) expr.Value { return expr.Int(int64(len(t.Shape))) }),
		load: func(p *part, rows []int32) *vector { return coded(p.block.Shapes().Code(), rows, p.rank) },
		code: func(p *part) (int64, bool) { return ofShape(p, p.rank) }},
	Numel: {name: "numel", kind: expr.IntKind, about: "number of elements", implied: true,
		of: have(func(t *tensor.Info) expr.Value {
			n, err := t.Shape.Numel()
			if err != nil {
				return expr.Null
			}
			return expr.Int(n)
		}),
		load: func(p *part, rows []int32) *vector { return coded(p.block.Shapes().Code(), rows, p.numel) },
		code: func(p *part) (int64, bool) { return ofShape(p, p.numel) }},
	Bytes: {name: "bytes", kind: expr.IntKind, about: "logical size",
		of:   have(func(t *tensor.Info) expr.Value { return expr.Int(t.Bytes) }),
		load: func(p *part, rows []int32) *vector { return ints(p.block.Bytes(), rows) },
		code: func(p *part) (int64, bool) { return p.block.Bytes().Const() }},
	Hash: {name: "hash", kind: expr.HashKind, about: "SHA-256 of the logical bytes", costly: true, needs: needsHash,
		of: have(func(t *tensor.Info) expr.Value {
			if t.Hash.IsZero() {
				return expr.Null
			}
			return expr.Hash(t.Hash)
		}),
		load: func(p *part, rows []int32) *vector { return hashes(p.block.Hashes(), rows) },
		constant: func(p *part) bool {
			_, same := p.block.Hashes().Const()
			return same
		}},
	File: {name: "file", kind: expr.StringKind, about: "the shard that holds it",
		of:       have(func(t *tensor.Info) expr.Value { return expr.String(t.File) }),
		load:     func(p *part, rows []int32) *vector { return names(p.block.Files(), rows) },
		constant: func(p *part) bool { return one(p.block.Files().Code()) }},
	Offset: {name: "offset", kind: expr.IntKind, about: "of its first byte in the file; -1 when not stored plainly",
		of:       have(func(t *tensor.Info) expr.Value { return expr.Int(t.Offset) }),
		load:     func(p *part, rows []int32) *vector { return ints(p.block.Offsets(), rows) },
		constant: func(p *part) bool { return one(p.block.Offsets()) }},
	Format: {name: "format", kind: expr.StringKind, about: "safetensors, torch, gguf, npy",
		of:       have(func(t *tensor.Info) expr.Value { return expr.String(t.Format) }),
		load:     func(p *part, rows []int32) *vector { return names(p.block.Formats(), rows) },
		constant: func(p *part) bool { return one(p.block.Formats().Code()) }},
	Trust: {name: "trust", kind: expr.StringKind, about: "how it is known: " + levels(),
		of: func(g *arch.Gap, s *source) expr.Value {
			if g.Have == nil {
				return expr.Null
			}
			return s.trust(g.Have.File)
		},
		load: func(p *part, rows []int32) *vector { return p.trusts(rows) },
		constant: func(p *part) bool {
			_, alike := p.source.oneTrust()
			return alike || one(p.block.Files().Code())
		}},
	Min:    extreme("min", "least finite value", func(s *tensor.Stats) float64 { return s.Min }, func(p *part) block.Floats { return p.block.Stats().Min }),
	Max:    extreme("max", "greatest finite value", func(s *tensor.Stats) float64 { return s.Max }, func(p *part) block.Floats { return p.block.Stats().Max }),
	AbsMax: extreme("absmax", "greatest magnitude of a finite value", func(s *tensor.Stats) float64 { return s.AbsMax }, func(p *part) block.Floats { return p.block.Stats().AbsMax }),
	NaNs:   counter("nans", "how many values are NaN", func(s *tensor.Stats) int64 { return s.NaNs }, func(p *part) block.Ints { return p.block.Stats().NaNs }),
	Infs:   counter("infs", "how many values are infinite", func(s *tensor.Stats) int64 { return s.Infs }, func(p *part) block.Ints { return p.block.Stats().Infs }),
	Zeros:  counter("zeros", "how many values are zero", func(s *tensor.Stats) int64 { return s.Zeros }, func(p *part) block.Ints { return p.block.Stats().Zeros }),
	Status: {name: "status", kind: expr.StringKind, about: "missing, extra or changed",
		of: func(g *arch.Gap, _ *source) expr.Value { return expr.String(g.Status) }},
	ExpectedShape: {name: "expected_shape", kind: expr.ShapeKind, about: "the shape that should be there",
		of: func(g *arch.Gap, _ *source) expr.Value {
			if g.Shape == nil {
				return expr.Null
			}
			return expr.Shape(g.Shape)
		}},
	ExpectedDType: {name: "expected_dtype", kind: expr.StringKind, about: "the dtype that should be there, where one is asked for", dtype: true,
		of: func(g *arch.Gap, _ *source) expr.Value {
			if !g.DType.Valid() {
				return expr.Null
			}
			return expr.String(g.DType.String())
		}},
	Reason: {name: "reason", kind: expr.StringKind, about: "why it is a gap", costly: true,
		of: func(g *arch.Gap, _ *source) expr.Value { return textOrNull(g.Reason) }},
	Remedy: {name: "remedy", kind: expr.StringKind, about: "how to fix it", costly: true,
		of: func(g *arch.Gap, _ *source) expr.Value { return textOrNull(g.Remedy) }},
}

// levels are the words of the column trust.
func levels() string {
	var words []string
	for _, l := range tensor.TrustAbout {
		words = append(words, l[0])
	}
	return strings.Join(words, ", ")
}

// need is what an ingest may have left out.
type need uint8

const (
	needsHash need = 1 << iota
	needsStats
)

// String is the name that queries use.
func (c Column) String() string { return columns[c].name }

// About says what its values are.
func (c Column) About() string { return columns[c].about }

// Kind is the type of its values.
func (c Column) Kind() expr.Kind { return columns[c].kind }

// NamesDType reports a column whose text is a dtype, in the spelling of tensor.DType.
func (c Column) NamesDType() bool { return columns[c].dtype }

// Dotted reports a column of paths, which patterns match segment by segment.
func (c Column) Dotted() bool { return columns[c].dotted }

// Implied reports a column that is not shown merely because a query mentions it.
func (c Column) Implied() bool { return columns[c].implied }

// OfGaps reports a column that only gaps have.
func (c Column) OfGaps() bool { return columns[c].load == nil }

// ColumnNamed finds a column by its name, in lower case.
func ColumnNamed(name string) (Column, bool) {
	for c := range numColumns {
		if columns[c].name == name {
			return c, true
		}
	}
	return 0, false
}

// ColumnNames are those of tensors, and those that only gaps have.
func ColumnNames(gaps bool) (names []string) {
	for c := range numColumns {
		if gaps || !c.OfGaps() {
			names = append(names, c.String())
		}
	}
	return names
}

// have is a column of the tensor that is there.
func have(of func(t *tensor.Info) expr.Value) func(*arch.Gap, *source) expr.Value {
	return func(g *arch.Gap, _ *source) expr.Value {
		if g.Have == nil {
			return expr.Null
		}
		return of(g.Have)
	}
}

// extreme is a statistic that a tensor without finite values does not have.
func extreme(name, about string, of func(s *tensor.Stats) float64, stored func(p *part) block.Floats) column {
	return column{name: name, kind: expr.FloatKind, about: about, needs: needsStats,
		of: have(func(t *tensor.Info) expr.Value {
			if t.Stats == nil {
				return expr.Null
			}
			if n, err := t.Shape.Numel(); err == nil && t.Stats.AbsMax == 0 && t.Stats.NaNs+t.Stats.Infs == n {
				return expr.Null
			}
			return expr.Float(of(t.Stats))
		}),
		load:     func(p *part, rows []int32) *vector { return p.extremes(stored(p), rows) },
		constant: func(p *part) bool { return p.oneExtreme(stored(p)) }}
}

func counter(name, about string, of func(s *tensor.Stats) int64, stored func(p *part) block.Ints) column {
	return column{name: name, kind: expr.IntKind, about: about, needs: needsStats,
		of: have(func(t *tensor.Info) expr.Value {
			if t.Stats == nil {
				return expr.Null
			}
			return expr.Int(of(t.Stats))
		}),
		load:     func(p *part, rows []int32) *vector { return p.counts(stored(p), rows) },
		constant: func(p *part) bool { return one(p.block.HasStats()) && one(stored(p)) }}
}

// numberOf is a number in a gap's path.
func numberOf(name string) func(*arch.Gap, *source) expr.Value {
	return func(g *arch.Gap, _ *source) expr.Value {
		template, index := tensor.SplitPath(g.Path)
		if k := slices.Index(tensor.Placeholders(template), name); k >= 0 && k < len(index) {
			return expr.Int(index[k])
		}
		return expr.Null
	}
}

func textOrNull(s string) expr.Value {
	if s == "" {
		return expr.Null
	}
	return expr.String(s)
}

func one(c block.Ints) bool {
	_, same := c.Const()
	return same
}

func oneShape(p *part) bool { return one(p.block.Shapes().Code()) }

// ofShape is a number that follows from the one shape of a block.
func ofShape(p *part, of func(code int64) int64) (int64, bool) {
	code, same := p.block.Shapes().Code().Const()
	if !same {
		return 0, false
	}
	return of(code), true
}

// ColumnSet is a set of columns.
type ColumnSet uint32

func (s *ColumnSet) add(c Column)     { *s |= 1 << c }
func (s ColumnSet) has(c Column) bool { return s&(1<<c) != 0 }

// All yields the set's columns.
func (s ColumnSet) All() func(yield func(Column) bool) {
	return func(yield func(Column) bool) {
		for rest := uint32(s); rest != 0; rest &= rest - 1 {
			if !yield(Column(bits.TrailingZeros32(rest))) {
				return
			}
		}
	}
}

// one gives the set's only column.
func (s ColumnSet) one() (Column, bool) {
	return Column(bits.TrailingZeros32(uint32(s))), bits.OnesCount32(uint32(s)) == 1
}

// needs is what the set's columns need.
func (s ColumnSet) needs() (n need) {
	for c := range s.All() {
		n |= columns[c].needs
	}
	return n
}
