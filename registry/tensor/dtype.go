// Package tensor is the vocabulary every other package speaks: element types,
// shapes, paths with their templates, glob patterns, and Info, one tensor's
// record. It imports the standard library only.
//
// Most users need [Info], [ParseDType], [Shape.Numel] and [SplitPath].
//
// Invariants: sizes are int64 and every product is overflow-checked
// (Shape.Numel, DType.Size report it); a Shape of rank 0 is a scalar with one
// element; a path is opaque text apart from its dots.
package tensor

import (
	"fmt"
	"math"
	"strings"
)

// DType is the element type of a tensor. Its text form is the safetensors name
// in lower case ("bf16", "f8_e4m3"); block-quantized GGUF types use ggml's name
// ("q4_0"). The zero value is Invalid.
type DType uint8

// The element types. The numbers are stored in registries: append only.
const (
	Invalid DType = iota
	Bool
	U8
	I8
	U16
	I16
	U32
	I32
	U64
	I64
	F16
	BF16
	F32
	F64
	F8E4M3     // OCP e4m3fn: no infinities, NaN is S.1111.111
	F8E5M2     // OCP e5m2
	F8E8M0     // OCP MX scale: a power of two
	F8E4M3FNUZ // AMD/Graphcore: no negative zero, NaN is 0x80
	F8E5M2FNUZ
	F6E2M3 // four elements in three bytes
	F6E3M2
	F4  // e2m1, two elements a byte
	C32 // two f16
	C64
	C128

	// torch only: packed or quantized storage, opaque to every cast. One element of
	// these is one unit of storage, as torch counts it.
	F4x2 // float4_e2m1fn_x2: two codes a byte
	BC32 // bcomplex32: two bf16
	Bits8
	Bits16
	Bits1x8
	Bits2x4
	Bits4x2
	QInt8
	QUInt8
	QInt32
	QUInt4x2
	QUInt2x4

	// GGUF only: block-quantized, opaque to every cast. Names and blocks are ggml's.
	Q4_0
	Q4_1
	Q5_0
	Q5_1
	Q8_0
	Q8_1
	Q2_K
	Q3_K
	Q4_K
	Q5_K
	Q6_K
	Q8_K
	IQ2_XXS
	IQ2_XS
	IQ3_XXS
	IQ1_S
	IQ4_NL
	IQ3_S
	IQ2_S
	IQ4_XS
	IQ1_M
	TQ1_0
	TQ2_0
	MXFP4
	NVFP4
	Q1_0
	Q2_0
)

// dtypeInfo gives each type its name and the block in which its elements are
// stored: Elems elements take Bytes bytes. Float says the elements are numbers
// a cast may touch (not complex, not block-quantized).
type dtypeInfo struct {
	name         string
	elems, bytes int64
	float        bool
}

var dtypes = [256]dtypeInfo{
	Bool: {"bool", 1, 1, false},
	U8:   {"u8", 1, 1, false}, I8: {"i8", 1, 1, false},
	U16: {"u16", 1, 2, false}, I16: {"i16", 1, 2, false},
	U32: {"u32", 1, 4, false}, I32: {"i32", 1, 4, false},
	U64: {"u64", 1, 8, false}, I64: {"i64", 1, 8, false},
	F16: {"f16", 1, 2, true}, BF16: {"bf16", 1, 2, true},
	F32: {"f32", 1, 4, true}, F64: {"f64", 1, 8, true},
	F8E4M3: {"f8_e4m3", 1, 1, true}, F8E5M2: {"f8_e5m2", 1, 1, true},
	F8E8M0:     {"f8_e8m0", 1, 1, true},
	F8E4M3FNUZ: {"f8_e4m3fnuz", 1, 1, true}, F8E5M2FNUZ: {"f8_e5m2fnuz", 1, 1, true},
	F6E2M3: {"f6_e2m3", 4, 3, true}, F6E3M2: {"f6_e3m2", 4, 3, true},
	F4:   {"f4", 2, 1, true},
	F4x2: {"float4_e2m1fn_x2", 1, 1, false}, BC32: {"bcomplex32", 1, 4, false},
	Bits8: {"bits8", 1, 1, false}, Bits16: {"bits16", 1, 2, false},
	Bits1x8: {"bits1x8", 1, 1, false}, Bits2x4: {"bits2x4", 1, 1, false}, Bits4x2: {"bits4x2", 1, 1, false},
	QInt8: {"qint8", 1, 1, false}, QUInt8: {"quint8", 1, 1, false}, QInt32: {"qint32", 1, 4, false},
	QUInt4x2: {"quint4x2", 1, 1, false}, QUInt2x4: {"quint2x4", 1, 1, false},
	C32: {"c32", 1, 4, false}, C64: {"c64", 1, 8, false}, C128: {"c128", 1, 16, false},
	Q4_0: {"q4_0", 32, 18, false}, Q4_1: {"q4_1", 32, 20, false},
	Q5_0: {"q5_0", 32, 22, false}, Q5_1: {"q5_1", 32, 24, false},
	Q8_0: {"q8_0", 32, 34, false}, Q8_1: {"q8_1", 32, 36, false},
	Q2_K: {"q2_k", 256, 84, false}, Q3_K: {"q3_k", 256, 110, false},
	Q4_K: {"q4_k", 256, 144, false}, Q5_K: {"q5_k", 256, 176, false},
	Q6_K: {"q6_k", 256, 210, false}, Q8_K: {"q8_k", 256, 292, false},
	IQ2_XXS: {"iq2_xxs", 256, 66, false}, IQ2_XS: {"iq2_xs", 256, 74, false},
	IQ3_XXS: {"iq3_xxs", 256, 98, false}, IQ1_S: {"iq1_s", 256, 50, false},
	IQ4_NL: {"iq4_nl", 32, 18, false}, IQ3_S: {"iq3_s", 256, 110, false},
	IQ2_S: {"iq2_s", 256, 82, false}, IQ4_XS: {"iq4_xs", 256, 136, false},
	IQ1_M: {"iq1_m", 256, 56, false},
	TQ1_0: {"tq1_0", 256, 54, false}, TQ2_0: {"tq2_0", 256, 66, false},
	MXFP4: {"mxfp4", 32, 17, false}, NVFP4: {"nvfp4", 64, 36, false}, Q1_0: {"q1_0", 128, 18, false}, Q2_0: {"q2_0", 64, 18, false},
}

var byName = func() map[string]DType {
	m := make(map[string]DType, len(dtypes))
	for d, i := range dtypes {
		if i.name != "" {
			m[i.name] = DType(d)
		}
	}
	return m
}()

// ParseDType finds a type by its name, in any case.
func ParseDType(name string) (DType, bool) {
	d, ok := byName[strings.ToLower(name)]
	return d, ok
}

// elsewhere is what types are called by other software, in lower case.
var elsewhere = map[string]DType{
	"float16": F16, "fp16": F16, "half": F16, "bfloat16": BF16, "bfloat": BF16, "float32": F32, "fp32": F32, "float": F32, "single": F32,
	"float64": F64, "fp64": F64, "double": F64, "float8_e4m3fn": F8E4M3, "float8": F8E4M3, "fp8": F8E4M3, "f8": F8E4M3, "e4m3": F8E4M3,
	"float8_e5m2": F8E5M2, "e5m2": F8E5M2, "int8": I8, "uint8": U8, "byte": U8, "int16": I16, "short": I16, "uint16": U16, "int32": I32, "int": I32,
	"uint32": U32, "int64": I64, "long": I64, "uint64": U64, "boolean": Bool, "bool_": Bool, "complex64": C64, "complex128": C128,
}

// DTypeCalled finds a type by what other software calls it, torch.float16 and fp16
// included: for suggestions.
func DTypeCalled(name string) (DType, bool) {
	name = strings.ToLower(name)
	for _, module := range []string{"torch.", "mx.", "np.", "numpy.", "jnp."} {
		name = strings.TrimPrefix(name, module)
	}
	if d, ok := elsewhere[name]; ok {
		return d, true
	}
	return ParseDType(name)
}

// Valid reports whether d names an element type.
func (d DType) Valid() bool { return dtypes[d].name != "" }

// String is the name used in every output: lower case, as safetensors has it.
func (d DType) String() string {
	if n := dtypes[d].name; n != "" {
		return n
	}
	return fmt.Sprintf("dtype(%d)", uint8(d))
}

// Block says how elements are stored: elems elements in bytes bytes. It is
// (1, size) for all but sub-byte and block-quantized types.
func (d DType) Block() (elems, bytes int64) { return dtypes[d].elems, dtypes[d].bytes }

// Float reports whether d holds real floating-point numbers, packed or not.
func (d DType) Float() bool { return dtypes[d].float }

// Floating reports the types that mlx calls floating. Float's narrower ones are codes:
// they mean nothing without a scale.
func (d DType) Floating() bool { return d == F16 || d == BF16 || d == F32 || d == F64 }

// Greatest is the greatest finite value of a type that a cast of floats can exceed; ok is
// false where none can, or where d is no plain float.
func (d DType) Greatest() (limit float64, ok bool) {
	switch d {
	case F16:
		return 65504, true
	case BF16:
		return 0x1.FEp127, true
	}
	return 0, false
}

// TorchFloat is the type of a name that mlx_lm casts to, Invalid for any other name.
func TorchFloat(name string) DType {
	switch name {
	case "float16":
		return F16
	case "bfloat16":
		return BF16
	case "float32":
		return F32
	}
	return Invalid
}

// Size is the number of bytes n elements take. It fails when n does not fill
// whole blocks, or on overflow.
func (d DType) Size(n int64) (int64, error) {
	e, b := d.Block()
	switch {
	case e == 0:
		return 0, fmt.Errorf("%v has no size", d)
	case n < 0:
		return 0, fmt.Errorf("%d elements", n)
	case n%e != 0:
		return 0, fmt.Errorf("%d elements of %v do not fill blocks of %d", n, d, e)
	case n/e > math.MaxInt64/b:
		return 0, fmt.Errorf("%d elements of %v overflow 64 bits", n, d)
	}
	return n / e * b, nil
}
