package view

import (
	"context"

	"wreg/registry"
	"wreg/registry/block"
	"wreg/registry/tensor"
)

// lookEvery is how many rows pass between two looks at the context.
const lookEvery = 4096

// rows is a block whose rows are looked at one after the other.
type rows struct {
	*block.Block
	index [][]int64 // by placeholder
	one   string    // the dtype that all have; "": look
	stats block.StatColumns
	taken block.Ints
}

// eachBlock visits the blocks of a revision.
func eachBlock(ctx context.Context, s *registry.Snapshot, v *registry.Revision, visit func(b *rows) error) error {
	left := lookEvery
	for b, err := range s.Blocks(ctx, v) {
		if err != nil {
			return err
		}
		if left -= b.Len(); left < 0 {
			if left = lookEvery; ctx.Err() != nil {
				return ctx.Err()
			}
		}
		r := &rows{Block: b, stats: b.Stats(), taken: b.HasStats()}
		for k := 0; ; k++ {
			numbers, ok := b.Index(k)
			if !ok {
				break
			}
			r.index = append(r.index, numbers)
		}
		if d, same := b.DTypes().Const(); same {
			r.one = tensor.DType(d).String()
		}
		if err := visit(r); err != nil {
			return err
		}
		if err := b.Err(); err != nil {
			return err
		}
	}
	return nil
}

// numbers are those of row i's path, in a buffer that the next call writes to.
func (r *rows) numbers(buffer *[]int64, i int) []int64 {
	*buffer = (*buffer)[:0]
	for _, numbers := range r.index {
		*buffer = append(*buffer, numbers[i])
	}
	return *buffer
}

func (r *rows) dtype(i int) string {
	if r.one != "" {
		return r.one
	}
	return tensor.DType(r.DTypes().At(i)).String()
}

// elements is how many numbers row i has.
func (r *rows) elements(i int) int64 {
	shapes := r.Shapes()
	if code, all := shapes.Code().At(i), shapes.Numels(); code >= 0 && code < int64(len(all)) {
		return all[code]
	}
	return 0 // damaged, which the block reports
}

// recorded are the statistics of row i that are added up.
func (r *rows) recorded(i int) tensor.Stats {
	x := &r.stats
	return tensor.Stats{AbsMax: x.AbsMax.At(i), NaNs: x.NaNs.At(i), Infs: x.Infs.At(i), Zeros: x.Zeros.At(i)}
}

// floating reports that the values of row i are numbers of the model. Others are codes and
// counts, whose range says nothing of its weights.
func (r *rows) floating(i int) bool { return tensor.DType(r.DTypes().At(i)).Floating() }

// absMax is the greatest magnitude in row i; ok is false where none was recorded, where it says
// nothing, or where nothing is finite.
func (r *rows) absMax(i int) (x float64, ok bool) {
	if r.taken.At(i) == 0 || !r.floating(i) {
		return 0, false
	}
	if x = r.stats.AbsMax.At(i); x == 0 && r.stats.NaNs.At(i)+r.stats.Infs.At(i) == r.elements(i) {
		return 0, false
	}
	return x, true
}
