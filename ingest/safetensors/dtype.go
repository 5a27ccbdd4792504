package safetensors

import "wreg/registry/tensor"

// dtype finds a type by the name the format gives it, case and all: the README of
// the format spells them in capitals. Invalid: the format has no such type.
func dtype(name string) tensor.DType {
	// The commonest first; a switch is several times faster than a map here.
	switch name {
	case "BF16":
		return tensor.BF16
	case "F16":
		return tensor.F16
	case "F32":
		return tensor.F32
	case "U8":
		return tensor.U8
	case "U32":
		return tensor.U32
	case "F8_E4M3":
		return tensor.F8E4M3
	}
	return dtypes[name]
}

// dtypes are all types of the format, as of its release 0.8.
var dtypes = map[string]tensor.DType{
	"BOOL": tensor.Bool,
	"U8":   tensor.U8, "I8": tensor.I8,
	"U16": tensor.U16, "I16": tensor.I16,
	"U32": tensor.U32, "I32": tensor.I32,
	"U64": tensor.U64, "I64": tensor.I64,
	"F16": tensor.F16, "BF16": tensor.BF16,
	"F32": tensor.F32, "F64": tensor.F64,
	"F8_E4M3": tensor.F8E4M3, "F8_E5M2": tensor.F8E5M2, "F8_E8M0": tensor.F8E8M0,
	"F8_E4M3FNUZ": tensor.F8E4M3FNUZ, "F8_E5M2FNUZ": tensor.F8E5M2FNUZ,
	"F6_E2M3": tensor.F6E2M3, "F6_E3M2": tensor.F6E3M2, "F4": tensor.F4,
	"C64": tensor.C64,
}

// dtypeNames is the way back.
var dtypeNames = func() map[tensor.DType]string {
	m := make(map[tensor.DType]string, len(dtypes))
	for name, d := range dtypes {
		m[d] = name
	}
	return m
}()

// Holds reports whether the format has a name for a type.
func Holds(d tensor.DType) bool { return dtypeNames[d] != "" }
