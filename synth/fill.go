// Package synth makes checkpoints whose bytes follow from the tensors' names, so
// that a test, a demo or a golden needs no download and no stored weights.
//
// Most users need [Fill] (bytes of one tensor), [Write] (a whole checkpoint) and, in
// tests, [Golden] (a case that mlx_lm converted).
//
// Invariants: a tensor's bytes follow from its name, dtype and seed alone, whatever is
// beside it; Fill gives the same bytes however they are cut; the rule never changes, since
// goldens hold hashes of what follows from it.
//
// The rule, for tensor NAME and seed S, modulo 2^64: element i is
// mix(FNV-1a-64(NAME) ^ S + i*0x9E3779B97F4A7C15), mix being splitmix64's
// finalizer; floats are (x>>40)*2^-24-0.5, a quarter of that, rounded to nearest
// even; e4m3 NaN codes lose their last bit; other types take the low bits.
package synth

import (
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"math"

	"wreg/registry/tensor"
)

const golden = 0x9E3779B97F4A7C15 // 2^64 / golden ratio: splitmix64's increment

// Fill writes into dst the elements first, first+1, … of tensor name. dst must
// hold whole elements; sub-byte and block-quantized types take whole random bytes.
func Fill(dst []byte, name string, seed uint64, dt tensor.DType, first int64) error {
	elems, size := dt.Block()
	if size == 0 || len(dst)%int(size) != 0 {
		return fmt.Errorf("tensor %q: %d bytes are not whole elements of %v", name, len(dst), dt)
	}
	if elems != 1 { // opaque: byte by byte
		dt, size, first = tensor.U8, 1, first/elems*size
	}
	h := fnv.New64a()
	h.Write([]byte(name))
	x := (h.Sum64() ^ seed) + uint64(first)*golden
	if dt == tensor.BF16 { // what large checkpoints are made of: without a switch per element
		for i := 0; i+1 < len(dst); i, x = i+2, x+golden {
			u := math.Float32bits((float32(int32(mix(x)>>40))*0x1p-24 - 0.5) * 0.25)
			u = (u + 0x7fff + u>>16&1) >> 16
			dst[i], dst[i+1] = byte(u), byte(u>>8)
		}
		return nil
	}
	for ; len(dst) > 0; dst, x = dst[size:], x+golden {
		put(dst, dt, int(size), mix(x))
	}
	return nil
}

func put(dst []byte, dt tensor.DType, size int, z uint64) {
	f := (float32(int32(z>>40))*0x1p-24 - 0.5) * 0.25
	switch dt {
	case tensor.F32:
		binary.LittleEndian.PutUint32(dst, math.Float32bits(f))
	case tensor.F64:
		binary.LittleEndian.PutUint64(dst, math.Float64bits(float64(f)))
	case tensor.BF16:
		u := math.Float32bits(f)
		binary.LittleEndian.PutUint16(dst, uint16((u+0x7fff+u>>16&1)>>16))
	case tensor.F16:
		binary.LittleEndian.PutUint16(dst, half(f))
	case tensor.F8E4M3:
		b := byte(z)
		if b&0x7f == 0x7f {
			b &^= 1
		}
		dst[0] = b
	case tensor.Bool:
		dst[0] = byte(z & 1)
	default: // integers and the other 8-bit types; 16-byte types repeat the low word
		for i := range size {
			dst[i] = byte(z >> (8 * (i % 8)))
		}
	}
}

// half rounds |f| < 0.125 to float16, to nearest even. The range spares it
// overflow and NaN; everything else converts through accel.
func half(f float32) uint16 {
	u := math.Float32bits(f)
	sign, exp, man := uint16(u>>16&0x8000), int(u>>23&0xff)-127+15, u&0x7fffff|0x800000
	if u<<1 == 0 {
		return sign
	}
	shift, base := uint(13), uint32(exp)<<10-1<<10
	if exp <= 0 { // subnormal: value is man * 2^(exp-14-23)
		shift, base = uint(14-exp), 0
	}
	if shift > 24 {
		return sign
	}
	q, rem, tie := man>>shift, man&(1<<shift-1), uint32(1)<<(shift-1)
	if rem > tie || rem == tie && q&1 == 1 {
		q++
	}
	return sign | uint16(base+q)
}

func mix(z uint64) uint64 {
	z ^= z >> 30
	z *= 0xBF58476D1CE4E5B9
	z ^= z >> 27
	z *= 0x94D049BB133111EB
	return z ^ z>>31
}
