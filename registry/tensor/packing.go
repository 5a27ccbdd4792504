package tensor

import (
	"fmt"
	"slices"
)

// wordBits are the bits of a word in which mlx packs codes of fewer.
const wordBits = 32

// Unpacked is the shape of the numbers that words of this shape hold, of so many bits
// each: the last axis is that of the words.
func (s Shape) Unpacked(bits int) Shape { return s.lastTimes(wordBits, int64(bits)) }

// Packed is the shape of the words that hold numbers of this shape; see Unpacked.
func (s Shape) Packed(bits int) Shape { return s.lastTimes(int64(bits), wordBits) }

func (s Shape) lastTimes(n, by int64) Shape {
	out := slices.Clone(s)
	if last := len(out) - 1; last >= 0 {
		out[last] = out[last] * n / by
	}
	return out
}

// Packs reports that a row of so many words is one of so many groups that share a
// scale each, of group numbers of bits.
func Packs(words, groups, bits, group int64) bool {
	if bits <= 0 || bits > wordBits || group <= 0 || words <= 0 || words > 1<<40 || group > words*wordBits {
		return false
	}
	return words*wordBits%(group*bits) == 0 && words*wordBits/(group*bits) == groups
}

// Packing is a way in which mlx packs numbers: its name, the bits of a code, and how many
// share a scale.
type Packing struct {
	Mode        string
	Bits, Group int
}

func (p Packing) String() string {
	return fmt.Sprintf("%s codes of %d bits, group size %d", p.Mode, p.Bits, p.Group)
}

const affine = "affine" // to mlx: codes of any size, scales and biases of the weight's type

// packings have the bits and groups that mlx takes where none are named; all but affine
// have no others.
var packings = []Packing{{affine, 4, 64}, {"mxfp4", 4, 32}, {"nvfp4", 4, 16}, {"mxfp8", 8, 32}}

// PackingNamed is a mode of mlx's with its usual bits and group.
func PackingNamed(mode string) (Packing, bool) {
	i := slices.IndexFunc(packings, func(p Packing) bool { return p.Mode == mode })
	if i < 0 {
		return Packing{}, false
	}
	return packings[i], true
}

// PackingMode is what mlx calls a packing: all but affine have scales of one byte, and
// each of them allows one pair of bits and group. It is "" for a pair that none allows.
func PackingMode(bits, group int, scales DType) string {
	if scales != U8 {
		return affine
	}
	for _, p := range packings {
		if p.Mode != affine && p.Bits == bits && p.Group == group {
			return p.Mode
		}
	}
	return ""
}
