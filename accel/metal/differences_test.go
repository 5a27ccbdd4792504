package metal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"wreg/accel/cpu"
	"wreg/registry/tensor"
)

var le = binary.LittleEndian

// differences puts a device through everything it has kernels for and says where
// its bytes are not the reference's, until it has found limit places.
func differences(d cpu.Computer, limit int) (faults []string) {
	ref := cpu.Reference()
	try := func(what string, size int, call func(d cpu.Computer, dst []byte) error) {
		if len(faults) >= limit {
			return
		}
		got, want := make([]byte, size), make([]byte, size)
		if err := call(d, got); err != nil {
			faults = append(faults, fmt.Sprintf("%s: %v", what, err))
		} else if err := call(ref, want); err != nil {
			faults = append(faults, fmt.Sprintf("%s: reference: %v", what, err))
		} else if !bytes.Equal(got, want) {
			faults = append(faults, what+": "+cpu.Difference(got, want))
		}
	}
	for pair := range castPrograms {
		from, to := pair[0], pair[1]
		source := everyPattern(from)
		n := len(source) / width(from)
		try(fmt.Sprintf("%v to %v", from, to), n*width(to), func(d cpu.Computer, dst []byte) error { return d.Cast(dst, to, source, from) })
	}
	tryFP8(try)
	tryQuantize(try)
	return faults
}

// tryFP8 multiplies every code by scales of every exponent, in blocks and tiles
// that do not come out even.
func tryFP8(try func(string, int, func(cpu.Computer, []byte) error)) {
	r := rand.New(rand.NewPCG(21, 22))
	const rows, cols = 512, 256
	codes := make([]byte, rows*cols)
	for i := range codes {
		codes[i] = byte(i) // each row has every code
	}
	for _, st := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16} {
		var scale []byte
		for i := range rows { // blocks of one row: a scale for every sign and exponent
			bits := uint32(i)<<23 | r.Uint32()&0x7FFFFF
			switch st {
			case tensor.F32:
				scale = le.AppendUint32(scale, bits)
			case tensor.BF16:
				scale = le.AppendUint16(scale, uint16(bits>>16))
			default:
				scale = le.AppendUint16(scale, uint16(i)<<7|uint16(bits&0x7F))
			}
		}
		for _, low := range []uint32{0, 1, 0x7FFFFF} { // and at the ends of each
			exact := bytes.Clone(scale)
			if st == tensor.F32 {
				for i := range rows {
					le.PutUint32(exact[4*i:], uint32(i)<<23|low)
				}
			}
			try(fmt.Sprintf("fp8 with %v scales %#x", st, low), 2*len(codes), func(d cpu.Computer, dst []byte) error {
				return d.DequantFP8(dst, codes, 0, rows, cols, exact, st, 1, cols)
			})
		}
		try(fmt.Sprintf("fp8 with random %v scales", st), 2*len(codes), func(d cpu.Computer, dst []byte) error {
			return d.DequantFP8(dst, codes, 0, rows, cols, scale, st, 1, cols)
		})
		for _, block := range [][2]int{{3, 60}, {128, 128}, {math.MaxInt, math.MaxInt}, {512, 1}} {
			const row0 = 130
			try(fmt.Sprintf("fp8 in blocks of %d x %d from row %d", block[0], block[1], row0), 2*100*cols, func(d cpu.Computer, dst []byte) error {
				scaleCols := (cols-1)/block[1] + 1
				bands := (row0+99)/block[0] + 1
				var s []byte
				for i := range bands * scaleCols * width(st) {
					s = append(s, scale[i%len(scale)])
				}
				return d.DequantFP8(dst, codes[:100*cols], row0, 100, cols, s, st, block[0], block[1])
			})
		}
	}
}

// tryQuantize has groups of every magnitude, of one sign, of equal elements, of
// ties, and with what is not a number.
func tryQuantize(try func(string, int, func(cpu.Computer, []byte) error)) {
	r := rand.New(rand.NewPCG(23, 24))
	const rows, cols = 160, 256
	values := make([]byte, 0, 4*rows*cols)
	for row := range rows {
		shift, magnitude := float64(row%3-1)*3, math.Exp2(float64(row%40*6-120))
		for c := range cols {
			v := (r.NormFloat64() + shift) * magnitude
			switch row / 40 {
			case 1:
				v = float64(r.IntN(17)-8) / 8 * magnitude // many ties
			case 2:
				v = shift * magnitude // all equal
			case 3:
				switch r.IntN(1 + 4*cols/(1+row%8)) {
				case 0:
					v = math.NaN()
				case 1:
					v = math.Inf(1 - 2*(c%2))
				case 2:
					v = math.Copysign(0, float64(c%2)-.5)
				}
			}
			values = le.AppendUint32(values, math.Float32bits(float32(v)))
		}
	}
	for _, dt := range []tensor.DType{tensor.F32, tensor.F16, tensor.BF16} {
		source := values
		if dt != tensor.F32 {
			source = make([]byte, 2*rows*cols)
			if err := cpu.Reference().Cast(source, dt, values, tensor.F32); err != nil {
				panic(err)
			}
		}
		for _, bits := range []int{1, 2, 3, 4, 5, 6, 8} {
			for _, group := range []int{32, 64, 128} {
				spec := cpu.QuantSpec{Bits: bits, Group: group}
				packed, scales, biases, _ := spec.Sizes(rows, cols, dt)
				try(fmt.Sprintf("%v to %d bits in groups of %d", dt, bits, group), packed+scales+biases, func(d cpu.Computer, dst []byte) error {
					return d.Quantize(dst[:packed], dst[packed:packed+scales], dst[packed+scales:], source, dt, rows, cols, spec)
				})
			}
		}
	}
}

// everyPattern gives every value of one or two bytes, and of float32 the points
// where rounding turns and two million others.
func everyPattern(dt tensor.DType) (p []byte) {
	switch width(dt) {
	case 1:
		for i := range 256 {
			p = append(p, byte(i))
		}
	case 2:
		for i := range 1 << 16 {
			p = le.AppendUint16(p, uint16(i))
		}
	default:
		for i := range uint32(1 << 16) {
			for _, low := range []uint32{0, 1, 0x0FFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xFFFF} {
				p = le.AppendUint32(p, i<<16|low)
			}
		}
		r := rand.New(rand.NewPCG(25, 26))
		for range 1 << 20 {
			p = le.AppendUint32(p, r.Uint32())
			p = le.AppendUint32(p, 0x33000000+r.Uint32N(0x15000000)) // around f16
		}
	}
	return p
}
