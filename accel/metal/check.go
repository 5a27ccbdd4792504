package metal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"runtime"
	"sync"
	"time"

	"wreg/accel/cpu"
	"wreg/registry/tensor"
)

// checkElements is how many elements Check gives each kernel: as many as fill one
// tile of float32.
const checkElements = tileBytes / 4

// worthIt is how many times as fast as the processor a kernel must be for
// Fastest to keep it.
const worthIt = 1.25

// Result is what Check found of one kernel.
type Result struct {
	Kernel     string
	Fault      string  // "" when the bytes are the processor's
	CPU, Metal float64 // GB/s of source; all cores of the processor against the GPU
}

// Check runs every kernel on one tile, compares the bytes with accel/cpu's, and
// measures both. Any fault turns the GPU off for the process.
func (d *Device) Check() []Result {
	var results []Result
	for _, c := range checks() {
		results = append(results, d.check(c))
	}
	return results
}

// Fastest runs Check and leaves to the processor what the GPU does not do clearly
// faster. It is called before d is shared.
func (d *Device) Fastest() []Result {
	results := d.Check()
	d.slow = map[string]bool{}
	for _, r := range results {
		d.slow[r.Kernel] = r.Metal < worthIt*r.CPU
	}
	return results
}

// operation is a call of a device that one kernel serves.
type operation struct {
	kernel string
	source []byte
	size   int // of the result
	call   func(dst, src []byte, d device) error
}

// device is the part of accel.Device that has kernels.
type device interface {
	Cast(dst []byte, to tensor.DType, src []byte, from tensor.DType) error
	DequantFP8(dst, src []byte, row0, rows, cols int, scale []byte, scaleType tensor.DType, blockRows, blockCols int) error
	Quantize(dst, scales, biases, src []byte, dt tensor.DType, rows, cols int, spec cpu.QuantSpec) error
}

// checks gives one operation for each kernel, on numbers of every magnitude.
func checks() (ops []operation) {
	const cols = 4096
	for pair, kernel := range castPrograms {
		from, to := pair[0], pair[1]
		ops = append(ops, operation{kernel, everyMagnitude(from), checkElements * width(to), func(dst, src []byte, d device) error {
			return d.Cast(dst, to, src, from)
		}})
	}
	scale := everyMagnitude(tensor.F32)[:4*(checkElements/cols/16)*(cols/128)]
	ops = append(ops, operation{"dequant_e4m3", everyMagnitude(tensor.F8E4M3), 2 * checkElements, func(dst, src []byte, d device) error {
		rows := len(src) / cols
		return d.DequantFP8(dst, src, 0, rows, cols, scale, tensor.F32, 16, 128)
	}})
	spec, _ := cpu.QuantSpec{}.Resolve()
	packed, scales, biases, _ := spec.Sizes(checkElements/cols, cols, tensor.BF16)
	ops = append(ops, operation{"quantize_affine", everyMagnitude(tensor.BF16), packed + scales + biases, func(dst, src []byte, d device) error {
		rows := len(src) / 2 / cols
		packed, scales, _, err := spec.Sizes(rows, cols, tensor.BF16)
		if err != nil {
			return err
		}
		return d.Quantize(dst[:packed], dst[packed:packed+scales], dst[packed+scales:], src, tensor.BF16, rows, cols, spec)
	}})
	return ops
}

// everyMagnitude fills a tile with all there is of a type: every sign and exponent,
// random fractions, in groups of near magnitudes as quantization meets them.
func everyMagnitude(dt tensor.DType) []byte {
	p := make([]byte, 0, checkElements*width(dt))
	state := uint64(1)
	for i := range uint64(checkElements) {
		state = state*6364136223846793005 + 1442695040888963407 // Knuth's MMIX
		u := uint32(state >> 32)
		switch dt {
		case tensor.F32:
			p = binary.LittleEndian.AppendUint32(p, u&0x807FFFFF|uint32(i>>7&255)<<23)
		case tensor.BF16:
			p = binary.LittleEndian.AppendUint16(p, uint16(u>>16)&0x807F|uint16((i>>7+i&3)&255)<<7)
		case tensor.F16:
			p = binary.LittleEndian.AppendUint16(p, uint16(u>>16))
		default:
			p = append(p, byte(u>>24))
		}
	}
	return p
}

// check runs one operation on both, three times each.
func (d *Device) check(op operation) (r Result) {
	r.Kernel = op.kernel
	want, got := make([]byte, op.size), make([]byte, op.size)
	if err := op.call(want, op.source, d.Device); err != nil {
		r.Fault = err.Error()
		return r
	}
	if err := d.Err(); err != nil {
		r.Fault = err.Error()
		return r
	}
	strict := &Device{Device: d.Device, gpu: d.gpu, strict: true}
	err := op.call(got, op.source, strict)
	switch {
	case err != nil:
		r.Fault = err.Error()
	case strict.Launches() == 0:
		r.Fault = op.kernel + ": the GPU was not asked"
	case !bytes.Equal(got, want):
		r.Fault = op.kernel + ": " + difference(got, want)
	}
	if r.Fault != "" {
		d.turnOff("metal: " + r.Fault)
		return r
	}
	r.Metal = rate(op, func() error { return op.call(got, op.source, strict) })
	r.CPU = rate(op, func() error { return onAllCores(op, want, d.Device) })
	return r
}

// difference says where two results part.
func difference(got, want []byte) string {
	n := 0
	first := -1
	for i := range want {
		if got[i] != want[i] {
			n++
			if first < 0 {
				first = i
			}
		}
	}
	return fmt.Sprintf("%d of %d bytes differ from the processor's, first byte %d: %#02x, want %#02x", n, len(want), first, got[first], want[first])
}

// rate gives GB/s of source, best of three.
func rate(op operation, run func() error) float64 {
	best := math.Inf(1)
	for range 3 {
		start := time.Now()
		if run() != nil {
			return 0
		}
		best = min(best, time.Since(start).Seconds())
	}
	return float64(len(op.source)) / best / 1e9
}

// onAllCores does an operation as export does: a part on each core.
func onAllCores(op operation, dst []byte, d cpu.Device) error {
	const rows = 64 // parts must be whole rows of 4096 elements; tiles are a multiple of 64 of them
	parts := 1
	for parts*2 <= min(runtime.GOMAXPROCS(0), rows) {
		parts *= 2
	}
	errs := make([]error, parts)
	var wg sync.WaitGroup
	in, out := len(op.source)/parts, len(dst)/parts
	for i := range parts {
		wg.Go(func() { errs[i] = op.call(dst[i*out:(i+1)*out], op.source[i*in:(i+1)*in], d) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
