package cpu

// kernels are the fast paths of one instruction set. A kernel does as many whole
// vectors as fit and says how many elements that was; plain Go does the rest. What
// is nil, plain Go does whole.
type kernels struct {
	path  string
	casts map[pair]func(dst, src []byte) (done int)

	extremes16 func(b []byte) (pos int16, neg uint16, zero bool)
	extremes32 func(b []byte) (pos int32, neg uint32, zero bool)
}

var (
	plain   = kernels{path: "go"}
	fastest = plain
)
