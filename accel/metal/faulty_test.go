package metal

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"wreg/accel/cpu"
	"wreg/registry/tensor"
)

// pretended is a GPU that lets the processor do its jobs. Tests make it err.
type pretended struct {
	mu     sync.Mutex
	jobs   int
	wrong  string               // the program of which one byte comes out wrong
	from   int                  // the job from which on it does
	at     func(b []byte) *byte // which byte; nil: the last of the last buffer
	buffer int                  // counted from the last buffer that is written
	fails  int                  // the job that fails, counted from 1
	panics int                  // the job that panics
}

func (g *pretended) close() {}

func (g *pretended) run(j job) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.jobs++
	switch g.jobs {
	case g.fails:
		return errors.New("the GPU was unplugged")
	case g.panics:
		panic("objc: the GPU was unplugged")
	}
	ref, p, b := cpu.Reference(), j.params, j.buffers
	var err error
	switch j.program.name {
	case "dequant_e4m3":
		err = ref.DequantFP8(b[1], b[0], int(p.row0), int(p.n/p.cols), int(p.cols), b[3], typeOf(p.kind), int(p.blockRows), int(p.blockCols))
	case "quantize_affine":
		err = ref.Quantize(b[1], b[3], b[4], b[0], typeOf(p.kind), int(p.n), int(p.cols), cpu.QuantSpec{Bits: int(p.bits), Group: int(p.cols)})
	default:
		for pair, name := range castPrograms {
			if name == j.program.name {
				err = ref.Cast(b[1], pair[1], b[0], pair[0])
			}
		}
	}
	if j.program.name == g.wrong && g.jobs >= g.from {
		var results [][]byte
		for i, slot := range j.program.buffers {
			if slot.use == written {
				results = append(results, b[i])
			}
		}
		result := results[len(results)-1-g.buffer]
		byteOf := g.at
		if byteOf == nil {
			byteOf = lastByte
		}
		*byteOf(result) ^= 1
	}
	return err
}

// results is how many buffers the program writes.
func (p *program) results() (n int) {
	for _, s := range p.buffers {
		if s.use == written {
			n++
		}
	}
	return n
}

func firstByte(b []byte) *byte { return &b[0] }
func lastByte(b []byte) *byte  { return &b[len(b)-1] }
func anyByte(b []byte) *byte   { return &b[rand.IntN(len(b))] }

func typeOf(kind uint32) tensor.DType {
	for dt, k := range kinds {
		if k == kind {
			return dt
		}
	}
	return tensor.Invalid
}

// TestOneWrongByte is a device that looks well and is not: wherever in whichever
// result of each kernel the byte is, Check must find it, name the kernel, and turn the
// GPU off for all.
func TestOneWrongByte(t *testing.T) {
	for _, p := range programs {
		for place, at := range map[string]func([]byte) *byte{"first": firstByte, "last": lastByte, "any": anyByte} {
			for buffer := range p.results() {
				oneWrongByte(t, p.name, place, &pretended{wrong: p.name, at: at, buffer: buffer})
			}
		}
	}
}

func oneWrongByte(t *testing.T, program, place string, g *pretended) {
	d := newDevice(g)
	d.tile = 16 << 10
	faults := 0
	for _, r := range d.Check() {
		if r.Fault != "" {
			faults++
		}
		if r.Kernel == program && !strings.Contains(r.Fault, "1 of") {
			t.Errorf("%s, %s byte: fault %q, want one byte told", program, place, r.Fault)
		}
	}
	if faults == 0 || d.Err() == nil || !strings.Contains(d.Err().Error(), program) {
		t.Errorf("%s, %s byte: %d faults, error %v", program, place, faults, d.Err())
	}
	jobs := g.jobs
	src, got, want := make([]byte, 400), make([]byte, 200), make([]byte, 200)
	if err := d.Cast(got, tensor.F16, src, tensor.F32); err != nil || !bytes.Equal(got, want) {
		t.Errorf("after %s was found: error %v, %x", program, err, got)
	}
	if g.jobs != jobs {
		t.Errorf("after %s was found the GPU got %d more jobs", program, g.jobs-jobs)
	}
}

// TestGoesWrongLater is a device that passes Check and errs at the ends of a later
// tile: what each call gives is right all the same, and no job follows.
func TestGoesWrongLater(t *testing.T) {
	for _, trial := range cpu.Trials(64<<10, cpu.EveryMagnitude) {
		program := kernelOf[trial.Name]
		for _, at := range []func([]byte) *byte{firstByte, lastByte} {
			for buffer := range programOf(program).results() {
				g := &pretended{wrong: program, at: at, buffer: buffer}
				d := newDevice(g)
				d.tile = 16 << 10
				g.from = 1 << 30
				d.Check()
				g.from = g.jobs + 3
				if fault := trial.Compare(d, cpu.Reference()); fault != "" {
					t.Errorf("%s: %s", trial.Name, fault)
				}
				if g.jobs != g.from || d.Err() == nil || !strings.Contains(d.Err().Error(), program) {
					t.Errorf("%s: %d jobs, want %d; error %v", trial.Name, g.jobs, g.from, d.Err())
				}
				strict := newDevice(&pretended{wrong: program, at: at, buffer: buffer})
				strict.Strict()
				if fault := trial.Compare(strict, cpu.Reference()); !strings.Contains(fault, "differ") {
					t.Errorf("%s, strict: %q", trial.Name, fault)
				}
			}
		}
	}
}

// TestPanics: what darwinkit does when it cannot go on is a failure like others.
func TestPanics(t *testing.T) {
	d := newDevice(&pretended{panics: 1})
	got := make([]byte, 200)
	if err := d.Cast(got, tensor.BF16, bytes.Repeat([]byte{0, 0, 0x80, 0x3F}, 100), tensor.F32); err != nil || !bytes.Equal(got, bytes.Repeat([]byte{0x80, 0x3F}, 100)) {
		t.Errorf("error %v, %x", err, got)
	}
	if d.Err() == nil || !strings.Contains(d.Err().Error(), "unplugged") {
		t.Errorf("error %v", d.Err())
	}
}

// TestFailureInTheMiddle lets a later tile fail: the processor does all again, and
// no job follows. Strict devices say so instead.
func TestFailureInTheMiddle(t *testing.T) {
	src := bytes.Repeat([]byte{1, 2, 3, 4}, 1000)
	want, got := make([]byte, 2000), make([]byte, 2000)
	if err := cpu.Reference().Cast(want, tensor.BF16, src, tensor.F32); err != nil {
		t.Fatal(err)
	}
	g := &pretended{fails: 3}
	d := newDevice(g)
	d.tile = 512
	for range 2 {
		if err := d.Cast(got, tensor.BF16, src, tensor.F32); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("error %v, right bytes: %v", err, bytes.Equal(got, want))
		}
	}
	if g.jobs != 3 || d.Err() == nil || !strings.Contains(d.Err().Error(), "unplugged") {
		t.Errorf("%d jobs, error %v", g.jobs, d.Err())
	}
	strict := newDevice(&pretended{fails: 1})
	strict.Strict()
	if err := strict.Cast(got, tensor.BF16, src, tensor.F32); err == nil || !strings.Contains(err.Error(), "unplugged") {
		t.Errorf("strict: error %v", err)
	}
}
