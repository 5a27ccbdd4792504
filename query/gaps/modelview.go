package gaps

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"wreg/registry"
	"wreg/registry/block"
	"wreg/registry/tensor"
)

// modelView is a revision that is asked for one path after the other, by arch
// above all: its blocks are opened once, and a range of experts is one question.
type modelView struct {
	ctx      context.Context
	snapshot *registry.Snapshot
	revision *registry.Revision
	blocks   map[string]*rows // by template; nil: not yet opened
	err      error            // the first fault met while reading
	layout   string           // the architecture is the one that makes it; "": that of the question, or of the revision

	template []byte // of the path looked up last
	index    []int64
}

// rows finds a block's rows by their numbers.
type rows struct {
	block *block.Block
	axes  []block.Range // the range of each number
	row   []int32       // in a grid with holes: 1 + the row of each combination
}

// maxCombinations bounds the table of a grid with holes; beyond, rows are searched.
const maxCombinations = 1 << 22

func (c *modelView) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// open reads the headers of all blocks.
func (c *modelView) open() {
	if c.blocks != nil {
		return
	}
	c.blocks = map[string]*rows{}
	for b, err := range c.snapshot.Blocks(c.ctx, c.revision) {
		if err != nil {
			c.fail(err)
			return
		}
		c.blocks[blockName(b)] = &rows{block: b}
	}
}

// lookEvery is how many rows pass between two looks at the context.
const lookEvery = 1024

// literal marks the name of a block whose path holds {layer} as text.
const literal = "\x00"

func blockName(b *block.Block) string {
	if len(tensor.Placeholders(b.Template())) > 0 {
		if _, numbered := b.Grid(); !numbered {
			if _, numbered = b.Index(0); !numbered {
				return literal + b.Template()
			}
		}
	}
	return b.Template()
}

// locate makes a block ready for find.
func (r *rows) locate() {
	if r.axes != nil {
		return
	}
	if grid, ok := r.block.Grid(); ok {
		r.axes = grid
		return
	}
	r.axes = []block.Range{}
	var index [][]int64
	size := int64(1)
	for k := 0; ; k++ {
		numbers, ok := r.block.Index(k)
		if !ok {
			break
		}
		low, high := numbers[0], numbers[0]
		for _, n := range numbers {
			low, high = min(low, n), max(high, n)
		}
		span := high - low + 1 // numbers have at most 18 digits
		if size > maxCombinations/span {
			size = maxCombinations + 1
		} else {
			size *= span
		}
		index = append(index, numbers)
		r.axes = append(r.axes, block.Range{Start: low, Count: span})
	}
	if len(index) == 0 || size > maxCombinations {
		return
	}
	r.row = make([]int32, size)
	for i := range r.block.Len() {
		at := int64(0)
		for k, a := range r.axes {
			at = at*a.Count + index[k][i] - a.Start
		}
		r.row[at] = int32(i) + 1
	}
}

// find gives the row with these numbers.
func (r *rows) find(index []int64) (int, bool) {
	r.locate()
	if len(index) != len(r.axes) {
		return 0, false
	}
	if len(index) == 0 {
		return 0, true
	}
	at := int64(0)
	for k, a := range r.axes {
		n := index[k] - a.Start
		if n < 0 || n >= a.Count {
			return 0, false
		}
		if r.row != nil {
			at = at*a.Count + n
		}
	}
	if r.row != nil {
		return int(r.row[at]) - 1, r.row[at] != 0
	}
	return r.block.Row(index)
}

// at finds a path's block and row; c.index holds its numbers until the next call.
func (c *modelView) at(path string) (*rows, int, bool) {
	c.open()
	c.template, c.index = tensor.AppendSplit(c.template[:0], c.index[:0], path)
	r := c.blocks[string(c.template)]
	if len(c.index) == 0 && strings.Contains(path, "{") && len(tensor.Placeholders(path)) > 0 {
		r = c.blocks[literal+path]
	}
	if r == nil {
		return nil, 0, false
	}
	row, ok := r.find(c.index)
	return r, row, ok && r.block.Err() == nil
}

// Lookup is part of arch.Source: what is known without hashes and statistics.
func (c *modelView) Lookup(path string) (tensor.Info, bool) {
	r, row, ok := c.at(path)
	if !ok {
		return tensor.Info{}, false
	}
	return r.metadata(path, row), true
}

func (r *rows) metadata(path string, row int) tensor.Info {
	b := r.block
	return tensor.Info{Path: path, DType: tensor.DType(b.DTypes().At(row)), Shape: b.Shapes().At(row), Bytes: b.Bytes().At(row)}
}

// whole is Lookup with everything that the registry knows.
func (c *modelView) whole(path string) (tensor.Info, bool) {
	r, row, ok := c.at(path)
	if !ok {
		return tensor.Info{}, false
	}
	return r.block.Info(row), true
}

// Whole is part of arch.Hashed.
func (c *modelView) Whole(path string) (tensor.Info, bool) { return c.whole(path) }

// Each reports whether prefix+i+suffix is there for every from <= i < to, all of
// one dtype and shape, which are those of first.
func (c *modelView) Each(prefix, suffix string, from, to int64) (first tensor.Info, ok bool) {
	if from >= to || !strings.HasSuffix(prefix, ".") || !strings.HasPrefix(suffix, ".") && suffix != "" {
		return first, false
	}
	path := prefix + strconv.FormatInt(from, 10) + suffix
	r, row, ok := c.at(path)
	if !ok {
		return first, false
	}
	if _, same := r.block.DTypes().Const(); !same {
		return first, false
	}
	if _, same := r.block.Shapes().Code().Const(); !same {
		return first, false
	}
	index := slices.Clone(c.index)
	c.template, c.index = tensor.AppendSplit(c.template[:0], c.index[:0], strings.TrimSuffix(prefix, "."))
	slot := len(c.index)
	if a := r.axes[slot]; to > a.Start+a.Count {
		return first, false
	}
	if _, full := r.block.Grid(); !full {
		for i := from + 1; i < to; i++ {
			index[slot] = i
			if _, ok := r.find(index); !ok {
				return first, false
			}
		}
	}
	return r.metadata(path, row), r.block.Err() == nil
}

// Templates is part of arch.Templated.
func (c *modelView) Templates(yield func(template string) bool) {
	c.open()
	for _, r := range c.blocks {
		if !yield(r.block.Template()) {
			return
		}
	}
}

// All is part of arch.Source: sorted by path, without hashes and statistics.
func (c *modelView) All(yield func(tensor.Info) bool) {
	var list []tensor.Info
	c.each(false, func(t tensor.Info) bool {
		list = append(list, t)
		return true
	})
	slices.SortFunc(list, func(a, b tensor.Info) int { return strings.Compare(a.Path, b.Path) })
	for _, t := range list {
		if !yield(t) {
			return
		}
	}
}

// each yields every tensor in the order of the blocks, whole ones with all that is
// known.
func (c *modelView) each(whole bool, yield func(tensor.Info) bool) {
	for b, err := range c.snapshot.Blocks(c.ctx, c.revision) {
		if err != nil {
			c.fail(err)
			return
		}
		r := rows{block: b}
		for i := range b.Len() {
			if i%lookEvery == 0 && c.ctx.Err() != nil {
				c.fail(c.ctx.Err())
				return
			}
			t := tensor.Info{}
			if whole {
				t = b.Info(i)
			} else {
				t = r.metadata(b.Path(i), i)
			}
			if !yield(t) {
				return
			}
		}
		if b.Err() != nil {
			c.fail(b.Err())
			return
		}
	}
}
