package cpu

import (
	"errors"
	"fmt"
	"math"

	"wreg/registry/tensor"
)

// DequantFP8 turns rows x cols e4m3 codes into bf16: code times the scale of its
// block. row0 is the tensor row that src starts at; scale is the whole tensor's, of
// which the tile uses rows row0/blockRows and on.
func (d Device) DequantFP8(dst, src []byte, row0, rows, cols int, scale []byte, scaleType tensor.DType, blockRows, blockCols int) error {
	if err := checkFP8(dst, src, row0, rows, cols, scale, scaleType, blockRows, blockCols); err != nil {
		return fmt.Errorf("dequantize fp8 rows %d..%d x %d in blocks of %d x %d: %w", row0, row0+rows, cols, blockRows, blockCols, err)
	}
	if cols == 0 {
		return nil
	}
	scaleCols := (cols-1)/blockCols + 1
	for r := 0; r < rows; {
		band := (row0 + r) / blockRows
		end := r + min(rows-r, blockRows-(row0+r)%blockRows)
		for b := range scaleCols {
			s := loadF32(scaleType, scale, band*scaleCols+b)
			c0 := b * blockCols
			dequantBlock(dst, src, r, end, c0, c0+min(blockCols, cols-c0), cols, s)
		}
		r = end
	}
	return nil
}

// dequantBlock does rows r0..r1, columns c0..c1, which share scale s. The product
// is rounded to float32, then to bf16: MLX rounds twice too.
func dequantBlock(dst, src []byte, r0, r1, c0, c1, cols int, s float32) {
	if (r1-r0)*(c1-c0) < 2*256 {
		for r := r0; r < r1; r++ {
			for i := r*cols + c0; i < r*cols+c1; i++ {
				le.PutUint16(dst[2*i:], scaled(src[i], s))
			}
		}
		return
	}
	var t [256]uint16
	for i := range t {
		t[i] = scaled(uint8(i), s)
	}
	for r := r0; r < r1; r++ {
		lookup8to2(dst[2*(r*cols+c0):2*(r*cols+c1)], src[r*cols+c0:r*cols+c1], &t)
	}
}

func scaled(code uint8, s float32) uint16 {
	p := math.Float32frombits(e4m3F32[code]) * s
	return f32ToBF16(math.Float32bits(p))
}

func checkFP8(dst, src []byte, row0, rows, cols int, scale []byte, scaleType tensor.DType, blockRows, blockCols int) error {
	switch {
	case row0 < 0 || rows < 0 || cols < 0 || row0 > math.MaxInt-rows:
		return errors.New("negative or too large")
	case blockRows <= 0 || blockCols <= 0:
		return errors.New("a block needs at least one row and one column")
	case !computable(scaleType):
		return fmt.Errorf("scales are %v, want f32, f16 or bf16", scaleType)
	}
	n, err := product(rows, cols)
	if err != nil {
		return err
	}
	if err := first(need("src", src, n, 1), need("dst", dst, n, 2), apart("dst", dst, "src", src), apart("dst", dst, "scale", scale)); err != nil {
		return err
	}
	if n == 0 {
		return nil
	}
	scaleCols := (cols-1)/blockCols + 1
	line := scaleCols * size(scaleType)
	bands := (row0+rows-1)/blockRows + 1
	if len(scale)%line != 0 || len(scale)/line < bands {
		return fmt.Errorf("scale has %d bytes, want at least %d rows of %d x %v", len(scale), bands, scaleCols, scaleType)
	}
	return nil
}

// product multiplies two sizes that are not negative.
func product(a, b int) (int, error) {
	if a < 0 || b < 0 || a != 0 && b > math.MaxInt/a {
		return 0, fmt.Errorf("%d x %d elements are too many", a, b)
	}
	return a * b, nil
}
