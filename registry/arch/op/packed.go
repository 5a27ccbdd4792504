package op

import (
	"fmt"
	"slices"

	"wreg/registry/tensor"
)

// scaledCodes checks that the scales cover the codes: one for all, broadcast, or one
// for each block.
func scaledCodes(s *Step, in []Array) (Array, error) {
	codes, scale := in[0], in[1]
	mismatch := fmt.Errorf("scales %v %v do not fit %v %v in blocks of %v", scale.DType, scale.Shape, codes.DType, codes.Shape, s.Block)
	switch {
	case codes.DType != tensor.F8E4M3 && codes.DType != tensor.U8 || len(codes.Shape) == 0,
		scale.DType != tensor.F32 && scale.DType != tensor.BF16,
		s.Block == [2]int64{} && !Broadcasts(scale.Shape, codes.Shape),
		s.Block != [2]int64{} && !Covers(scale.Shape, codes.Shape, s.Block):
		return codes, mismatch
	}
	return Array{tensor.BF16, codes.Shape}, nil
}

// Covers reports that there is a scale for each block of the last two axes.
func Covers(scale, codes tensor.Shape, block [2]int64) bool {
	return len(codes) >= 2 && block[0] > 0 && block[1] > 0 && scale.Equal(Blocks(codes, block))
}

// Blocks is the shape of scales, one for each block of the last two axes of codes.
func Blocks(codes tensor.Shape, block [2]int64) tensor.Shape {
	n := len(codes) - 2
	up := func(a, b int64) int64 { return (a + b - 1) / b }
	return append(slices.Clone(codes[:n]), up(codes[n], block[0]), up(codes[n+1], block[1]))
}

// Broadcasts reports that a scale stretches over a shape as numpy stretches it.
func Broadcasts(scale, over tensor.Shape) bool {
	if len(scale) > len(over) {
		return false
	}
	for i := 1; i <= len(scale); i++ {
		if d := scale[len(scale)-i]; d != 1 && d != over[len(over)-i] {
			return false
		}
	}
	return true
}

// repacked is AWQ's nibbles, turned and packed as mlx packs them.
func repacked(_ *Step, in []Array) (Array, error) {
	x := in[0]
	if len(x.Shape) != 2 || x.DType != tensor.I32 || x.Shape[0]%8 != 0 {
		return x, fmt.Errorf("awq of %v %v", x.DType, x.Shape)
	}
	return Array{tensor.U32, tensor.Shape{8 * x.Shape[1], x.Shape[0] / 8}}, nil
}

// zeroPoints is AWQ's zeros times its scales, which are turned already.
func zeroPoints(_ *Step, in []Array) (Array, error) {
	scales := in[0]
	if len(scales.Shape) != 2 || !scales.DType.Float() {
		return scales, fmt.Errorf("awqbias of %v %v", scales.DType, scales.Shape)
	}
	if len(in) == 2 {
		z := in[1]
		if z.DType != tensor.I32 || len(z.Shape) != 2 || z.Shape[0] != scales.Shape[1] || z.Shape[1]*8 != scales.Shape[0] {
			return scales, fmt.Errorf("zeros %v %v do not fit scales %v", z.DType, z.Shape, scales.Shape)
		}
	}
	return scales, nil
}
