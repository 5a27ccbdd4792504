package metal

import (
	"bytes"
	"errors"
	"math"
	"sync"
	"testing"

	"wreg/accel/cpu"
	"wreg/registry/tensor"
)

// TestTiles runs everything in launches of few bytes: the parts must meet.
func TestTiles(t *testing.T) {
	for _, tile := range []int{32 << 10, tileBytes} {
		g := &pretended{}
		d := newDevice(g)
		d.tile = tile
		d.Strict()
		for _, fault := range differences(d, math.MaxInt) {
			t.Errorf("tiles of %d bytes: %s", tile, fault)
		}
		if g.jobs == 0 || d.Launches() != int64(g.jobs) {
			t.Errorf("tiles of %d bytes: %d launches counted, %d jobs", tile, d.Launches(), g.jobs)
		}
	}
}

func TestSoundDevicePassesCheck(t *testing.T) {
	d := newDevice(&pretended{})
	d.tile = 64 << 10
	results := d.Check()
	if len(results) != len(programs) {
		t.Errorf("%d results for %d kernels", len(results), len(programs))
	}
	for _, r := range results {
		if r.Fault != "" || r.CPU <= 0 || r.Metal <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if d.Err() != nil {
		t.Error(d.Err())
	}
}

// TestRefusesBeforeTheGPU: what would make Metal throw must not get there.
func TestRefusesBeforeTheGPU(t *testing.T) {
	g := &pretended{}
	d := newDevice(g)
	b := make([]byte, 256)
	for name, err := range map[string]error{
		"short dst":     d.Cast(make([]byte, 31), tensor.BF16, b[:64], tensor.F32),
		"overlap":       d.Cast(b[:32], tensor.BF16, b[:64], tensor.F32),
		"no pair":       d.Cast(b[:32], tensor.U16, make([]byte, 64), tensor.F32),
		"short scale":   d.DequantFP8(make([]byte, 64), b[:32], 0, 2, 16, make([]byte, 3), tensor.F32, 1, 16),
		"integer scale": d.DequantFP8(make([]byte, 64), b[:32], 0, 2, 16, make([]byte, 8), tensor.U32, 1, 16),
		"no block":      d.DequantFP8(make([]byte, 64), b[:32], 0, 2, 16, make([]byte, 8), tensor.F32, 1, 0),
		"short codes":   d.Quantize(make([]byte, 31), make([]byte, 2), make([]byte, 2), b[:128], tensor.BF16, 1, 64, cpu.QuantSpec{}),
		"odd mode":      d.Quantize(make([]byte, 32), make([]byte, 2), make([]byte, 2), b[:128], tensor.BF16, 1, 64, cpu.QuantSpec{Mode: "x"}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := d.Cast(nil, tensor.BF16, nil, tensor.F32); err != nil {
		t.Errorf("nothing to cast: %v", err)
	}
	if err := d.DequantFP8(nil, nil, 0, 4, 0, nil, tensor.F32, 1, 1); err != nil {
		t.Errorf("no columns: %v", err)
	}
	if g.jobs != 0 || d.Err() != nil {
		t.Errorf("the GPU got %d jobs; error %v", g.jobs, d.Err())
	}
}

// TestLeftToTheProcessor: what there is no kernel for, or what would not fit its
// 32-bit counts and buffers, is done all the same, without the GPU.
func TestLeftToTheProcessor(t *testing.T) {
	g := &pretended{}
	d := newDevice(g)
	d.tile = 1024
	d.Strict()
	b := bytes.Repeat([]byte{1, 2, 3, 0x3C}, 4096)
	quantize := func(rows int, spec cpu.QuantSpec) func(c cpu.Computer, dst []byte) error {
		packed, scales, biases, err := spec.Sizes(rows, 64, tensor.BF16)
		if err != nil {
			t.Fatal(err)
		}
		return func(c cpu.Computer, dst []byte) error {
			dst, ends := dst[:packed+scales+biases], dst[packed:packed+scales+biases]
			return c.Quantize(dst[:packed], ends[:scales], ends[scales:], b[:rows*128], tensor.BF16, rows, 64, spec)
		}
	}
	for name, call := range map[string]func(c cpu.Computer, dst []byte) error{
		"one bit":            quantize(4, cpu.QuantSpec{Bits: 1}),
		"mxfp4":              quantize(4, cpu.QuantSpec{Mode: cpu.MXFP4}),
		"f64":                func(c cpu.Computer, dst []byte) error { return c.Cast(dst[:80], tensor.BF16, b[:320], tensor.F64) },
		"e5m2":               func(c cpu.Computer, dst []byte) error { return c.Cast(dst[:80], tensor.BF16, b[:40], tensor.F8E5M2) },
		"a type onto itself": func(c cpu.Computer, dst []byte) error { return c.Cast(dst[:80], tensor.F16, b[:80], tensor.F16) },
		"fp8 rows of 2 tiles": func(c cpu.Computer, dst []byte) error {
			return c.DequantFP8(dst[:4096], b[:2048], 0, 1, 2048, b[:8], tensor.F32, 1, 1024)
		},
		"fp8 with many scales": func(c cpu.Computer, dst []byte) error {
			return c.DequantFP8(dst[:1024], b[:512], 0, 2, 256, b[:2048], tensor.F32, 1, 1)
		},
	} {
		got, want := make([]byte, 4096), make([]byte, 4096)
		if err := errors.Join(call(d, got), call(cpu.Reference(), want)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: error %v, right bytes: %v", name, err, bytes.Equal(got, want))
		}
	}
	if g.jobs != 0 || d.Err() != nil {
		t.Errorf("the GPU got %d jobs; error %v", g.jobs, d.Err())
	}
}

// TestCheckWantsTheGPU: a trial that the processor did says nothing about a kernel.
func TestCheckWantsTheGPU(t *testing.T) {
	d := newDevice(&pretended{})
	r := d.check("cast_f64_f32", cpu.Trial{Name: "cast f64 f32", Source: make([]byte, 80), Size: 40, Call: func(c cpu.Computer, dst, src []byte) error {
		return c.Cast(dst, tensor.F32, src, tensor.F64)
	}})
	if r.Fault != "the GPU was not asked" || d.Err() == nil {
		t.Errorf("fault %q, error %v", r.Fault, d.Err())
	}
}

func TestManyAtOnce(t *testing.T) {
	d := newDevice(&pretended{})
	d.tile = 512
	src := everyPattern(tensor.BF16)
	want := make([]byte, len(src))
	if err := cpu.Reference().Cast(want, tensor.F16, src, tensor.BF16); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got := make([]byte, len(src))
			if err := d.Cast(got, tensor.F16, src, tensor.BF16); err != nil || !bytes.Equal(got, want) {
				t.Errorf("error %v, right bytes: %v", err, bytes.Equal(got, want))
			}
		})
	}
	wg.Wait()
}

func TestSlowKernelsAreLeftOut(t *testing.T) {
	m := slow([]Result{{Kernel: "a", CPU: 10, Metal: 12}, {Kernel: "b", CPU: 10, Metal: 13}, {Kernel: "d", CPU: 10}})
	if !m["a"] || m["b"] || !m["d"] {
		t.Errorf("slow: %v", m)
	}
	d := newDevice(&pretended{})
	d.slow = map[string]bool{"cast_f32_bf16": true}
	if err := d.Cast(make([]byte, 2), tensor.BF16, make([]byte, 4), tensor.F32); err != nil || d.Launches() != 0 {
		t.Errorf("error %v, %d launches", err, d.Launches())
	}
}
