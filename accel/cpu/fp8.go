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
	if err := CheckDequantFP8(dst, src, row0, rows, cols, scale, scaleType, blockRows, blockCols); err != nil {
		return err
	}
	if cols == 0 {
		return nil
	}
	f := fp8{kernel: d.k.dequantE4M3}
	blockCols = min(blockCols, cols)
	scaleCols := (cols-1)/blockCols + 1
	for r := 0; r < rows; {
		band := (row0 + r) / blockRows
		high := min(rows-r, blockRows-(row0+r)%blockRows)
		for b0 := 0; b0 < scaleCols; b0 += fp8Blocks {
			var scales [fp8Blocks]float32
			n := min(fp8Blocks, scaleCols-b0)
			for i := range n {
				scales[i] = loadF32(scaleType, scale, band*scaleCols+b0+i)
			}
			c0 := b0 * blockCols
			c1 := c0 + (n-1)*blockCols
			c1 += min(blockCols, cols-c1)
			f.prepare(scales[:n], high, blockCols)
			for row := r; row < r+high; row++ {
				f.line(dst[2*(row*cols+c0):2*(row*cols+c1)], src[row*cols+c0:row*cols+c1], scales[:n], blockCols)
			}
		}
		r += high
	}
	return nil
}

// fp8Blocks is how many blocks side by side are done row by row. Whole rows, since
// to go down a block touches a page per row; not wider, since each block may have a
// table.
const fp8Blocks = 64

// fp8 multiplies codes by their blocks' scales: with assembly, with a table per
// block, or one by one, whichever is quicker. prepare says which.
type fp8 struct {
	kernel  func(dst, src []byte, blockCols int, factors []float32)
	factors []float32     // for the kernel; none when it cannot be used
	tables  [][256]uint16 // one for each block; none when they would not pay
}

// kernelScale is what the factors of the kernel are larger than the scales.
const kernelScale = 256

// prepare is told the scales of the blocks that line is called with, high times. A
// scale that is not a number, or too large for the kernel, is a matter for plain Go.
func (f *fp8) prepare(scales []float32, high, blockCols int) {
	f.factors, f.tables = f.factors[:0], f.tables[:0]
	if f.kernel != nil && blockCols >= lanes {
		for _, s := range scales {
			if !(abs(s) <= math.MaxFloat32/kernelScale) {
				f.factors = f.factors[:0]
				break
			}
			f.factors = append(f.factors, s*kernelScale)
		}
	}
	if len(f.factors) > 0 || high < 2*256/blockCols+1 {
		return
	}
	for _, s := range scales {
		var t [256]uint16
		for code := range t {
			t[code] = scaled(uint8(code), s)
		}
		f.tables = append(f.tables, t)
	}
}

// line does one row of the blocks that prepare was told of. The product is rounded
// to float32, then to bf16: MLX rounds twice too.
func (f *fp8) line(dst, src []byte, scales []float32, blockCols int) {
	at := 0
	if n := len(src) / blockCols; len(f.factors) > 0 && blockCols%lanes == 0 && n > 0 {
		f.kernel(dst, src, blockCols, f.factors[:n]) // all but a narrower block at the end
		dst, src, at = dst[2*n*blockCols:], src[n*blockCols:], n
	}
	for ; at < len(scales); at++ {
		n := min(blockCols, len(src))
		out, in := dst[:2*n], src[:n]
		dst, src = dst[2*n:], src[n:]
		if len(f.tables) > 0 {
			lookup8to2(out, in, &f.tables[at])
			continue
		}
		if done := n / lanes * lanes; len(f.factors) > 0 && done > 0 {
			f.kernel(out, in, done, f.factors[at:at+1])
			out, in = out[2*done:], in[done:]
		}
		for j, code := range in {
			le.PutUint16(out[2*j:], scaled(code, scales[at]))
		}
	}
}

func scaled(code uint8, s float32) uint16 {
	p := math.Float32frombits(e4m3F32[code]) * s
	return f32ToBF16(math.Float32bits(p))
}

// CheckDequantFP8 fails where DequantFP8 would, without computing anything.
func CheckDequantFP8(dst, src []byte, row0, rows, cols int, scale []byte, scaleType tensor.DType, blockRows, blockCols int) error {
	if err := checkFP8(dst, src, row0, rows, cols, scale, scaleType, blockRows, blockCols); err != nil {
		return fmt.Errorf("dequantize fp8: %d rows from %d, %d columns, blocks of %d x %d: %w", rows, row0, cols, blockRows, blockCols, err)
	}
	return nil
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
