package compute

import (
	"testing"

	"wreg/accel"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// BenchmarkSteps makes a tensor from memory, chunk by chunk, on one core; rates
// count the bytes of the result.
func BenchmarkSteps(b *testing.B) {
	const rows, cols = 4096, 4096
	load := func(path string, dtype tensor.DType, shape ...int64) *op.Node {
		return &op.Node{Step: op.Step{Op: op.Load, Path: path}, DType: dtype, Shape: shape}
	}
	bf16, f32 := load("bf16", tensor.BF16, rows, cols), load("f32", tensor.F32, rows, cols)
	shape := tensor.Shape{rows, cols}
	for name, n := range map[string]*op.Node{
		"copy":       bf16,
		"cast":       {Step: op.Step{Op: op.Cast}, In: []*op.Node{f32}, DType: tensor.BF16, Shape: shape},
		"transpose":  {Step: op.Step{Op: op.Permute, Perm: []int{1, 0}}, In: []*op.Node{bf16}, DType: tensor.BF16, Shape: shape},
		"interleave": {Step: op.Step{Op: op.Slice, Start: []int64{1, 0}, Stop: []int64{rows, cols}, Stride: []int64{2, 1}}, In: []*op.Node{bf16}, DType: tensor.BF16, Shape: tensor.Shape{rows / 2, cols}},
		"columns":    {Step: op.Step{Op: op.Slice, Start: []int64{0, 0}, Stop: []int64{rows, cols / 2}, Stride: []int64{1, 1}}, In: []*op.Node{bf16}, DType: tensor.BF16, Shape: tensor.Shape{rows, cols / 2}},
		"fp8":        {Step: op.Step{Op: op.FP8, Block: [2]int64{128, 128}}, In: []*op.Node{load("fp8", tensor.F8E4M3, rows, cols), load("scale", tensor.F32, rows/128, cols/128)}, DType: tensor.BF16, Shape: shape},
	} {
		b.Run(name, func(b *testing.B) {
			m := bench{}
			for _, path := range Loads(n) {
				info, _ := m.info(n, path)
				m[path] = noise(info.DType, SizeOf(info.DType, Numel(info.Shape)), 1)
			}
			e := &Evaluator{device: accel.CPU(), open: m.open, Limit: Gather * MaxChunk, when: usual}
			buf := make([]byte, MaxChunk)
			b.SetBytes(SizeOf(n.DType, Numel(n.Shape)))
			for b.Loop() {
				e.Reset()
				v, err := e.Value(n)
				if err != nil {
					b.Fatal(err)
				}
				step := Count(n.DType, int64(MaxChunk))
				for first := int64(0); first < Numel(n.Shape); first += step {
					k := min(step, Numel(n.Shape)-first)
					if err := v.Read(buf[:SizeOf(n.DType, k)], first); err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}
