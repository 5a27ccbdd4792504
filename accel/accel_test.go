package accel

import (
	"errors"
	"strings"
	"testing"

	"wreg/accel/cpu"
	"wreg/accel/metal"
	"wreg/registry/tensor"
)

// graphics is a GPU that Pick may find.
type graphics struct {
	cpu.Device
	fault          error
	fast           bool
	closed, strict bool
}

func (g *graphics) Name() string            { return "metal" }
func (g *graphics) Check() []metal.Result   { return []metal.Result{{Kernel: "k"}} }
func (g *graphics) Fastest() []metal.Result { return g.Check() }
func (g *graphics) Uses(string) bool        { return g.fast }
func (g *graphics) Strict()                 { g.strict = true }
func (g *graphics) Err() error              { return g.fault }
func (g *graphics) Close()                  { g.closed = true }

func TestPick(t *testing.T) {
	broken := errors.New("metal: k: 1 of 9 bytes differ")
	const large, small = autoBytes, autoBytes - 1
	for _, c := range []struct {
		name     string
		device   string
		env, req string
		bytes    int64
		gpu      *graphics // nil: there is none
		want     string    // the device's name
		note     string
		err      string
	}{
		{name: "cpu", device: "cpu", bytes: large, gpu: &graphics{fast: true}, want: "cpu"},
		{name: "auto without a GPU", bytes: large, want: "cpu"},
		{name: "auto with a fast GPU", bytes: large, gpu: &graphics{fast: true}, want: "metal"},
		{name: "auto for a small job", bytes: small, gpu: &graphics{fast: true}, want: "cpu"},
		{name: "auto with a slow GPU", device: "auto", bytes: large, gpu: &graphics{}, want: "cpu", note: "not clearly faster"},
		{name: "auto with a GPU that errs", bytes: large, gpu: &graphics{fast: true, fault: broken}, want: "cpu", note: "1 of 9 bytes differ; using the cpu"},
		{name: "metal for a small job", device: "metal", gpu: &graphics{}, want: "metal"},
		{name: "metal without a GPU", device: "metal", err: "no GPU"},
		{name: "metal that errs", device: "metal", gpu: &graphics{fault: broken}, err: "1 of 9"},
		{name: "the environment names it", env: "metal", gpu: &graphics{}, want: "metal"},
		{name: "the caller wins", device: "cpu", env: "metal", gpu: &graphics{}, want: "cpu"},
		{name: "another name", device: "cuda", err: `device "cuda": want auto, cpu or metal`},
		{name: "another name in the environment", env: "gpu", err: `device "gpu"`},
		{name: "required and picked", device: "metal", req: "metal", gpu: &graphics{}, want: "metal"},
		{name: "required and not picked", req: "metal", bytes: large, err: "WREG_REQUIRE_DEVICE=metal, but the device is cpu"},
	} {
		t.Run(c.name, func(t *testing.T) {
			getenv := func(name string) string {
				return map[string]string{"WREG_DEVICE": c.env, "WREG_REQUIRE_DEVICE": c.req}[name]
			}
			d, note, err := pick(c.device, c.bytes, getenv, func() (gpu, error) {
				if c.gpu == nil {
					return nil, errors.New("no GPU")
				}
				return c.gpu, nil
			})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want one with %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if d.Name() != c.want || !strings.Contains(note, c.note) || c.note == "" && note != "" {
				t.Errorf("%s, note %q; want %s, %q", d.Name(), note, c.want, c.note)
			}
			if g := c.gpu; g != nil && g.closed && d.Name() == "metal" {
				t.Error("the device was closed")
			} else if g != nil && g.strict != (c.req == "metal") {
				t.Errorf("strict: %v", g.strict)
			}
		})
	}
}

// TestCheck: the processor's own kernels pass, and every operation is there for
// each of them.
func TestCheck(t *testing.T) {
	lines, ok, noMetal := Check()
	if !ok {
		t.Error("a byte differs")
	}
	operations := map[string]int{}
	for _, l := range lines {
		operations[l.Operation]++
		if l.Fault != "" {
			t.Errorf("%+v", l)
		}
	}
	if len(operations) != 9 {
		t.Errorf("%d operations, want 9: %v", len(operations), operations)
	}
	for name, n := range operations {
		if n != len(lines)/9 {
			t.Errorf("%s: %d lines of %d", name, n, len(lines))
		}
	}
	if _, err := metal.Open(); (err == nil) != (noMetal == "") {
		t.Errorf("no metal: %q, but opening it gives %v", noMetal, err)
	}
}

// TestBench: a call that caches hold and one that they do not, for each operation, and
// a goal for every one that has one.
func TestBench(t *testing.T) {
	lines, err := benchAll(4096, 32768)
	if err != nil {
		t.Fatal(err)
	}
	sizes, asked := map[string]map[int]bool{}, map[string]bool{}
	for _, l := range lines {
		if l.Device != "cpu" {
			continue
		}
		if l.Rate <= 0 || l.OfCopy <= 0 || l.Read <= 0 || l.Read >= l.Rate || l.Met && l.Goal == "" {
			t.Errorf("%+v", l)
		}
		if sizes[l.Operation] == nil {
			sizes[l.Operation] = map[int]bool{}
		}
		sizes[l.Operation][l.Bytes] = true
		asked[l.Operation] = asked[l.Operation] || l.Goal != ""
	}
	for name, s := range sizes {
		if _, want := goals[name]; len(s) != 2 || asked[name] != want {
			t.Errorf("%s: %d sizes, want 2; a goal: %v, want %v", name, len(s), asked[name], want)
		}
	}
	for name := range goals {
		if sizes[name] == nil {
			t.Errorf("%s has a goal and is not measured", name)
		}
	}
}

// TestCPUIsADevice goes through the interface once, as callers do.
func TestCPUIsADevice(t *testing.T) {
	d, _, err := Pick("cpu", 0)
	if err != nil || d.Name() != CPU().Name() {
		t.Fatalf("%v, %v", d, err)
	}
	src, dst := []byte{0, 0, 0x80, 0x3F}, make([]byte, 2)
	if !CanCast(tensor.F32, tensor.BF16) || CanCast(tensor.F32, tensor.I8) {
		t.Error("casts are not the cpu's")
	}
	if err := d.Cast(dst, tensor.BF16, src, tensor.F32); err != nil || dst[0] != 0x80 || dst[1] != 0x3F {
		t.Errorf("1 is %x, %v", dst, err)
	}
	var s tensor.Stats
	if err := Stats(&s, tensor.BF16, dst, true); err != nil || s.Max != 1 || !Scannable(tensor.BF16) {
		t.Errorf("%+v, %v", s, err)
	}
}
