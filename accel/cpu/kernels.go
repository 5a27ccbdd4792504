package cpu

import "os"

// kernels are the fast paths of one instruction set. A kernel does as many whole
// vectors as fit and says how many elements that was; plain Go does the rest. What
// is nil, plain Go does whole.
type kernels struct {
	path  string
	casts map[pair]func(dst, src []byte) (done int)

	// dequantE4M3 does blocks side by side: blockCols codes each, a multiple of lanes,
	// times a factor each, 256 times the scale and finite.
	dequantE4M3 func(dst, src []byte, blockCols int, factors []float32)

	// extremes16 and extremes32 are whole: they do their own rest.
	extremes16 func(b []byte) (pos int16, neg uint16, zero bool)
	extremes32 func(b []byte) (pos int32, neg uint32, zero bool)

	// span gives the least and the largest of a group, codes the affine codes of
	// one, packed two a byte when nibbles says so. Groups are multiples of 32.
	span  func(g []float32) (lo, hi float32)
	codes func(q []uint8, g []float32, scale, bias, most float32, nibbles bool)

	// top gives the bits of the largest magnitude of a group, or of a NaN when there
	// is one; codes4 the e2m1 codes of g/divisor, two a byte; codes8 the e4m3 codes,
	// one a byte, where divisor is not 0. Groups are multiples of 16, for codes8 of 32.
	top    func(g []float32) uint32
	codes4 func(q []uint8, g []float32, divisor float32, above *[7]float32)
	codes8 func(q []uint8, g []float32, divisor float32)
}

var (
	plain   = kernels{path: "go"}
	fastest = pick(os.Getenv("WREG_NOASM"))
)

// pick decides which kernels New uses. WREG_NOASM=1 leaves plain Go, and so does
// whatever else it may be set to, but for 0.
func pick(noAssembly string) kernels {
	if noAssembly == "" || noAssembly == "0" {
		if k, ok := assembly(); ok {
			return k
		}
	}
	return plain
}
