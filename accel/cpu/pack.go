package cpu

import (
	"errors"
	"fmt"

	"wreg/registry/tensor"
)

// pack writes codes as one stream of bits, the lowest first: code i lies at bits
// i*width to (i+1)*width. len(q) is a multiple of 8 and dst has len(q)*width/8 bytes.
func pack(dst []byte, q []uint8, width int) {
	switch width {
	case 8:
		copy(dst, q)
		return
	case 4:
		for i := range dst {
			dst[i] = q[2*i] | q[2*i+1]<<4
		}
		return
	}
	for ; len(q) >= 8; q, dst = q[8:], dst[width:] {
		// Eight codes, one a byte, close up in three steps: to pairs, fours, eight.
		w := le.Uint64(q)
		gap := 8 - width
		w = w&0x00FF00FF_00FF00FF | w>>gap&(0x00FF00FF_00FF00FF<<width)
		w = w&0x0000FFFF_0000FFFF | w>>(2*gap)&(0x0000FFFF_0000FFFF<<(2*width))
		w = w&0x00000000_FFFFFFFF | w>>(4*gap)&(0x00000000_FFFFFFFF<<(4*width))
		for i := range dst[:width] {
			dst[i] = uint8(w >> (8 * i))
		}
	}
}

// unpack reads what pack wrote.
func unpack(q []uint8, src []byte, width int) {
	switch width {
	case 8:
		copy(q, src)
		return
	case 4:
		for i, b := range src {
			q[2*i], q[2*i+1] = b&15, b>>4
		}
		return
	}
	for ; len(q) >= 8; q, src = q[8:], src[width:] {
		var w uint64
		for i, b := range src[:width] {
			w |= uint64(b) << (8 * i)
		}
		for i := range q[:8] {
			q[i] = uint8(w) & (1<<width - 1)
			w >>= width
		}
	}
}

// awqOrder says which nibble of an AWQ word holds column i of its eight.
var awqOrder = [8]int{0, 4, 1, 5, 2, 6, 3, 7}

// RepackAWQ turns AWQ's qweight, i32 [in, out/8], into affine 4-bit codes, u32
// [out, in/8]: unpacked, transposed, packed. in and out are multiples of 8.
func RepackAWQ(dst, src []byte, in, out int) error {
	err := checkAWQ(dst, src, in, out)
	if err == nil && in%8 != 0 {
		err = fmt.Errorf("%d inputs do not fill words of 8 codes", in)
	}
	if err == nil {
		err = need("dst", dst, len(src), 1)
	}
	if err != nil {
		return fmt.Errorf("repack awq weight of %d inputs and %d outputs: %w", in, out, err)
	}
	line, words := out/2, out/8
	for w := range words {
		for r := 0; r < in; r += 8 {
			var codes [8]uint32
			for k := range 8 {
				v := le.Uint32(src[(r+k)*line+4*w:])
				for c := range 8 {
					codes[c] |= v >> (4 * awqOrder[c]) & 15 << (4 * k)
				}
			}
			for c := range 8 {
				le.PutUint32(dst[((8*w+c)*in+r)/2:], codes[c])
			}
		}
	}
	return nil
}

// BiasesAWQ gives the affine biases of AWQ weights: -zero*scale. zeros is qzeros,
// i32 [groups, out/8], or nil when every zero is 8; scales, of type dt, are already
// transposed: [out, groups], and so are the biases.
func BiasesAWQ(dst, zeros, scales []byte, dt tensor.DType, groups, out int) error {
	if !computable(dt) {
		return fmt.Errorf("awq biases: scales are %v, want f32, f16 or bf16", dt)
	}
	n, err := product(groups, out)
	if err == nil {
		err = first(need("scales", scales, n, size(dt)), need("dst", dst, n, size(dt)), apart("dst", dst, "scales", scales))
	}
	if err == nil && zeros != nil {
		err = checkAWQ(dst, zeros, groups, out)
	}
	if err != nil {
		return fmt.Errorf("awq biases of %d groups and %d outputs: %w", groups, out, err)
	}
	for o := range out {
		for g := range groups {
			zero := uint32(8)
			if zeros != nil {
				zero = le.Uint32(zeros[(g*out+o&^7)/2:]) >> (4 * awqOrder[o%8]) & 15
			}
			storeF32(dt, dst, o*groups+g, quiet(mul, -float32(zero), loadF32(dt, scales, o*groups+g)))
		}
	}
	return nil
}

func checkAWQ(dst, src []byte, rows, out int) error {
	n, err := product(rows, out)
	switch {
	case err != nil:
		return err
	case out%8 != 0:
		return errors.New("the outputs do not fill words of 8 codes")
	}
	return first(need("src", src, n/2, 1), apart("dst", dst, "src", src))
}
