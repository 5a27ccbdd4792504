package cpu

import (
	"bytes"
	"fmt"

	"wreg/registry/tensor"
)

// Trial is one call, for comparing devices with each other and measuring them.
type Trial struct {
	Name   string // "cast f32 bf16"
	Source []byte
	Size   int // bytes of the result
	Call   func(d Computer, dst, src []byte) error
}

// Computer is the part of a device that trials are made of.
type Computer interface {
	Cast(dst []byte, to tensor.DType, src []byte, from tensor.DType) error
	DequantFP8(dst, src []byte, row0, rows, cols int, scale []byte, scaleType tensor.DType, blockRows, blockCols int) error
	Quantize(dst, scales, biases, src []byte, dt tensor.DType, rows, cols int, spec QuantSpec) error
}

// trialCols is how wide the matrices of trials are. A trial's source may be cut
// where a row of them ends.
const trialCols = 256

// trialCasts are the casts that exports are made of.
var trialCasts = []pair{
	{tensor.F32, tensor.BF16}, {tensor.F32, tensor.F16}, {tensor.BF16, tensor.F32}, {tensor.F16, tensor.F32},
	{tensor.BF16, tensor.F16}, {tensor.F16, tensor.BF16}, {tensor.F8E4M3, tensor.BF16},
}

// Trials gives a call of each kind on n numbers, a multiple of 4096, made by
// EveryMagnitude, to compare, or Weights, to measure.
func Trials(n int, numbers func(dt tensor.DType, n int) []byte) (trials []Trial) {
	made := map[tensor.DType][]byte{} // trials share what they read
	source := func(dt tensor.DType) []byte {
		if made[dt] == nil {
			made[dt] = numbers(dt, n)
		}
		return made[dt]
	}
	for _, p := range trialCasts {
		trials = append(trials, Trial{fmt.Sprintf("cast %v %v", p.from, p.to), source(p.from), n * size(p.to), func(d Computer, dst, src []byte) error {
			return d.Cast(dst, p.to, src, p.from)
		}})
	}
	const blockRows, blockCols = 16, 128
	scale := numbers(tensor.F32, n/trialCols/blockRows*(trialCols/blockCols))
	trials = append(trials, Trial{"dequantize fp8", source(tensor.F8E4M3), 2 * n, func(d Computer, dst, src []byte) error {
		return d.DequantFP8(dst, src, 0, len(src)/trialCols, trialCols, scale, tensor.F32, blockRows, blockCols)
	}})
	var spec QuantSpec
	packed, scales, biases, _ := spec.Sizes(n/trialCols, trialCols, tensor.BF16)
	trials = append(trials, Trial{"quantize affine", source(tensor.BF16), packed + scales + biases, func(d Computer, dst, src []byte) error {
		rows := len(src) / 2 / trialCols
		packed, scales, _, err := spec.Sizes(rows, trialCols, tensor.BF16)
		if err != nil {
			return err
		}
		return d.Quantize(dst[:packed], dst[packed:packed+scales], dst[packed+scales:], src, tensor.BF16, rows, trialCols, spec)
	}})
	return trials
}

// EveryMagnitude gives n numbers of all there are of a type: every sign and
// exponent, random fractions, in groups of near magnitudes as quantization meets
// them.
func EveryMagnitude(dt tensor.DType, n int) []byte {
	p := make([]byte, 0, n*size(dt))
	state := uint64(1)
	for i := range uint64(n) {
		state = state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
		u := uint32(state >> 32)
		switch dt {
		case tensor.F32:
			p = le.AppendUint32(p, u&0x807FFFFF|uint32(i>>7&255)<<23)
		case tensor.BF16:
			p = le.AppendUint16(p, uint16(u>>16)&0x807F|uint16((i>>7+i&3)&255)<<7)
		case tensor.F16:
			p = le.AppendUint16(p, uint16(u>>16))
		default:
			p = append(p, byte(u>>24))
		}
	}
	return p
}

// Compare runs the trial on both and says where the results part; "" is nowhere.
func (t Trial) Compare(d, reference Computer) string {
	got, want := make([]byte, t.Size), make([]byte, t.Size)
	if err := t.Call(reference, want, t.Source); err != nil {
		return err.Error()
	}
	if err := t.Call(d, got, t.Source); err != nil {
		return err.Error()
	}
	if bytes.Equal(got, want) {
		return ""
	}
	return Difference(got, want)
}

// Difference says where two results of one length part.
func Difference(got, want []byte) string {
	n, at := 0, -1
	for i := range want {
		if got[i] != want[i] {
			n++
			if at < 0 {
				at = i
			}
		}
	}
	if n == 0 {
		return "no byte differs"
	}
	return fmt.Sprintf("%d of %d bytes differ, the first at %d: %#02x, want %#02x", n, len(want), at, got[at], want[at])
}
