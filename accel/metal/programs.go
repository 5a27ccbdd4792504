package metal

import (
	"encoding/binary"

	"wreg/registry/tensor"
)

// program is a kernel of kernels.metal: its name, and what it finds in
// [[buffer(0)]], [[buffer(1)]], … A test compares this list with the kernels.
type program struct {
	name    string
	buffers []slot
}

// slot is one buffer of a program, named as the kernel names it.
type slot struct {
	name string
	use  use
}

type use int

const (
	read use = iota
	written
	parameters // the job's params
)

var (
	src   = slot{"src", read}
	dst   = slot{"dst", written}
	p     = slot{"p", parameters}
	plain = []slot{src, dst, p}
)

// programs lists every kernel.
var programs = []program{
	{"cast_f32_bf16", plain},
	{"cast_f32_f16", plain},
	{"cast_bf16_f32", plain},
	{"cast_f16_f32", plain},
	{"cast_bf16_f16", plain},
	{"cast_f16_bf16", plain},
	{"cast_e4m3_bf16", plain},
	{"dequant_e4m3", []slot{src, dst, p, {"scale", read}}},
	{"quantize_affine", []slot{src, dst, p, {"scales", written}, {"biases", written}}},
}

// castPrograms says which kernel casts what; other pairs are the processor's.
var castPrograms = map[[2]tensor.DType]string{
	{tensor.F32, tensor.BF16}:    "cast_f32_bf16",
	{tensor.F32, tensor.F16}:     "cast_f32_f16",
	{tensor.BF16, tensor.F32}:    "cast_bf16_f32",
	{tensor.F16, tensor.F32}:     "cast_f16_f32",
	{tensor.BF16, tensor.F16}:    "cast_bf16_f16",
	{tensor.F16, tensor.BF16}:    "cast_f16_bf16",
	{tensor.F8E4M3, tensor.BF16}: "cast_e4m3_bf16",
}

// params is struct Params of kernels.metal.
type params struct {
	n, cols, row0, blockRows, blockCols, scaleCols, bits, kind uint32
}

// bytes lays params out as the kernels expect them.
func (p params) bytes() []byte {
	var b []byte
	for _, v := range []uint32{p.n, p.cols, p.row0, p.blockRows, p.blockCols, p.scaleCols, p.bits, p.kind} {
		b = binary.LittleEndian.AppendUint32(b, v)
	}
	return b
}

// kinds are the values of Params.type.
var kinds = map[tensor.DType]uint32{tensor.F32: 0, tensor.F16: 1, tensor.BF16: 2}

// job is one launch. buffers are in the order of the program's slots; that of the
// parameters is nil.
type job struct {
	program *program
	params  params
	buffers [][]byte
}

// gpu runs jobs. It reads and writes the job's buffers and is done with them when
// run returns.
type gpu interface {
	run(j job) error
	close()
}

// data is what buffer i is to hold: the parameters, or what the job brought.
func (j job) data(i int) []byte {
	if j.program.buffers[i].use == parameters {
		return j.params.bytes()
	}
	return j.buffers[i]
}

// copyIn fills the buffers that the program reads. contents gives the first n bytes of
// buffer i.
func (j job) copyIn(contents func(i, n int) []byte) {
	for i, s := range j.program.buffers {
		if data := j.data(i); s.use != written {
			copy(contents(i, len(data)), data)
		}
	}
}

// copyOut fetches the buffers that the program wrote.
func (j job) copyOut(contents func(i, n int) []byte) {
	for i, s := range j.program.buffers {
		if s.use == written {
			copy(j.buffers[i], contents(i, len(j.buffers[i])))
		}
	}
}

// groups is how many groups of width threads it takes: the last may have surplus ones.
func (j job) groups(width uint64) uint64 { return (uint64(j.params.n) + width - 1) / width }

// room says whether a buffer of size bytes holds n, and how large it must be. Metal
// makes none of 0 bytes.
func room(size, n int) (want int, enough bool) {
	want = max(n, 16)
	return want, size >= want
}

func programOf(name string) *program {
	for i := range programs {
		if programs[i].name == name {
			return &programs[i]
		}
	}
	return nil
}
