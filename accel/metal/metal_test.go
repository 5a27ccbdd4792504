package metal

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
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
		result := results[max(0, len(results)-1-g.buffer)]
		byteOf := g.at
		if byteOf == nil {
			byteOf = lastByte
		}
		*byteOf(result) ^= 1
	}
	return err
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

// TestTiles runs everything in launches of few bytes: the parts must meet.
func TestTiles(t *testing.T) {
	for _, tile := range []int{2048, tileBytes} {
		g := &pretended{}
		d := newDevice(g)
		d.tile = tile
		d.Strict()
		for _, fault := range differences(d, math.MaxInt) {
			t.Errorf("tiles of %d bytes: %s", tile, fault)
		}
		if g.jobs == 0 || d.Launches() != int64(g.jobs) {
			t.Errorf("tiles of %d bytes: %d launches counted, %d jobs", tile, d.Launches(), g.jobs)
		}
	}
}

// TestOneWrongByte is a device that looks well and is not: wherever in whichever
// result of each kernel the byte is, Check must find it, name the kernel, and turn the
// GPU off for all.
func TestOneWrongByte(t *testing.T) {
	for _, p := range programs {
		for place, at := range map[string]func([]byte) *byte{"first": firstByte, "last": lastByte, "any": anyByte} {
			for buffer := range 3 {
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
			for buffer := range 3 {
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

func TestSoundDevicePassesCheck(t *testing.T) {
	d := newDevice(&pretended{})
	d.tile = 64 << 10
	results := d.Check()
	if len(results) != len(programs) {
		t.Errorf("%d results for %d kernels", len(results), len(programs))
	}
	for _, r := range results {
		if r.Fault != "" || r.CPU <= 0 || r.Metal <= 0 {
			t.Errorf("%+v", r)
		}
	}
	if d.Err() != nil {
		t.Error(d.Err())
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

// TestRefusesBeforeTheGPU: what would make Metal throw must not get there.
func TestRefusesBeforeTheGPU(t *testing.T) {
	g := &pretended{}
	d := newDevice(g)
	b := make([]byte, 256)
	for name, err := range map[string]error{
		"short dst":     d.Cast(make([]byte, 31), tensor.BF16, b[:64], tensor.F32),
		"overlap":       d.Cast(b[:32], tensor.BF16, b[:64], tensor.F32),
		"no pair":       d.Cast(b[:32], tensor.U16, make([]byte, 64), tensor.F32),
		"short scale":   d.DequantFP8(make([]byte, 64), b[:32], 0, 2, 16, make([]byte, 3), tensor.F32, 1, 16),
		"integer scale": d.DequantFP8(make([]byte, 64), b[:32], 0, 2, 16, make([]byte, 8), tensor.U32, 1, 16),
		"no block":      d.DequantFP8(make([]byte, 64), b[:32], 0, 2, 16, make([]byte, 8), tensor.F32, 1, 0),
		"short codes":   d.Quantize(make([]byte, 31), make([]byte, 2), make([]byte, 2), b[:128], tensor.BF16, 1, 64, cpu.QuantSpec{}),
		"odd mode":      d.Quantize(make([]byte, 32), make([]byte, 2), make([]byte, 2), b[:128], tensor.BF16, 1, 64, cpu.QuantSpec{Mode: "x"}),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if err := d.Cast(nil, tensor.BF16, nil, tensor.F32); err != nil {
		t.Errorf("nothing to cast: %v", err)
	}
	if err := d.DequantFP8(nil, nil, 0, 4, 0, nil, tensor.F32, 1, 1); err != nil {
		t.Errorf("no columns: %v", err)
	}
	if g.jobs != 0 || d.Err() != nil {
		t.Errorf("the GPU got %d jobs; error %v", g.jobs, d.Err())
	}
}

// TestLeftToTheProcessor: what there is no kernel for, or what would not fit its
// 32-bit counts and buffers, is done all the same, without the GPU.
func TestLeftToTheProcessor(t *testing.T) {
	g := &pretended{}
	d := newDevice(g)
	d.tile = 1024
	d.Strict()
	b := bytes.Repeat([]byte{1, 2, 3, 0x3C}, 4096)
	quantize := func(rows int, spec cpu.QuantSpec) func(c cpu.Computer, dst []byte) error {
		packed, scales, biases, err := spec.Sizes(rows, 64, tensor.BF16)
		if err != nil {
			t.Fatal(err)
		}
		return func(c cpu.Computer, dst []byte) error {
			dst, ends := dst[:packed+scales+biases], dst[packed:packed+scales+biases]
			return c.Quantize(dst[:packed], ends[:scales], ends[scales:], b[:rows*128], tensor.BF16, rows, 64, spec)
		}
	}
	for name, call := range map[string]func(c cpu.Computer, dst []byte) error{
		"one bit":            quantize(4, cpu.QuantSpec{Bits: 1}),
		"mxfp4":              quantize(4, cpu.QuantSpec{Mode: cpu.MXFP4}),
		"f64":                func(c cpu.Computer, dst []byte) error { return c.Cast(dst[:80], tensor.BF16, b[:320], tensor.F64) },
		"e5m2":               func(c cpu.Computer, dst []byte) error { return c.Cast(dst[:80], tensor.BF16, b[:40], tensor.F8E5M2) },
		"a type onto itself": func(c cpu.Computer, dst []byte) error { return c.Cast(dst[:80], tensor.F16, b[:80], tensor.F16) },
		"fp8 rows of 2 tiles": func(c cpu.Computer, dst []byte) error {
			return c.DequantFP8(dst[:4096], b[:2048], 0, 1, 2048, b[:8], tensor.F32, 1, 1024)
		},
		"fp8 with many scales": func(c cpu.Computer, dst []byte) error {
			return c.DequantFP8(dst[:1024], b[:512], 0, 2, 256, b[:2048], tensor.F32, 1, 1)
		},
	} {
		got, want := make([]byte, 4096), make([]byte, 4096)
		if err := errors.Join(call(d, got), call(cpu.Reference(), want)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: error %v, right bytes: %v", name, err, bytes.Equal(got, want))
		}
	}
	if g.jobs != 0 || d.Err() != nil {
		t.Errorf("the GPU got %d jobs; error %v", g.jobs, d.Err())
	}
}

// TestCheckWantsTheGPU: a trial that the processor did says nothing about a kernel.
func TestCheckWantsTheGPU(t *testing.T) {
	d := newDevice(&pretended{})
	r := d.check("cast_f64_f32", cpu.Trial{Name: "cast f64 f32", Source: make([]byte, 80), Size: 40, Call: func(c cpu.Computer, dst, src []byte) error {
		return c.Cast(dst, tensor.F32, src, tensor.F64)
	}})
	if r.Fault != "the GPU was not asked" || d.Err() == nil {
		t.Errorf("fault %q, error %v", r.Fault, d.Err())
	}
}

func TestManyAtOnce(t *testing.T) {
	d := newDevice(&pretended{})
	d.tile = 512
	src := everyPattern(tensor.BF16)
	want := make([]byte, len(src))
	if err := cpu.Reference().Cast(want, tensor.F16, src, tensor.BF16); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			got := make([]byte, len(src))
			if err := d.Cast(got, tensor.F16, src, tensor.BF16); err != nil || !bytes.Equal(got, want) {
				t.Errorf("error %v, right bytes: %v", err, bytes.Equal(got, want))
			}
		})
	}
	wg.Wait()
}

func TestSlowKernelsAreLeftOut(t *testing.T) {
	m := slow([]Result{{Kernel: "a", CPU: 10, Metal: 12}, {Kernel: "b", CPU: 10, Metal: 13}, {Kernel: "d", CPU: 10}})
	if !m["a"] || m["b"] || !m["d"] {
		t.Errorf("slow: %v", m)
	}
	d := newDevice(&pretended{})
	d.slow = map[string]bool{"cast_f32_bf16": true}
	if err := d.Cast(make([]byte, 2), tensor.BF16, make([]byte, 4), tensor.F32); err != nil || d.Launches() != 0 {
		t.Errorf("error %v, %d launches", err, d.Launches())
	}
}

// TestBuffersAreNumberedAsListed compares programs.go with the kernels: names,
// buffers, what is written, and the fields of Params.
func TestBuffersAreNumberedAsListed(t *testing.T) {
	source, err := os.ReadFile("kernels.metal")
	if err != nil {
		t.Fatal(err)
	}
	argument := regexp.MustCompile(`^(device const|device|constant) \w+ \*(\w+) \[\[buffer\((\d+)\)\]\]$`)
	kernels := regexp.MustCompile(`(?s)kernel void (\w+)\((.*?)\) \{`).FindAllStringSubmatch(string(source), -1)
	var names []string
	for _, k := range kernels {
		names = append(names, k[1])
		p := programOf(k[1])
		if p == nil {
			t.Errorf("kernel %s is not listed", k[1])
			continue
		}
		args := strings.Split(k[2], ",")
		if last := strings.TrimSpace(args[len(args)-1]); last != "uint i [[thread_position_in_grid]]" {
			t.Errorf("%s: the last argument is %q", k[1], last)
		}
		args = args[:len(args)-1]
		if len(args) != len(p.buffers) {
			t.Errorf("%s has %d buffers, %d are listed", k[1], len(args), len(p.buffers))
			continue
		}
		for _, a := range args {
			m := argument.FindStringSubmatch(strings.TrimSpace(a))
			if m == nil {
				t.Errorf("%s: argument %q", k[1], a)
				continue
			}
			n, _ := strconv.Atoi(m[3])
			use := map[string]use{"device const": read, "device": written, "constant": parameters}[m[1]]
			if n >= len(p.buffers) || p.buffers[n] != (slot{m[2], use}) {
				t.Errorf("%s: buffer %d is %s %s, listed otherwise", k[1], n, m[1], m[2])
			}
		}
	}
	for _, p := range programs {
		if !slices.Contains(names, p.name) {
			t.Errorf("%s is listed and not a kernel", p.name)
		}
	}
	body := regexp.MustCompile(`(?s)struct Params \{(.*?)\n\};`).FindStringSubmatch(string(source))
	var fields []string
	for _, f := range regexp.MustCompile(`(?m)^\tuint (\w+);`).FindAllStringSubmatch(body[1], -1) {
		fields = append(fields, f[1])
	}
	if want := []string{"n", "cols", "row0", "blockRows", "blockCols", "scaleCols", "bits", "type"}; !slices.Equal(fields, want) {
		t.Errorf("Params has %q, params %q", fields, want)
	}
	for i, v := range []params{{n: 7}, {cols: 7}, {row0: 7}, {blockRows: 7}, {blockCols: 7}, {scaleCols: 7}, {bits: 7}, {kind: 7}} {
		if b := v.bytes(); len(b) != 4*len(fields) || le.Uint32(b[4*i:]) != 7 {
			t.Errorf("field %s is not at %d in %x", fields[i], 4*i, b)
		}
	}
}
