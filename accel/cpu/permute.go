package cpu

import "fmt"

// permuteTile is the edge, in elements, of the square that is transposed at once:
// small enough that its lines of source and destination stay in the cache.
const permuteTile = 32

// Permute2 transposes n matrices of rows x cols elements of size bytes.
func (d Device) Permute2(dst, src []byte, n, rows, cols, size int) error {
	one, err := product(rows, cols)
	if err == nil {
		var all int
		all, err = product(n, one)
		if err == nil && size <= 0 {
			err = fmt.Errorf("elements of %d bytes", size)
		}
		if err == nil {
			err = first(need("src", src, all, size), need("dst", dst, all, size), apart("dst", dst, "src", src))
		}
	}
	if err != nil {
		return fmt.Errorf("permute %d matrices of %d x %d: %w", n, rows, cols, err)
	}
	step := one * size
	for range n {
		for r0 := 0; r0 < rows; r0 += permuteTile {
			for c0 := 0; c0 < cols; c0 += permuteTile {
				permuteBlock(dst[:step], src[:step], r0, min(rows, r0+permuteTile), c0, min(cols, c0+permuteTile), rows, cols, size)
			}
		}
		dst, src = dst[step:], src[step:]
	}
	return nil
}

func permuteBlock(dst, src []byte, r0, r1, c0, c1, rows, cols, size int) {
	switch size {
	case 1:
		for c := c0; c < c1; c++ {
			for r := r0; r < r1; r++ {
				dst[c*rows+r] = src[r*cols+c]
			}
		}
	case 2:
		for c := c0; c < c1; c++ {
			for r := r0; r < r1; r++ {
				le.PutUint16(dst[2*(c*rows+r):], le.Uint16(src[2*(r*cols+c):]))
			}
		}
	case 4:
		for c := c0; c < c1; c++ {
			for r := r0; r < r1; r++ {
				le.PutUint32(dst[4*(c*rows+r):], le.Uint32(src[4*(r*cols+c):]))
			}
		}
	case 8:
		for c := c0; c < c1; c++ {
			for r := r0; r < r1; r++ {
				le.PutUint64(dst[8*(c*rows+r):], le.Uint64(src[8*(r*cols+c):]))
			}
		}
	default:
		for c := c0; c < c1; c++ {
			for r := r0; r < r1; r++ {
				copy(dst[size*(c*rows+r):][:size], src[size*(r*cols+c):])
			}
		}
	}
}
