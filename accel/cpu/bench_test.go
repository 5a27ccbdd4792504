package cpu

import (
	"fmt"
	"testing"

	"wreg/registry/tensor"
)

// benchElements is how many elements a benchmark works on: with their results more
// than a second-level cache holds, as the pieces that export works on.
const benchElements = 2 << 20

// both runs a benchmark in plain Go and with the fastest kernels. What counts is
// of-copy: the rate as a part of what copy reaches with as many bytes, in the same
// run. moved is the bytes read and written.
func both(b *testing.B, name string, moved int, f func(d Device) error) {
	for _, d := range []Device{Reference(), New()} {
		b.Run(name+"/"+d.Path(), func(b *testing.B) {
			b.SetBytes(int64(moved))
			for b.Loop() {
				if err := f(d); err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			_, ofCopy, err := Trial{Size: moved}.AgainstCopy(func() error { return f(d) })
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(ofCopy, "of-copy")
		})
	}
}

func BenchmarkCast(b *testing.B) {
	for _, p := range []pair{
		{tensor.F32, tensor.BF16}, {tensor.F32, tensor.F16}, {tensor.BF16, tensor.F32}, {tensor.F16, tensor.F32},
		{tensor.BF16, tensor.F16}, {tensor.F16, tensor.BF16}, {tensor.F8E4M3, tensor.BF16}, {tensor.F64, tensor.F32},
	} {
		src := Weights(p.from, benchElements)
		dst := make([]byte, benchElements*size(p.to))
		both(b, fmt.Sprintf("%v-%v", p.from, p.to), len(src)+len(dst), func(d Device) error {
			return d.Cast(dst, p.to, src, p.from)
		})
	}
}

func BenchmarkDequantFP8(b *testing.B) {
	const rows, cols = 2048, 4096
	src, dst := Weights(tensor.F8E4M3, rows*cols), make([]byte, 2*rows*cols)
	scale := Weights(tensor.F32, rows/128*cols/128)
	both(b, "128x128", len(src), func(d Device) error { // MB/s are of codes read
		return d.DequantFP8(dst, src, 0, rows, cols, scale, tensor.F32, 128, 128)
	})
}

func BenchmarkQuantize(b *testing.B) {
	const rows, cols = 1024, 4096
	for _, dt := range []tensor.DType{tensor.BF16, tensor.F32} {
		src := Weights(dt, rows*cols)
		for _, spec := range []QuantSpec{{}, {Bits: 8}, {Bits: 3}, {Mode: MXFP4}, {Mode: NVFP4}, {Mode: MXFP8}} {
			spec, _ = spec.Resolve()
			np, ns, nb, err := spec.Sizes(rows, cols, dt)
			if err != nil {
				b.Fatal(err)
			}
			dst, scales, biases := make([]byte, np), make([]byte, ns), make([]byte, nb)
			both(b, fmt.Sprintf("%s-%d-%v", spec.Mode, spec.Bits, dt), len(src), func(d Device) error { // of elements read
				return d.Quantize(dst, scales, biases, src, dt, rows, cols, spec)
			})
		}
	}
}

func BenchmarkDequantize(b *testing.B) {
	const rows, cols = 1024, 4096
	dst := make([]byte, 2*rows*cols)
	for _, spec := range []QuantSpec{{}, {Bits: 8}, {Mode: MXFP4}, {Mode: MXFP8}} {
		spec, _ = spec.Resolve()
		np, ns, nb, _ := spec.Sizes(rows, cols, tensor.BF16)
		src, scales, biases := make([]byte, np), make([]byte, ns), make([]byte, nb)
		if err := New().Quantize(src, scales, biases, Weights(tensor.BF16, rows*cols), tensor.BF16, rows, cols, spec); err != nil {
			b.Fatal(err)
		}
		both(b, fmt.Sprintf("%s-%d", spec.Mode, spec.Bits), len(dst), func(d Device) error { // of elements written
			return d.Dequantize(dst, src, scales, biases, tensor.BF16, rows, cols, spec)
		})
	}
}

func BenchmarkPermute2(b *testing.B) {
	const rows, cols = 2048, 4096
	for _, size := range []int{1, 2, 4} {
		src, dst := make([]byte, size*rows*cols), make([]byte, size*rows*cols)
		both(b, fmt.Sprint(size), 2*len(src), func(d Device) error { return d.Permute2(dst, src, 1, rows, cols, size) })
	}
}

func BenchmarkStats(b *testing.B) {
	for _, dt := range []tensor.DType{tensor.BF16, tensor.F16, tensor.F32, tensor.F64, tensor.F8E4M3} {
		var src []byte
		if dt == tensor.F8E4M3 || dt == tensor.F64 {
			src = Weights(dt, benchElements/2)
		} else {
			src = Weights(dt, benchElements)
		}
		both(b, dt.String(), len(src), func(d Device) error {
			var s tensor.Stats
			return d.Stats(&s, dt, src, true)
		})
	}
	src := make([]byte, 4*benchElements/2)
	for i := range src {
		src[i] = byte(i * 7)
	}
	both(b, "u32", len(src), func(d Device) error {
		var s tensor.Stats
		return d.Stats(&s, tensor.U32, src, true)
	})
}
