package cpu

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"testing"
	"unsafe"

	"wreg/registry/tensor"
)

// TestWantedKernels fails when WREG_TEST_KERNELS names other kernels than the ones
// that New uses, so that a run meant to test assembly cannot pass without it.
func TestWantedKernels(t *testing.T) {
	want := os.Getenv("WREG_TEST_KERNELS")
	if got := New().Path(); want != "" && got != want {
		t.Fatalf("kernels in use: %s, want %s", got, want)
	}
	if got := Reference().Path(); got != "go" {
		t.Errorf("the reference is %s, want go", got)
	}
	for p, kernel := range New().k.casts {
		const n = 64
		if done := kernel(make([]byte, n*size(p.to)), make([]byte, n*size(p.from))); done != n {
			t.Errorf("%v to %v: %d of %d elements done, so plain Go would hide what the kernel does", p.from, p.to, done, n)
		}
	}
}

func TestNoAssembly(t *testing.T) {
	_, there := assembly()
	for value, plainGo := range map[string]bool{"": !there, "0": !there, "1": true, "true": true, "no such value": true} {
		if got := pick(value).path == "go"; got != plainGo {
			t.Errorf("WREG_NOASM=%s: plain Go %v, want %v", value, got, plainGo)
		}
	}
}

// patterns gives bytes of a type: every value of one or two bytes; for larger ones
// every upper half with the lower halves at which rounding turns, then random bits.
func patterns(dt tensor.DType) []byte {
	var p []byte
	r := rand.New(rand.NewPCG(3, 4))
	switch size(dt) {
	case 1:
		for i := range 256 {
			p = append(p, byte(i))
		}
	case 2:
		for i := range 1 << 16 {
			p = le.AppendUint16(p, uint16(i))
		}
	case 4:
		for i := range uint32(1 << 16) {
			for _, low := range []uint32{0, 1, 0x0FFF, 0x1000, 0x1001, 0x2FFF, 0x3000, 0x7FFF, 0x8000, 0x8001, 0xFFFF} {
				p = le.AppendUint32(p, i<<16|low)
			}
		}
		for range 1 << 20 {
			p = le.AppendUint32(p, r.Uint32())
		}
		for range 1 << 18 { // where f16 has its subnormals and its end
			p = le.AppendUint32(p, math.Float32bits(float32(r.NormFloat64()*math.Exp2(float64(r.IntN(44)-26)))))
		}
	case 8:
		for range 1 << 18 {
			p = le.AppendUint64(p, r.Uint64())
			p = le.AppendUint64(p, math.Float64bits(r.NormFloat64()*math.Exp2(float64(r.IntN(300)-150))))
		}
	}
	return p
}

func TestCastsEqualReference(t *testing.T) {
	for p := range maps.Keys(casts) {
		src := patterns(p.from)
		same(t, fmt.Sprintf("%v to %v", p.from, p.to), cast(t, New(), p.to, src, p.from), cast(t, Reference(), p.to, src, p.from), size(p.to))
	}
}

// TestCastsAtEveryLength looks for a kernel that writes beside its buffer or
// leaves elements out: all short lengths, at every alignment.
func TestCastsAtEveryLength(t *testing.T) {
	for p := range maps.Keys(casts) {
		all := patterns(p.from)
		for n := range 131 {
			for offset := range 4 {
				src := append(make([]byte, offset), all[len(all)-n*size(p.from):]...)[offset:]
				out := bytes.Repeat([]byte{0xA5}, offset+n*size(p.to)+64)
				dst := out[offset : offset+n*size(p.to)]
				if err := New().Cast(dst, p.to, src, p.from); err != nil {
					t.Fatal(err)
				}
				what := fmt.Sprintf("%d elements of %v to %v, offset %d", n, p.from, p.to, offset)
				same(t, what, dst, cast(t, Reference(), p.to, src, p.from), size(p.to))
				if len(bytes.Trim(out[:offset], "\xA5"))+len(bytes.Trim(out[offset+len(dst):], "\xA5")) > 0 {
					t.Fatalf("%s: wrote beside dst", what)
				}
			}
		}
	}
}

// TestLongCasts: from streamBytes on, results go past the caches, from the first
// aligned address on, if there is one.
func TestLongCasts(t *testing.T) {
	for p := range New().k.casts {
		n := streamBytes/size(p.to) + 2*lanes + 5
		src := patterns(p.from)
		src = bytes.Repeat(src, n*size(p.from)/len(src)+1)[:n*size(p.from)]
		want := cast(t, Reference(), p.to, src, p.from)
		out := make([]byte, len(want)+2*streamAlign)
		for _, offset := range []int{0, size(p.to), 1, streamAlign - size(p.to)} {
			at := int(-uintptr(unsafe.Pointer(&out[0]))%streamAlign) + offset
			dst := out[at:][:len(want)]
			clear(out)
			if err := New().Cast(dst, p.to, src, p.from); err != nil {
				t.Fatal(err)
			}
			same(t, fmt.Sprintf("%v to %v, %d bytes past a line", p.from, p.to, offset), dst, want, size(p.to))
			if len(bytes.Trim(out[:at], "\x00"))+len(bytes.Trim(out[at+len(dst):], "\x00")) > 0 {
				t.Fatalf("%v to %v, %d bytes past a line: wrote beside dst", p.from, p.to, offset)
			}
		}
	}
}

func TestQuantizationEqualsReference(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	const rows, cols = 96, 384
	for _, dt := range floats {
		f32 := make([]byte, 4*rows*cols)
		for row := range rows {
			magnitude, shift := math.Exp2(float64(r.IntN(40)-20)), float64(r.IntN(3)-1)
			for c := range cols {
				v := float32((r.NormFloat64() + 3*shift) * magnitude)
				switch r.IntN(200 + 100*(row%16)) { // odd ones in some rows
				case 0:
					v = float32(math.NaN())
				case 1:
					v = float32(math.Inf(1 - 2*(c%2)))
				case 2, 3:
					v = float32(math.Copysign(0, float64(c%2)-.5))
				}
				le.PutUint32(f32[4*(row*cols+c):], math.Float32bits(v))
			}
		}
		src := cast(t, Reference(), dt, f32, tensor.F32)
		for _, spec := range everySpec() {
			np, ns, nb, err := spec.Sizes(rows, cols, dt)
			if err != nil {
				t.Fatal(err)
			}
			what := fmt.Sprintf("%v %+v", dt, spec)
			var got, want [4][]byte
			for d, out := range map[Device]*[4][]byte{New(): &got, Reference(): &want} {
				*out = [4][]byte{make([]byte, np), make([]byte, ns), make([]byte, nb), make([]byte, len(src))}
				if err := d.Quantize(out[0], out[1], out[2], src, dt, rows, cols, spec); err != nil {
					t.Fatal(err)
				}
				if err := d.Dequantize(out[3], out[0], out[1], out[2], dt, rows, cols, spec); err != nil {
					t.Fatal(err)
				}
			}
			for i, name := range []string{"codes", "scales", "biases", "elements"} {
				same(t, what+" "+name, got[i], want[i], 1)
			}
		}
	}
}

// everySpec is every way to quantize.
func everySpec() (all []QuantSpec) {
	for _, bits := range []int{1, 2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64, 128} {
			all = append(all, QuantSpec{Affine, bits, group})
		}
	}
	for _, mode := range []string{MXFP4, NVFP4, MXFP8} {
		spec, _ := QuantSpec{Mode: mode}.Resolve()
		all = append(all, spec)
	}
	return all
}

func FuzzCast(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x7F, 1, 0, 0x80, 0x7F, 0, 0x10, 0x80, 0x38})
	f.Add(binary.LittleEndian.AppendUint64(nil, math.Float64bits(1+1.0/512)))
	f.Fuzz(func(t *testing.T, src []byte) {
		for p := range casts {
			whole := src[:len(src)/size(p.from)*size(p.from)]
			same(t, fmt.Sprintf("%v to %v", p.from, p.to), cast(t, New(), p.to, whole, p.from), cast(t, Reference(), p.to, whole, p.from), size(p.to))
		}
	})
}

// FuzzQuantize takes float32 numbers of any kind through every mode, on both paths.
func FuzzQuantize(f *testing.F) {
	f.Add([]byte{0, 0, 0x80, 0x3F, 0, 0, 0x80, 0xBF})
	f.Add([]byte{0, 0, 0xC0, 0x7F, 1, 0, 0, 0, 0, 0, 0x80, 0x7F})
	f.Fuzz(func(t *testing.T, seed []byte) {
		const cols = 128
		if len(seed) < 4 {
			return
		}
		wide := bytes.Repeat(seed[:len(seed)/4*4], 4*cols/(len(seed)/4*4)+1)[:4*cols]
		for _, dt := range floats {
			src := cast(t, Reference(), dt, wide, tensor.F32)
			for _, spec := range everySpec() {
				np, ns, nb, err := spec.Sizes(1, cols, dt)
				if err != nil {
					t.Fatal(err)
				}
				var out [2][3][]byte
				for i, d := range []Device{New(), Reference()} {
					out[i] = [3][]byte{make([]byte, np), make([]byte, ns), make([]byte, nb)}
					if err := d.Quantize(out[i][0], out[i][1], out[i][2], src, dt, 1, cols, spec); err != nil {
						t.Fatal(err)
					}
				}
				for i, name := range []string{"codes", "scales", "biases"} {
					same(t, fmt.Sprintf("%v %+v %s", dt, spec, name), out[0][i], out[1][i], 1)
				}
			}
		}
	})
}
