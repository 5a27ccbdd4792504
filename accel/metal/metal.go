// Package metal computes on the GPU of a Mac, by way of Apple's Metal.
//
// Most users want accel.Pick, which opens this device where it is worth it. Open
// gives it directly; Check compares every kernel with accel/cpu.
//
// Invariants: every result equals accel/cpu's bit for bit, and what the GPU
// has no kernel for, accel/cpu does; when the GPU fails or differs it is off for the
// rest of the process, the processor does its work again, and Err says why. Builds
// without cgo, or for another system, have no GPU: Open says so.
package metal

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync/atomic"

	"wreg/accel/cpu"
	"wreg/registry/tensor"
)

// tileBytes is how much of a source goes to the GPU at a time, at most: a launch
// costs the same whatever its size, and buffers stay allocated.
const tileBytes = 16 << 20

// Device computes on the GPU what has a kernel there and on the processor what has
// not. It is safe for concurrent use; launches take turns.
type Device struct {
	cpu.Device // what no method below overrides

	gpu    gpu
	tile   int  // bytes of source to a launch: tileBytes
	strict bool // a failure is an error: nothing is done again by the processor
	slow   map[string]bool
	off    atomic.Pointer[string]
	jobs   atomic.Int64
}

// newDevice wraps a GPU. Tests give it false ones.
func newDevice(g gpu) *Device { return &Device{Device: cpu.New(), gpu: g, tile: tileBytes} }

// Name is "metal".
func (d *Device) Name() string { return "metal" }

// Close frees what the GPU holds.
func (d *Device) Close() { d.gpu.close() }

// Strict makes failures of the GPU errors of the calls that met them.
func (d *Device) Strict() { d.strict = true }

// Launches counts the jobs the GPU has done: 0 means the processor did it all.
func (d *Device) Launches() int64 { return d.jobs.Load() }

// Err says why the GPU is off, nil when it is not.
func (d *Device) Err() error {
	if why := d.off.Load(); why != nil {
		return errors.New(*why)
	}
	return nil
}

// turnOff keeps the first reason.
func (d *Device) turnOff(why string) { d.off.CompareAndSwap(nil, &why) }

// ready reports whether a program may be launched.
func (d *Device) ready(program string) bool {
	return program != "" && d.off.Load() == nil && !d.slow[program]
}

// launch runs a job and keeps count. An error turns the GPU off, and so does a panic:
// darwinkit panics where it cannot go on.
func (d *Device) launch(program string, p params, buffers ...[]byte) error {
	run := func() (err error) {
		defer func() {
			if r := recover(); r != nil {
				err = fmt.Errorf("%v", r)
			}
		}()
		return d.gpu.run(job{programOf(program), p, buffers})
	}
	if err := run(); err != nil {
		d.turnOff(fmt.Sprintf("metal: %s: %v", program, err))
		return d.Err()
	}
	d.jobs.Add(1)
	return nil
}

// Cast is accel.Device's.
func (d *Device) Cast(dst []byte, to tensor.DType, src []byte, from tensor.DType) error {
	program := castPrograms[[2]tensor.DType{from, to}]
	if !d.ready(program) {
		return d.Device.Cast(dst, to, src, from)
	}
	if err := cpu.CheckCast(dst, to, src, from); err != nil {
		return err
	}
	if err := d.cast(program, dst, to, src, from); err != nil {
		return d.fallBack(err, func() error { return d.Device.Cast(dst, to, src, from) })
	}
	return nil
}

func (d *Device) cast(program string, dst []byte, to tensor.DType, src []byte, from tensor.DType) error {
	in, out := width(from), width(to)
	for len(src) > 0 {
		n := min(len(src), d.tile) / in
		if err := d.launch(program, params{n: uint32(n)}, src[:n*in], dst[:n*out], nil); err != nil {
			return err
		}
		if err := d.agree(program, n, 1, func(a, b int) (want, got []byte, err error) {
			want = make([]byte, (b-a)*out)
			return want, dst[a*out : b*out], d.Device.Cast(want, to, src[a*in:b*in], from)
		}); err != nil {
			return err
		}
		dst, src = dst[n*out:], src[n*in:]
	}
	return nil
}

// DequantFP8 is accel.Device's.
func (d *Device) DequantFP8(dst, src []byte, row0, rows, cols int, scale []byte, scaleType tensor.DType, blockRows, blockCols int) error {
	const program = "dequant_e4m3"
	onCPU := func() error {
		return d.Device.DequantFP8(dst, src, row0, rows, cols, scale, scaleType, blockRows, blockCols)
	}
	// Kernels count in 32 bits, and the scales travel whole with every tile.
	if !d.ready(program) || cols > d.tile || row0 > math.MaxInt32 || rows > math.MaxInt32 || len(scale) > d.tile {
		return onCPU()
	}
	if err := cpu.CheckDequantFP8(dst, src, row0, rows, cols, scale, scaleType, blockRows, blockCols); err != nil {
		return err
	}
	for r := 0; r < rows && cols > 0; {
		n := min(rows-r, max(1, d.tile/cols))
		p := params{
			n: uint32(n * cols), cols: uint32(cols), row0: uint32(row0 + r), kind: kinds[scaleType],
			blockRows: uint32(min(blockRows, math.MaxInt32)), blockCols: uint32(min(blockCols, math.MaxInt32)),
			scaleCols: uint32((cols-1)/blockCols + 1),
		}
		err := d.launch(program, p, src[r*cols:(r+n)*cols], dst[2*r*cols:2*(r+n)*cols], nil, scale)
		if err == nil {
			err = d.agree(program, n, cols, func(a, b int) (want, got []byte, err error) {
				want, a, b = make([]byte, 2*(b-a)*cols), r+a, r+b
				return want, dst[2*a*cols : 2*b*cols], d.Device.DequantFP8(want, src[a*cols:b*cols], row0+a, b-a, cols, scale, scaleType, blockRows, blockCols)
			})
		}
		if err != nil {
			return d.fallBack(err, onCPU)
		}
		r += n
	}
	return nil
}

// Quantize is accel.Device's.
func (d *Device) Quantize(dst, scales, biases, src []byte, dt tensor.DType, rows, cols int, spec cpu.QuantSpec) error {
	const program = "quantize_affine"
	onCPU := func() error { return d.Device.Quantize(dst, scales, biases, src, dt, rows, cols, spec) }
	full, err := spec.Resolve()
	if !d.ready(program) || err != nil || full.Mode != cpu.Affine || full.Bits == 1 {
		return onCPU()
	}
	if err := cpu.CheckQuantize(dst, scales, biases, src, dt, rows, cols, spec); err != nil {
		return err
	}
	in, out, one := full.Group*width(dt), full.Group*full.Bits/8, width(dt)
	for at, groups := 0, len(src)/in; at < groups; {
		n := min(groups-at, d.tile/in)
		p := params{n: uint32(n), cols: uint32(full.Group), bits: uint32(full.Bits), kind: kinds[dt]}
		err := d.launch(program, p, src[at*in:(at+n)*in], dst[at*out:(at+n)*out], nil, scales[at*one:(at+n)*one], biases[at*one:(at+n)*one])
		if err == nil {
			err = d.agree(program, n, full.Group, func(a, b int) (want, got []byte, err error) {
				a, b = at+a, at+b
				packed, ends := (b-a)*out, (b-a)*one
				want = make([]byte, packed+2*ends)
				got = slices.Concat(dst[a*out:b*out], scales[a*one:b*one], biases[a*one:b*one])
				return want, got, d.Device.Quantize(want[:packed], want[packed:packed+ends], want[packed+ends:], src[a*in:b*in], dt, b-a, full.Group, full)
			})
		}
		if err != nil {
			return d.fallBack(err, onCPU)
		}
		at += n
	}
	return nil
}

// fallBack lets the processor do again what the GPU did not finish.
func (d *Device) fallBack(err error, onCPU func() error) error {
	if d.strict {
		return err
	}
	return onCPU()
}

// width is the bytes of one element of the types kernels know.
func width(dt tensor.DType) int {
	_, bytes := dt.Block()
	return int(bytes)
}
