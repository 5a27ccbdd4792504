package cpu

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"wreg/registry/tensor"
)

// operation is a call of a method that turns src into dst, for tests that every method
// must pass.
type operation struct {
	name string
	src  []byte
	out  int // bytes of dst
	call func(d Device, dst, src []byte) error
}

func operations() (all []operation) {
	const rows, cols = 6, 384
	for p := range casts {
		src := Weights(p.from, rows*cols)
		all = append(all, operation{fmt.Sprintf("cast %v to %v", p.from, p.to), src, rows * cols * size(p.to), func(d Device, dst, src []byte) error {
			return d.Cast(dst, p.to, src, p.from)
		}})
	}
	scale := Weights(tensor.F32, 2*3)
	all = append(all, operation{"fp8", Weights(tensor.F8E4M3, rows*cols), 2 * rows * cols, func(d Device, dst, src []byte) error {
		return d.DequantFP8(dst, src, 0, rows, cols, scale, tensor.F32, 4, 128)
	}})
	for _, dt := range floats {
		src, vec := Weights(dt, rows*cols), Weights(dt, rows)
		add := func(name string, call func(d Device, dst, src []byte) error) {
			all = append(all, operation{name + " " + dt.String(), src, len(src), call})
		}
		add("add", func(d Device, dst, src []byte) error { return d.AddScalar(dst, src, dt, .5) })
		add("multiply", func(d Device, dst, src []byte) error { return d.MulScalar(dst, src, dt, .5) })
		add("multiply by a vector", func(d Device, dst, src []byte) error { return d.MulVec(dst, src, dt, rows, cols, vec) })
		add("permute", func(d Device, dst, src []byte) error { return d.Permute2(dst, src, 2, rows/2, cols, size(dt)) })
		for _, spec := range everySpec() {
			np, ns, nb, _ := spec.Sizes(rows, cols, dt)
			all = append(all, operation{fmt.Sprintf("quantize %v %v", dt, spec), src, np + ns + nb, func(d Device, dst, src []byte) error {
				return d.Quantize(dst[:np], dst[np:np+ns], dst[np+ns:], src, dt, rows, cols, spec)
			}})
			packed := make([]byte, np+ns+nb)
			if err := Reference().Quantize(packed[:np], packed[np:np+ns], packed[np+ns:], src, dt, rows, cols, spec); err != nil {
				panic(err)
			}
			all = append(all, operation{fmt.Sprintf("dequantize %v %v", dt, spec), packed, len(src), func(d Device, dst, src []byte) error {
				return d.Dequantize(dst, src[:np], src[np:np+ns], src[np+ns:], dt, rows, cols, spec)
			}})
		}
	}
	awq := Weights(tensor.F32, 64*64/8)
	all = append(all, operation{"awq", awq, len(awq), func(_ Device, dst, src []byte) error { return RepackAWQ(dst, src, 64, 64) }})
	return all
}

// TestOddAddresses: where buffers lie in memory changes no byte, and nothing beside
// dst is written.
func TestOddAddresses(t *testing.T) {
	for _, o := range operations() {
		want := make([]byte, o.out)
		if err := o.call(Reference(), want, o.src); err != nil {
			t.Fatal(o.name, err)
		}
		for _, off := range [][2]int{{0, 0}, {1, 0}, {0, 1}, {3, 2}, {63, 61}} {
			src := append(make([]byte, off[0]), o.src...)[off[0]:]
			out := bytes.Repeat([]byte{0xA5}, off[1]+o.out+64)
			dst := out[off[1]:][:o.out:o.out]
			if err := o.call(New(), dst, src); err != nil {
				t.Fatal(o.name, err)
			}
			same(t, fmt.Sprintf("%s at %d", o.name, off), dst, want, 1)
			if len(bytes.Trim(out[:off[1]], "\xA5"))+len(bytes.Trim(out[off[1]+o.out:], "\xA5")) > 0 {
				t.Errorf("%s at %d: wrote beside dst", o.name, off)
			}
			if !bytes.Equal(src, o.src) {
				t.Errorf("%s at %d: wrote to src", o.name, off)
			}
		}
	}
}

// TestOverlaps puts dst and src into one buffer: one byte in common, either way round,
// or all, is an error that leaves every byte as it was; side by side is fine.
func TestOverlaps(t *testing.T) {
	for _, o := range operations() {
		for name, at := range map[string][2]int{ // of src, of dst
			"in place":            {0, 0},
			"dst one byte on":     {0, 1},
			"src one byte on":     {1, 0},
			"dst on the last one": {0, len(o.src) - 1},
			"src on the last one": {o.out - 1, 0},
			"dst after src":       {0, len(o.src)},
			"src after dst":       {o.out, 0},
		} {
			both := make([]byte, len(o.src)+o.out+1)
			for i := range both {
				both[i] = byte(i * 7)
			}
			copy(both[at[0]:], o.src)
			before := bytes.Clone(both)
			err := o.call(New(), both[at[1]:][:o.out], both[at[0]:][:len(o.src)])
			if strings.Contains(name, "after") {
				if err != nil {
					t.Errorf("%s, %s: %v", o.name, name, err)
				}
				continue
			}
			if err == nil || !strings.Contains(err.Error(), "overlap") {
				t.Errorf("%s, %s: error %v, want one with overlap", o.name, name, err)
			}
			if !bytes.Equal(both, before) {
				t.Errorf("%s, %s: bytes changed", o.name, name)
			}
		}
	}
}

// TestNothing: no elements are no error, and nil is as good as an empty buffer.
func TestNothing(t *testing.T) {
	paths(t, func(t *testing.T, d Device) {
		for p := range casts {
			if err := d.Cast(nil, p.to, nil, p.from); err != nil {
				t.Error(err)
			}
		}
		for name, err := range map[string]error{
			"add":                    d.AddScalar(nil, nil, tensor.BF16, 1),
			"multiply":               d.MulScalar(nil, nil, tensor.F32, 1),
			"multiply by no vector":  d.MulVec(nil, nil, tensor.F32, 0, 9, nil),
			"multiply no columns":    d.MulVec(nil, nil, tensor.F32, 2, 0, make([]byte, 8)),
			"fp8 without rows":       d.DequantFP8(nil, nil, 0, 0, 9, nil, tensor.F32, 1, 1),
			"fp8 without columns":    d.DequantFP8(nil, nil, 0, 9, 0, nil, tensor.F32, 1, 1),
			"fp8 past any scale":     d.DequantFP8(nil, nil, math.MaxInt, 0, math.MaxInt, nil, tensor.F32, 1, 1),
			"permute none":           d.Permute2(nil, nil, 0, 9, 9, 2),
			"permute no rows":        d.Permute2(nil, nil, 9, 0, 9, 2),
			"permute no columns":     d.Permute2(nil, nil, 9, 9, 0, 2),
			"quantize no rows":       d.Quantize(nil, nil, nil, nil, tensor.BF16, 0, 64, QuantSpec{}),
			"quantize no columns":    d.Quantize(nil, nil, nil, nil, tensor.F32, 9, 0, QuantSpec{Mode: MXFP8}),
			"dequantize no columns":  d.Dequantize(nil, nil, nil, nil, tensor.F32, 9, 0, QuantSpec{Mode: NVFP4}),
			"awq without outputs":    RepackAWQ(nil, nil, 8, 0),
			"biases without groups":  BiasesAWQ(nil, nil, nil, tensor.F16, 0, 8),
			"statistics of nothing":  d.Stats(&tensor.Stats{}, tensor.BF16, nil, true),
			"statistics of no bytes": d.Stats(&tensor.Stats{}, tensor.F4, nil, true),
		} {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

// TestTooLarge: sizes that overflow when multiplied are errors, whatever is in the
// buffers, and none is allocated for.
func TestTooLarge(t *testing.T) {
	const huge = math.MaxInt / 2
	b := make([]byte, 64)
	c := make([]byte, 64)
	paths(t, func(t *testing.T, d Device) {
		for _, n := range [][2]int{{huge, huge}, {huge, 3}, {3, huge}, {1 << 32, 1 << 32}, {-1, 64}, {64, -1}, {math.MinInt, 64}, {1 << 61, 64}, {1 << 54, 128}} {
			rows, cols := n[0], n[1]
			for name, err := range map[string]error{
				"multiply by a vector": d.MulVec(b, c, tensor.F32, rows, cols, c),
				"fp8":                  d.DequantFP8(b, c[:32], 0, rows, cols, c, tensor.F32, 1, 1),
				"permute":              d.Permute2(b, c, 1, rows, cols, 2),
				"permute many":         d.Permute2(b, c, rows, cols, 1, 2),
				"permute large":        d.Permute2(b, c, 1, 1, rows, cols),
				"quantize":             d.Quantize(b, c, c, c, tensor.F32, rows, cols, QuantSpec{}),
				"quantize mxfp4":       d.Quantize(b, c, nil, c, tensor.F32, rows, cols, QuantSpec{Mode: MXFP4}),
				"dequantize":           d.Dequantize(b, c, c, c, tensor.F32, rows, cols, QuantSpec{}),
				"awq":                  RepackAWQ(b, c, rows, cols),
				"awq biases":           BiasesAWQ(b, c, c, tensor.F16, rows, cols),
			} {
				if err == nil {
					t.Errorf("%s of %d x %d: no error", name, rows, cols)
				}
			}
		}
		for _, spec := range []QuantSpec{{Bits: -4}, {Bits: 7}, {Bits: 9}, {Bits: math.MaxInt}, {Group: -64}, {Group: 1}, {Group: math.MaxInt}, {Mode: "affine "}, {Mode: MXFP8, Bits: 4}} {
			if err := d.Quantize(b, c, c, c, tensor.F32, 1, 64, spec); err == nil {
				t.Errorf("%+v: no error", spec)
			}
		}
	})
}

// TestConcurrently runs every operation in several goroutines at once: nothing is
// shared but tables, which are made once.
func TestConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for _, o := range operations() {
		want := make([]byte, o.out)
		if err := o.call(Reference(), want, o.src); err != nil {
			t.Fatal(o.name, err)
		}
		for range 4 {
			wg.Go(func() {
				for _, d := range []Device{New(), Reference()} {
					got := make([]byte, o.out)
					if err := o.call(d, got, o.src); err != nil || !bytes.Equal(got, want) {
						t.Errorf("%s: error %v, right bytes: %v", o.name, err, bytes.Equal(got, want))
					}
				}
			})
		}
	}
	wg.Wait()
}
