package cpu

import (
	"fmt"
	"math"
	"sync"

	"wreg/registry/tensor"
)

// codeTables are what the codes of each type of eight bits and fewer stand for.
var codeTables [256]func() *[256]float64

func init() {
	for dt := range codeTables {
		codeTables[dt] = sync.OnceValue(func() *[256]float64 {
			t := new([256]float64)
			for code := range t {
				t[code] = codeValue(tensor.DType(dt), uint8(code))
			}
			return t
		})
	}
}

// Widen gives the numbers of p as float64, exactly but for integers of 64 bits, of
// which it gives the nearest. dst has as many elements as p.
func Widen(dst []float64, dt tensor.DType, p []byte) error {
	if !Scannable(dt) {
		return fmt.Errorf("numbers of %v: it has none", dt)
	}
	if n, err := dt.Size(int64(len(dst))); err != nil || n != int64(len(p)) {
		return fmt.Errorf("%d bytes of %v for %d numbers", len(p), dt, len(dst))
	}
	switch dt {
	case tensor.BF16:
		for ; len(dst) >= 4 && len(p) >= 8; dst, p = dst[4:], p[8:] {
			w := le.Uint64(p)
			dst[0] = float64(math.Float32frombits(uint32(w) << 16))
			dst[1] = float64(math.Float32frombits(uint32(w) &^ 0xFFFF))
			dst[2] = float64(math.Float32frombits(uint32(w >> 32 << 16)))
			dst[3] = float64(math.Float32frombits(uint32(w>>32) &^ 0xFFFF))
		}
		for i := range dst {
			dst[i] = float64(math.Float32frombits(uint32(le.Uint16(p[2*i:])) << 16))
		}
	case tensor.F16:
		table := f16F32()
		for i := range dst {
			dst[i] = float64(math.Float32frombits(table[le.Uint16(p[2*i:])]))
		}
	case tensor.F32:
		for i := range dst {
			dst[i] = float64(math.Float32frombits(le.Uint32(p[4*i:])))
		}
	case tensor.F64:
		for i := range dst {
			dst[i] = math.Float64frombits(le.Uint64(p[8*i:]))
		}
	case tensor.U16:
		for i := range dst {
			dst[i] = float64(le.Uint16(p[2*i:]))
		}
	case tensor.I16:
		for i := range dst {
			dst[i] = float64(int16(le.Uint16(p[2*i:])))
		}
	case tensor.U32:
		for i := range dst {
			dst[i] = float64(le.Uint32(p[4*i:]))
		}
	case tensor.I32:
		for i := range dst {
			dst[i] = float64(int32(le.Uint32(p[4*i:])))
		}
	case tensor.U64:
		for i := range dst {
			dst[i] = float64(le.Uint64(p[8*i:]))
		}
	case tensor.I64:
		for i := range dst {
			dst[i] = float64(int64(le.Uint64(p[8*i:])))
		}
	default:
		widenCodes(dst, codeTables[dt](), dt, p)
	}
	return nil
}

// widenCodes looks codes up in the order in which scanCodes takes them out of bytes.
func widenCodes(dst []float64, table *[256]float64, dt tensor.DType, p []byte) {
	switch dt {
	case tensor.F6E2M3, tensor.F6E3M2:
		for i := 0; i+4 <= len(dst); i, p = i+4, p[3:] {
			w := uint32(p[0]) | uint32(p[1])<<8 | uint32(p[2])<<16
			dst[i], dst[i+1], dst[i+2], dst[i+3] = table[w&63], table[w>>6&63], table[w>>12&63], table[w>>18]
		}
	case tensor.F4:
		for i, b := range p {
			dst[2*i], dst[2*i+1] = table[b&15], table[b>>4]
		}
	default:
		for i, b := range p {
			dst[i] = table[b]
		}
	}
}
