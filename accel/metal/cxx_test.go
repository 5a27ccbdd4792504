//go:build cxx

package metal

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"wreg/accel/cpu"
)

// These tests compile kernels.metal with other compilers and so take g++ and
// clang: `make test` installs both and runs them with -tags cxx.

// compilers make a program of the kernels: kernels.metal, its driver, what comes out.
var compilers = map[string][]string{
	"g++":     {"g++", "-std=c++14", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-attributes", "-Wno-unused-function", "-x", "c++", "-include", "cxx.h"},
	"clang++": {"clang++", "-std=c++14", "-O2", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", "-Wno-attributes", "-Wno-unused-function", "-x", "c++", "-include", "cxx.h"},
	"nvcc":    {"nvcc", "-std=c++17", "-O3", "--fmad=false", "--extended-lambda", "-arch=native", "-x", "cu", "-include", "cuda.h"},
}

// compile builds the driver with the kernels in a file; its errors are the text.
func compile(compiler, kernels, to string, more ...string) error {
	kernels, err := filepath.Abs(kernels)
	if err != nil {
		return err
	}
	if compiler == "nvcc" { // cuda.h says why
		cmd := exec.Command("g++", "-E", "-P", "-x", "c++", "-DFIRST", "-include", "cuda.h", kernels, "-o", to+".cu")
		cmd.Dir = "proof"
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%s: %v\n%s", cmd, err, out)
		}
		kernels = to + ".cu"
	}
	args := slices.Concat(compilers[compiler][1:], more, []string{fmt.Sprintf("-DKERNELS=%q", kernels), "driver.cc", "-o", to})
	cmd := exec.Command(compilers[compiler][0], args...)
	cmd.Dir = "proof"
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %v\n%s", cmd, err, out)
	}
	return nil
}

// process is a gpu whose jobs are runs of a driver.
type process struct {
	path    string
	seconds string // what the last run wrote to standard error
}

func (d *process) close() {}

func (d *process) run(j job) error {
	p := j.params
	var in bytes.Buffer
	fmt.Fprintf(&in, "%s %d %d %d %d %d %d %d %d %d", j.program.name, p.n, p.cols, p.row0, p.blockRows, p.blockCols, p.scaleCols, p.bits, p.kind, len(j.buffers))
	for _, b := range j.buffers {
		fmt.Fprintf(&in, " %d", len(b))
	}
	in.WriteByte('\n')
	for _, b := range j.buffers {
		in.Write(b)
	}
	cmd := exec.Command(d.path)
	var out, talk bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = &in, &out, &talk
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%v: %s", err, talk.String())
	}
	d.seconds = strings.TrimSpace(talk.String())
	for i, b := range j.buffers {
		after := out.Next(len(b))
		if len(after) != len(b) {
			return fmt.Errorf("the driver left out buffer %d", i)
		}
		if i < len(j.program.buffers) && j.program.buffers[i].use == written {
			copy(b, after)
		} else if !bytes.Equal(after, b) {
			return fmt.Errorf("%s wrote to buffer %d, which it is to read", j.program.name, i)
		}
	}
	return nil
}

// proofCompiler is g++ and clang++, or the one that WREG_CXX names (nvcc, on a
// machine with a GPU).
func proofCompilers() []string {
	if name := os.Getenv("WREG_CXX"); name != "" {
		return []string{name}
	}
	return []string{"g++", "clang++"}
}

// TestKernelsEqualReference is the proof: the file that ships, compiled, gives the
// processor's bytes for everything equalsReference tries.
func TestKernelsEqualReference(t *testing.T) {
	for _, compiler := range proofCompilers() {
		t.Run(compiler, func(t *testing.T) {
			driver := filepath.Join(t.TempDir(), "driver")
			if err := compile(compiler, "kernels.metal", driver); err != nil {
				t.Fatal(err)
			}
			d := newDevice(&process{path: driver})
			d.Strict()
			for _, fault := range differences(d, math.MaxInt) {
				t.Error(fault)
			}
			if d.Launches() == 0 {
				t.Error("no kernel ran")
			}
		})
	}
}

// mutants are faults such as people make. Each must be found.
var mutants = []struct{ name, old, new string }{
	{"bf16 ties go away from zero", "0x7FFFu + ((u >> 16) & 1u)) >> 16", "0x8000u) >> 16"},
	{"bf16 is cut off", "return (u + 0x7FFFu + ((u >> 16) & 1u)) >> 16", "return u >> 16"},
	{"bf16 keeps the sign of NaN", "return 0x7FC0u;\n\t}\n\treturn (u", "return 0x7FC0u | ((u >> 16) & 0x8000u);\n\t}\n\treturn (u"},
	{"f16 has no subnormals", "if (m < 0x33000000u)", "if (m < 0x38800000u)"},
	{"f16 subnormals are cut off", "(f + half_way - 1u + ((f >> shift) & 1u)) >> shift", "f >> shift"},
	{"f16 overflows late", "m >= 0x47800000u", "m >= 0x48000000u"},
	{"f16 rounds ties up", "0xFFFu + ((m >> 13) & 1u)", "0x1000u"},
	{"f16 NaN stays signalling", "(f != 0u ? 0x400000u : 0u)", "0u"},
	{"subnormal f16 are twice as large", "(113u - up) << 23", "(114u - up) << 23"},
	{"e4m3 has no NaN", "(code & 0x7Fu) == 0x7Fu", "(code & 0x7Fu) == 0xFFu"},
	{"e4m3 subnormals are normal", "e = 1u;\n\t}\n\tuint se", "a |= 8u;\n\t}\n\tuint se"},
	{"products are rounded once", "(p + half_way - 1u + ((p >> drop) & 1u)) >> drop", "(p >> drop) | 1u"},
	{"products flush subnormals", "return bf16_of(sign | p)", "return bf16_of(sign)"},
	{"large products wrap", "if (exponent >= 255)", "if (exponent >= 256)"},
	{"scales of the wrong column", "col / p->blockCols", "col / p->blockRows"},
	{"scales forget the tile", "p->row0 + i / p->cols", "i / p->cols"},
	{"nibbles are swapped", "word |= code << held", "word |= code << (held ^ (p->bits == 4u ? 4u : 0u))"},
	{"codes that cross words lose bits", "held != 0u ? code >> (p->bits - held) : 0u", "0u"},
	{"codes round half away", "(uint)rint(r)", "(uint)(r + 0.5f)"},
	{"the wrong end is the edge", "(lo & 0x7FFFFFFFu) <= (hi & 0x7FFFFFFFu)", "(lo & 0x7FFFFFFFu) < (hi & 0x7FFFFFFFu)"},
	{"no least scale", "if (scale < 1e-7f)", "if (scale < 0.0f)"},
	{"NaNs take part in the range", "if ((u & 0x7FFFFFFFu) <= 0x7F800000u)", "if (true)"},
	{"surplus threads work", "if (i < p->n) {\n\t\tdst[i] = (ushort)bf16_of(src[i]);", "if (i < p->n + 64u) {\n\t\tdst[i] = (ushort)bf16_of(src[i]);"},
}

func TestMutantsAreCaught(t *testing.T) {
	source, err := os.ReadFile("kernels.metal")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			if n := strings.Count(string(source), m.old); n != 1 {
				t.Fatalf("the kernels have %q %d times, want once", m.old, n)
			}
			dir := t.TempDir()
			mutant, driver := filepath.Join(dir, "kernels.metal"), filepath.Join(dir, "driver")
			if err := os.WriteFile(mutant, []byte(strings.Replace(string(source), m.old, m.new, 1)), 0o644); err != nil {
				t.Fatal(err)
			}
			if err := compile("g++", mutant, driver, "-w", "-O1"); err != nil {
				t.Fatal(err)
			}
			d := newDevice(&process{path: driver})
			d.Strict()
			if len(differences(d, 1)) == 0 {
				t.Error("nobody noticed")
			}
		})
	}
}

// TestStrictFrontEnd hands the kernels to clang as C++ for OpenCL, which refuses
// what g++ takes and Metal does not: pointers without address space, double, new.
func TestStrictFrontEnd(t *testing.T) {
	source, err := os.ReadFile("kernels.metal")
	if err != nil {
		t.Fatal(err)
	}
	check := func(text string) error {
		file := filepath.Join(t.TempDir(), "kernels.metal")
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("clang", "-x", "clcpp", "-cl-std=clc++2021", "-target", "spir64", "-Xclang", "-finclude-default-header",
			"-Xclang", "-cl-ext=-__opencl_c_generic_address_space,-__opencl_c_pipes,-__opencl_c_device_enqueue", "-include", "proof/opencl.h", "-Wall", "-Werror", "-Wno-unknown-attributes", "-fsyntax-only", file)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("%v\n%s", err, out)
		}
		return nil
	}
	if err := check(string(source)); err != nil {
		t.Error(err)
	}
	for name, change := range map[string][2]string{
		"a pointer without address space":  {"((device uint *)scales)[i]", "((uint *)scales)[i]"},
		"new":                              {"uint word = 0u;", "uint word = *new uint(0u);"},
		"a function pointer":               {"uint word = 0u;", "uint (*f)(uint) = bf16_of; uint word = f(0u);"},
		"writing to what is constant":      {"uint word = 0u;", "uint word = 0u; p->n = 0u;"},
		"a vector type from a later C++":   {"uint word = 0u;", "auto f = []<class T>(T t) { return t; }; uint word = f(0u) + std::byte(0);"},
		"a pointer that drops its address": {"uint word = 0u;", "const uchar *q = src; uint word = q[0];"},
	} {
		if !strings.Contains(string(source), change[0]) {
			t.Fatalf("the kernels do not have %q", change[0])
		}
		if check(strings.Replace(string(source), change[0], change[1], 1)) == nil {
			t.Errorf("%s was taken", name)
		}
	}
}

// BenchmarkKernels measures kernels as the driver does: of the fastest of ten
// launches, GB/s read and written, and that as a part of a copy on the same device.
// It tells something only with WREG_CXX=nvcc.
func BenchmarkKernels(b *testing.B) {
	if os.Getenv("WREG_CXX") != "nvcc" {
		b.Fatal("set WREG_CXX=nvcc, on a machine with a GPU")
	}
	driver := filepath.Join(b.TempDir(), "driver")
	if err := compile("nvcc", "kernels.metal", driver); err != nil {
		b.Fatal(err)
	}
	const numbers = 1 << 26
	rate := func(g *process, moved int) float64 {
		seconds, err := strconv.ParseFloat(g.seconds, 64)
		if err != nil {
			b.Fatal(err)
		}
		return float64(moved) / seconds / 1e9
	}
	g := &process{path: driver}
	src, dst := make([]byte, 4*numbers), make([]byte, 4*numbers)
	if err := g.run(job{&program{"copy", plain}, params{n: numbers}, [][]byte{src, dst, nil}}); err != nil {
		b.Fatal(err)
	}
	copied := rate(g, 8*numbers)
	for _, t := range cpu.Trials(numbers, cpu.Weights) {
		b.Run(strings.ReplaceAll(t.Name, " ", "-"), func(b *testing.B) {
			d := newDevice(g)
			d.Strict()
			d.tile = math.MaxInt32 // one launch
			out := make([]byte, t.Size)
			for b.Loop() {
				if err := t.Call(d, out, t.Source); err != nil {
					b.Fatal(err)
				}
			}
			r := rate(g, len(t.Source)+t.Size)
			b.ReportMetric(r, "GB/s")
			b.ReportMetric(r/copied, "of-copy")
			b.ReportMetric(0, "ns/op")
		})
	}
}
