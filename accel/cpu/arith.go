package cpu

import (
	"fmt"
	"math"

	"wreg/registry/tensor"
)

// AddScalar adds c, rounded to dt first, to every element.
func (d Device) AddScalar(dst, src []byte, dt tensor.DType, c float64) error {
	return d.scalar("add", dst, src, dt, c, sum)
}

// MulScalar multiplies every element by c, rounded to dt first.
func (d Device) MulScalar(dst, src []byte, dt tensor.DType, c float64) error {
	return d.scalar("multiply", dst, src, dt, c, mul)
}

func (d Device) scalar(verb string, dst, src []byte, dt tensor.DType, c float64, op func(a, b float32) float32) error {
	if !computable(dt) {
		return fmt.Errorf("%s a scalar: %v is not f32, f16 or bf16; cast first", verb, dt)
	}
	n := len(src) / size(dt)
	if err := first(need("src", src, n, size(dt)), need("dst", dst, n, size(dt)), apart("dst", dst, "src", src)); err != nil {
		return fmt.Errorf("%s a scalar to %v: %w", verb, dt, err)
	}
	scalar := round32(dt, float32(c))
	if dt != tensor.F32 { // 65,536 values at most: worth a table from some length on
		one := func(u uint16) uint16 {
			var b [2]byte
			le.PutUint16(b[:], u)
			storeF32(dt, b[:], 0, quiet(op, loadF32(dt, b[:], 0), scalar))
			return le.Uint16(b[:])
		}
		if n > 1<<17 {
			lookup16to2(dst, src, table16(one))
			return nil
		}
		for ; len(src) >= 2 && len(dst) >= 2; dst, src = dst[2:], src[2:] {
			le.PutUint16(dst, one(le.Uint16(src)))
		}
		return nil
	}
	for i := range n {
		storeF32(dt, dst, i, quiet(op, loadF32(dt, src, i), scalar))
	}
	return nil
}

// MulVec multiplies row r of rows x cols elements by vec[r], which is of type dt.
func (d Device) MulVec(dst, src []byte, dt tensor.DType, rows, cols int, vec []byte) error {
	if !computable(dt) {
		return fmt.Errorf("multiply by a vector: %v is not f32, f16 or bf16; cast first", dt)
	}
	n, err := product(rows, cols)
	if err == nil {
		err = first(need("src", src, n, size(dt)), need("dst", dst, n, size(dt)), need("vector", vec, rows, size(dt)),
			apart("dst", dst, "src", src), apart("dst", dst, "vector", vec))
	}
	if err != nil {
		return fmt.Errorf("multiply %d x %d %v by a vector: %w", rows, cols, dt, err)
	}
	for r := range rows {
		factor := loadF32(dt, vec, r)
		for i := r * cols; i < (r+1)*cols; i++ {
			storeF32(dt, dst, i, quiet(mul, loadF32(dt, src, i), factor))
		}
	}
	return nil
}

// quiet gives NaN results the bits that x86-64 gives them, on every processor: the
// first operand that is a NaN, made quiet, else the default NaN.
func quiet(op func(a, b float32) float32, a, b float32) float32 {
	const bit = 1 << 22
	r := op(a, b)
	switch {
	case r == r:
		return r
	case a != a:
		return math.Float32frombits(math.Float32bits(a) | bit)
	case b != b:
		return math.Float32frombits(math.Float32bits(b) | bit)
	}
	return math.Float32frombits(defaultNaN)
}
