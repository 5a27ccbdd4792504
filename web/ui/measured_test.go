package ui

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/view"
	"wreg/view/measure"
	"wreg/view/viewtest"
	"wreg/view/words"
)

const goldens = "../../registry/arch/testdata/goldens/"

// tuned is a registry of two checkpoints that lie on the disk: tuned has other bytes than base
// in some tensors, by a little.
func tuned(t testing.TB) (path string) {
	t.Helper()
	b := viewtest.New(t, goldens)
	for _, name := range []string{"base", "tuned"} {
		b.Write(name, "hunyuan", nil)
	}
	c := b.Open("tuned")
	list := c.Tensors()
	c.Close()
	for _, x := range list {
		if strings.Contains(x.Path, "q_proj") || strings.Contains(x.Path, "experts") || strings.HasPrefix(x.Path, "model.norm") {
			b.Edit("tuned", x.Path, func(p []byte) {
				for i := 0; i < len(p); i += 22 {
					p[i] ^= byte(1 + i%7)
				}
			})
		}
	}
	b.Ingest("base", false)
	b.Ingest("tuned", false)
	return closed(b)
}

// quantized is a registry of a checkpoint and of its export in 4 bits, both on the disk.
func quantized(t testing.TB) (path string) {
	t.Helper()
	b := viewtest.New(t, goldens)
	b.Write("base", "hunyuan", nil)
	b.Ingest("base", false)
	b.Quantize("base", "base-4bit")
	return closed(b)
}

func closed(b *viewtest.Bench) (path string) {
	if err := b.Registry.Close(); err != nil {
		b.Fatal(err)
	}
	return b.Path()
}

// measuredWhole is what wreg diff base IS --values says.
func measuredWhole(t testing.TB, path, is string) (c *view.Comparison) {
	t.Helper()
	r, err := registry.Open(path, registry.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	err = r.View(func(s *registry.Snapshot) error {
		a, err := s.Find("base")
		if err != nil {
			return err
		}
		b, err := s.Find(is)
		if err == nil {
			c, err = view.Compare(t.Context(), s, a, b, nil)
		}
		return err
	})
	if err == nil {
		err = c.Measure(t.Context(), measure.Options{})
	}
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A module is measured by itself, and has the numbers that it has when all are.
func TestMeasured(t *testing.T) {
	path := tuned(t)
	r := serve(t, path)
	page := r.want("/model/tuned@1/compare?with=base", "By how much", "wreg diff base@1 tuned@1 --values")
	if n := strings.Count(page, "/part/measured/"); n < 5 || strings.Contains(page, "NaN") {
		t.Errorf("%d modules can be measured", n)
	}
	n := 0
	for _, p := range measuredWhole(t, path, "tuned").Parts {
		m := measuredOf(&view.Comparison{A: "base@1", B: "tuned@1"}, &p)
		if strings.Contains(page, "Measure "+m.Component+`"`) != (p.Total.Change != nil) {
			t.Errorf("%s: %+v is not what can be measured", m.Component, p.Total)
		}
		if c := p.Total.Change; c != nil {
			n++
			r.want(m.Link(), fmt.Sprintf("%d of %d", p.Total.Changed, p.Total.Changed+p.Total.Equal), fmt.Sprintf("%.3g %%", 100**c.Relative), value(c.Max), words.Percent(float64(c.Changed)/float64(c.Elements)))
			if strings.Contains(r.want(m.Link()), "button") {
				t.Errorf("%s can be measured again", m.Component)
			}
		}
	}
	if n < 5 {
		t.Errorf("%d modules changed", n)
	}
}

// Of a 4-bit export, each module's error is told, and the bits that a weight takes.
func TestMeasuredQuantized(t *testing.T) {
	path := quantized(t)
	r := serve(t, path)
	whole := measuredWhole(t, path, "base-4bit")
	page := r.want("/model/base-4bit@1/compare?with=base", "bits a weight", fmt.Sprintf("%.4g → %.4g", whole.BitsA, whole.BitsB))
	packed := 0
	for _, p := range whole.Parts {
		m := measuredOf(whole, &p)
		if p.Total.BitsB >= 16 {
			continue
		}
		packed++
		if !strings.Contains(page, "Measure "+m.Component+`"`) {
			t.Errorf("%s cannot be measured", m.Component)
		}
		r.want(m.Link(), fmt.Sprintf("%.3g %%", 100**p.Total.Change.Relative), fmt.Sprintf("16 → %.4g", p.Total.BitsB))
		if e := *p.Total.Change.Relative; e < 0.01 || e > 0.2 || p.Total.BitsB < 4 || p.Total.BitsB > 10 {
			t.Errorf("%s: an error of %g with %g bits", m.Component, e, p.Total.BitsB)
		}
	}
	if packed < 5 {
		t.Errorf("%d modules are packed", packed)
	}
}

// What cannot be measured is said in the module's place: nothing of it is guessed.
func TestNotMeasured(t *testing.T) {
	path := tuned(t)
	config, list := checkpoint(t, "hunyuan")
	put(t, path, registry.Revision{Model: "huge", Config: config}, list)
	for i := range list {
		if strings.Contains(list[i].Path, "q_proj") {
			list[i].Hash[3] ^= 1
			list[i].Shape, list[i].Bytes = tensor.Shape{1 << 16, 1 << 15}, 1<<32
		}
	}
	put(t, path, registry.Revision{Model: "huger", Config: config}, list)
	r := serve(t, path)
	at := func(a, b, component string) string {
		m := measured{A: a, B: b, Component: component}
		return m.Link()
	}
	r.want(at("base", "tuned", "no.such"), "have no module")
	r.want(at("nosuch", "tuned", "self_attn.q_proj"), "nosuch")
	r.want(at("huge", "huger", "self_attn.q_proj"), words.Size(maxRead))
	if err := os.Remove(filepath.Join(filepath.Dir(path), "base", "model.safetensors")); err != nil {
		t.Fatal(err)
	}
	if row := r.want(at("base", "tuned", "self_attn.q_proj"), "model.safetensors", "try again"); strings.Contains(row, " %") || strings.Contains(row, "equal") {
		t.Errorf("%s", row)
	}
}

// Who waits to have a module read has neither the registry nor a page's turn, and who goes
// away gives the place up.
func TestOneModuleIsReadAtATime(t *testing.T) {
	r := serve(t, tuned(t))
	leave, err := r.reading.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, goAway := context.WithCancel(t.Context())
	gone := make(chan error)
	m := measured{A: "base", B: "tuned", Component: "self_attn.q_proj"}
	go func() {
		q, err := http.NewRequestWithContext(ctx, "GET", "http://127.0.0.1:"+r.port+m.Link(), nil)
		if err == nil {
			var res *http.Response
			if res, err = r.Client.Do(q); err == nil {
				res.Body.Close()
			}
		}
		gone <- err
	}()
	for len(r.reading.waiting) < 2 {
		runtime.Gosched()
	}
	if n := len(r.gate.waiting); n != 0 {
		t.Errorf("%d pages wait", n)
	}
	r.store.mu.Lock()
	if r.store.now != nil {
		t.Error("who waits has the registry open")
	}
	r.store.mu.Unlock()
	goAway()
	if err := <-gone; err == nil {
		t.Error("answered")
	}
	for len(r.reading.waiting) > 1 {
		runtime.Gosched()
	}
	leave()
	r.want(m.Link(), " %")
}
