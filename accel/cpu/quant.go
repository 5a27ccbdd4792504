package cpu

import (
	"cmp"
	"fmt"
	"unsafe"

	"wreg/registry/tensor"
)

// The quantization modes, as mlx names them.
const (
	Affine = "affine" // code*scale + bias, both in the tensor's type
	MXFP4  = "mxfp4"  // e2m1 codes, a power of two per 32
	NVFP4  = "nvfp4"  // e2m1 codes, an e4m3 scale per 16
	MXFP8  = "mxfp8"  // e4m3 codes, a power of two per 32
)

// QuantSpec says how to quantize. The zero value is affine, 4 bits, groups of 64:
// mlx's default. Zero Bits or Group mean the mode's own.
type QuantSpec struct {
	Mode  string // "" is affine
	Bits  int    // affine: 1, 2, 3, 4, 5, 6 or 8
	Group int    // affine: 32, 64 or 128
}

// Resolve fills in what was left out and checks the rest.
func (s QuantSpec) Resolve() (QuantSpec, error) {
	s.Mode = cmp.Or(s.Mode, Affine)
	usual, known := tensor.PackingNamed(s.Mode)
	standard := QuantSpec(usual)
	if !known {
		return s, fmt.Errorf("quantization mode %q: want affine, mxfp4, nvfp4 or mxfp8", s.Mode)
	}
	s.Bits, s.Group = cmp.Or(s.Bits, standard.Bits), cmp.Or(s.Group, standard.Group)
	switch {
	case s.Mode != Affine && s != standard:
		return s, fmt.Errorf("%s has %d bits and groups of %d, not %d and %d", s.Mode, standard.Bits, standard.Group, s.Bits, s.Group)
	case s.Bits < 1 || s.Bits > 8 || s.Bits == 7:
		return s, fmt.Errorf("affine quantization with %d bits: want 1, 2, 3, 4, 5, 6 or 8", s.Bits)
	case s.Mode == Affine && s.Group != 32 && s.Group != 64 && s.Group != 128:
		return s, fmt.Errorf("affine quantization in groups of %d: want 32, 64 or 128", s.Group)
	}
	return s, nil
}

// Sizes gives the bytes of the three results for rows x cols elements of dt: the
// packed codes (u32 [rows, cols*bits/32]), the scales [rows, cols/group] (dt, or u8
// for the fp modes) and the biases (as the scales; none for the fp modes).
func (s QuantSpec) Sizes(rows, cols int, dt tensor.DType) (packed, scales, biases int, err error) {
	s, err = s.Resolve()
	if err != nil {
		return 0, 0, 0, err
	}
	if !computable(dt) {
		return 0, 0, 0, fmt.Errorf("quantize %v: want f32, f16 or bf16; cast first", dt)
	}
	n, err := product(rows, cols)
	if err == nil {
		_, err = product(n, 8)
	}
	if err != nil {
		return 0, 0, 0, err
	}
	if cols%s.Group != 0 {
		return 0, 0, 0, fmt.Errorf("quantize: %d columns do not fill groups of %d", cols, s.Group)
	}
	packed, groups := n/8*s.Bits, n/s.Group
	if s.Mode != Affine {
		return packed, groups, 0, nil
	}
	return packed, groups * size(dt), groups * size(dt), nil
}

// Quantize turns rows x cols elements of dt into packed codes, scales and, for
// affine, biases: what mx.quantize gives on x86-64. A mode without biases takes nil.
func (d Device) Quantize(dst, scales, biases, src []byte, dt tensor.DType, rows, cols int, spec QuantSpec) error {
	spec, err := checkQuant(dst, scales, biases, src, dt, rows, cols, spec)
	if err != nil {
		return err
	}
	if spec.Mode == Affine {
		d.quantizeAffine(dst, scales, biases, src, dt, spec)
	} else {
		d.quantizeFP(dst, scales, src, dt, spec)
	}
	return nil
}

// Dequantize goes back to rows x cols elements of dt. Affine: dt is also the type
// of scales and biases.
func (d Device) Dequantize(dst, src, scales, biases []byte, dt tensor.DType, rows, cols int, spec QuantSpec) error {
	spec, err := checkQuant(src, scales, biases, dst, dt, rows, cols, spec)
	if err != nil {
		return fmt.Errorf("de%w", err)
	}
	if spec.Mode == Affine {
		dequantizeAffine(dst, src, scales, biases, dt, spec)
	} else {
		dequantizeFP(dst, src, scales, dt, spec)
	}
	return nil
}

// CheckQuantize fails where Quantize would, without computing anything.
func CheckQuantize(dst, scales, biases, src []byte, dt tensor.DType, rows, cols int, spec QuantSpec) error {
	_, err := checkQuant(dst, scales, biases, src, dt, rows, cols, spec)
	return err
}

// checkQuant checks the four buffers of both directions.
func checkQuant(packed, scales, biases, plain []byte, dt tensor.DType, rows, cols int, spec QuantSpec) (QuantSpec, error) {
	spec, err := spec.Resolve()
	if err != nil {
		return spec, err
	}
	np, ns, nb, err := spec.Sizes(rows, cols, dt)
	if err != nil {
		return spec, err
	}
	names := [4]string{"packed", "scales", "biases", "elements"}
	buffers := [4][]byte{packed, scales, biases, plain}
	wants := [4]int{np, ns, nb, rows * cols * size(dt)}
	for i := range buffers {
		err = first(err, need(names[i], buffers[i], wants[i], 1))
		for j := range i {
			err = first(err, apart(names[j], buffers[j], names[i], buffers[i]))
		}
	}
	if err != nil {
		return spec, fmt.Errorf("quantize %d x %d %v (%s, %d bits, groups of %d): %w", rows, cols, dt, spec.Mode, spec.Bits, spec.Group, err)
	}
	return spec, nil
}

// loader gives the routine that widens elements to float32.
func (d Device) loader(dt tensor.DType) func(g []float32, p []byte) {
	fast := d.k.casts[pair{dt, tensor.F32}]
	if dt == tensor.F32 && d.k.codes != nil {
		fast = func(dst, src []byte) int { return copy(dst, src) / 4 }
	}
	return func(g []float32, p []byte) {
		done := 0
		if fast != nil { // where there is assembly, float32 lies in memory as in files
			done = fast(unsafe.Slice((*byte)(unsafe.Pointer(&g[0])), 4*len(g)), p)
		}
		for i := done; i < len(g); i++ {
			g[i] = loadF32(dt, p, i)
		}
	}
}
