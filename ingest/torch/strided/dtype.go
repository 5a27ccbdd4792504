package strided

import "wreg/registry/tensor"

// Storages are the storage classes of module torch, by the type they hold.
var Storages = map[string]tensor.DType{
	"FloatStorage": tensor.F32, "DoubleStorage": tensor.F64, "HalfStorage": tensor.F16, "BFloat16Storage": tensor.BF16,
	"ByteStorage": tensor.U8, "CharStorage": tensor.I8, "ShortStorage": tensor.I16, "IntStorage": tensor.I32, "LongStorage": tensor.I64,
	"BoolStorage": tensor.Bool, "ComplexFloatStorage": tensor.C64, "ComplexDoubleStorage": tensor.C128, "ComplexHalfStorage": tensor.C32,
	"QInt8Storage": tensor.QInt8, "QUInt8Storage": tensor.QUInt8, "QInt32Storage": tensor.QInt32,
	"QUInt4x2Storage": tensor.QUInt4x2, "QUInt2x4Storage": tensor.QUInt2x4,
}

// DTypes are torch's element types by their names in module torch.
var DTypes = map[string]tensor.DType{
	"float32": tensor.F32, "float": tensor.F32, "float64": tensor.F64, "double": tensor.F64, "float16": tensor.F16, "half": tensor.F16, "bfloat16": tensor.BF16,
	"uint8": tensor.U8, "int8": tensor.I8, "uint16": tensor.U16, "int16": tensor.I16, "short": tensor.I16, "uint32": tensor.U32, "int32": tensor.I32, "int": tensor.I32,
	"uint64": tensor.U64, "int64": tensor.I64, "long": tensor.I64, "bool": tensor.Bool,
	"complex32": tensor.C32, "chalf": tensor.C32, "complex64": tensor.C64, "cfloat": tensor.C64, "complex128": tensor.C128, "cdouble": tensor.C128, "bcomplex32": tensor.BC32,
	"float8_e4m3fn": tensor.F8E4M3, "float8_e5m2": tensor.F8E5M2, "float8_e8m0fnu": tensor.F8E8M0,
	"float8_e4m3fnuz": tensor.F8E4M3FNUZ, "float8_e5m2fnuz": tensor.F8E5M2FNUZ, "float4_e2m1fn_x2": tensor.F4x2,
	"qint8": tensor.QInt8, "quint8": tensor.QUInt8, "qint32": tensor.QInt32, "quint4x2": tensor.QUInt4x2, "quint2x4": tensor.QUInt2x4,
	"bits8": tensor.Bits8, "bits16": tensor.Bits16, "bits1x8": tensor.Bits1x8, "bits2x4": tensor.Bits2x4, "bits4x2": tensor.Bits4x2,
}

// Component is the size of what is swapped in a file of the other byte order: a
// complex number is two.
func Component(dt tensor.DType) int64 {
	_, size := dt.Block()
	switch dt {
	case tensor.C32, tensor.C64, tensor.C128, tensor.BC32:
		size /= 2
	}
	return size
}
