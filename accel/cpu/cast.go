package cpu

import (
	"fmt"

	"wreg/registry/tensor"
)

// caster converts len(src)/size(from) elements. Lengths have been checked.
type caster func(dst, src []byte)

type pair struct{ from, to tensor.DType }

// casts is every conversion in plain Go. Copies of a type onto itself are not
// listed.
var casts = map[pair]caster{
	{tensor.F32, tensor.F16}:  each4to2(f32ToF16),
	{tensor.F32, tensor.BF16}: castF32toBF16,
	{tensor.BF16, tensor.F32}: castBF16toF32,

	{tensor.F16, tensor.F32}:  func(dst, src []byte) { lookup16to4(dst, src, f16F32()) },
	{tensor.F16, tensor.BF16}: func(dst, src []byte) { lookup16to2(dst, src, f16BF16()) },
	{tensor.BF16, tensor.F16}: func(dst, src []byte) { lookup16to2(dst, src, bf16F16()) },

	{tensor.F64, tensor.F32}:  castF64toF32,
	{tensor.F64, tensor.F16}:  each8to2(func(u uint64) uint16 { return f32ToF16(f64ToF32(u)) }),
	{tensor.F64, tensor.BF16}: each8to2(func(u uint64) uint16 { return f32ToBF16(f64ToF32(u)) }),

	{tensor.F8E4M3, tensor.F32}:  func(dst, src []byte) { lookup8to4(dst, src, e4m3F32) },
	{tensor.F8E4M3, tensor.F16}:  func(dst, src []byte) { lookup8to2(dst, src, e4m3F16) },
	{tensor.F8E4M3, tensor.BF16}: func(dst, src []byte) { lookup8to2(dst, src, e4m3BF16) },
	{tensor.F8E5M2, tensor.F32}:  func(dst, src []byte) { lookup8to4(dst, src, e5m2F32) },
	{tensor.F8E5M2, tensor.F16}:  func(dst, src []byte) { lookup8to2(dst, src, e5m2F16) },
	{tensor.F8E5M2, tensor.BF16}: func(dst, src []byte) { lookup8to2(dst, src, e5m2BF16) },
}

// CanCast reports whether Cast knows the pair.
func CanCast(from, to tensor.DType) bool {
	return casts[pair{from, to}] != nil || from == to && computable(from)
}

// CheckCast fails where Cast would, without converting anything.
func CheckCast(dst []byte, to tensor.DType, src []byte, from tensor.DType) error {
	if !CanCast(from, to) {
		return fmt.Errorf("cast %v to %v: not a pair that can be cast", from, to)
	}
	n := len(src) / size(from)
	if err := first(need("src", src, n, size(from)), need("dst", dst, n, size(to)), apart("dst", dst, "src", src)); err != nil {
		return fmt.Errorf("cast %v to %v: %w", from, to, err)
	}
	return nil
}

// Cast converts every element of src.
func (d Device) Cast(dst []byte, to tensor.DType, src []byte, from tensor.DType) error {
	if err := CheckCast(dst, to, src, from); err != nil {
		return err
	}
	if from == to {
		copy(dst, src)
		return nil
	}
	p := pair{from, to}
	if fast := d.k.casts[p]; fast != nil {
		done := fast(dst, src)
		dst, src = dst[done*size(to):], src[done*size(from):]
	}
	casts[p](dst, src)
	return nil
}

func castF32toBF16(dst, src []byte) {
	for len(src) >= 4 && len(dst) >= 2 {
		le.PutUint16(dst, f32ToBF16(le.Uint32(src)))
		dst, src = dst[2:], src[4:]
	}
}

func castBF16toF32(dst, src []byte) {
	for len(src) >= 8 && len(dst) >= 16 {
		w := le.Uint64(src)
		le.PutUint64(dst, w&0xFFFF<<16|w>>16&0xFFFF<<48)
		le.PutUint64(dst[8:], w>>32&0xFFFF<<16|w>>48<<48)
		dst, src = dst[16:], src[8:]
	}
	for len(src) >= 2 && len(dst) >= 4 {
		le.PutUint32(dst, uint32(le.Uint16(src))<<16)
		dst, src = dst[4:], src[2:]
	}
}

func castF64toF32(dst, src []byte) {
	for len(src) >= 8 && len(dst) >= 4 {
		le.PutUint32(dst, f64ToF32(le.Uint64(src)))
		dst, src = dst[4:], src[8:]
	}
}

func each4to2(convert func(uint32) uint16) caster {
	return func(dst, src []byte) {
		for len(src) >= 4 && len(dst) >= 2 {
			le.PutUint16(dst, convert(le.Uint32(src)))
			dst, src = dst[2:], src[4:]
		}
	}
}

func each8to2(convert func(uint64) uint16) caster {
	return func(dst, src []byte) {
		for len(src) >= 8 && len(dst) >= 2 {
			le.PutUint16(dst, convert(le.Uint64(src)))
			dst, src = dst[2:], src[8:]
		}
	}
}

func lookup16to4(dst, src []byte, t *[65536]uint32) {
	for len(src) >= 2 && len(dst) >= 4 {
		le.PutUint32(dst, t[le.Uint16(src)])
		dst, src = dst[4:], src[2:]
	}
}

func lookup16to2(dst, src []byte, t *[65536]uint16) {
	for len(src) >= 8 && len(dst) >= 8 {
		w := le.Uint64(src)
		le.PutUint64(dst, uint64(t[uint16(w)])|uint64(t[uint16(w>>16)])<<16|uint64(t[uint16(w>>32)])<<32|uint64(t[w>>48])<<48)
		dst, src = dst[8:], src[8:]
	}
	for len(src) >= 2 && len(dst) >= 2 {
		le.PutUint16(dst, t[le.Uint16(src)])
		dst, src = dst[2:], src[2:]
	}
}

func lookup8to2(dst, src []byte, t *[256]uint16) {
	for len(src) >= 4 && len(dst) >= 8 {
		w := le.Uint32(src)
		le.PutUint64(dst, uint64(t[uint8(w)])|uint64(t[uint8(w>>8)])<<16|uint64(t[uint8(w>>16)])<<32|uint64(t[w>>24])<<48)
		dst, src = dst[8:], src[4:]
	}
	for i := 0; i < len(src) && len(dst) >= 2; i++ {
		le.PutUint16(dst, t[src[i]])
		dst = dst[2:]
	}
}

func lookup8to4(dst, src []byte, t *[256]uint32) {
	for i := 0; i < len(src) && len(dst) >= 4; i++ {
		le.PutUint32(dst, t[src[i]])
		dst = dst[4:]
	}
}
