package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"wreg/registry"
)

// Whatever looks at the registry waits for its turn, so that no more is made at once, nor
// held in memory, than maxAtOnce pages.
func TestEveryPageWaits(t *testing.T) {
	r := serve(t, small(t))
	var leave []func()
	for range maxAtOnce {
		l, err := r.gate.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	var asked sync.WaitGroup
	var answered atomic.Int64
	paths := []string{"/model/hy/compare?with=broken", "/part/measured/hy?with=broken&component=lm_head&outside=1", "/", "/part/models", "/part/model/hy@1", "/model/hy", "/model/hy/coverage", "/model/hy/statistics", "/model/hy/tensors", "/model/hy/tensor?path=lm_head.weight",
		"/model/hy/files", "/model/hy/receipt", "/model/hy/compare", "/query?q=find+*", "/complete?q=find"}
	for _, path := range paths {
		asked.Go(func() {
			r.get(path)
			answered.Add(1)
		})
	}
	for len(r.gate.waiting) < maxAtOnce+len(paths)-2 && answered.Load() == 0 { // one of three that compare
		runtime.Gosched()
	}
	if n := answered.Load(); n > 0 {
		t.Errorf("%d pages did not wait", n)
	}
	r.store.mu.Lock()
	open := r.store.now != nil
	r.store.mu.Unlock()
	if open {
		t.Error("who waits has the registry open")
	}
	for _, l := range leave {
		l()
	}
	asked.Wait()
}

// Who compares large models waits for who does already, without keeping others from their pages,
// and no more than the last comparison is held in memory.
func TestComparisonsTakeTurns(t *testing.T) {
	path := small(t)
	config, list := large(t, 20, 16)
	for i := range 6 {
		for k := range list {
			list[k].Hash[i] ^= 1
		}
		put(t, path, registry.Revision{Model: fmt.Sprint("big", i), Config: config}, list)
	}
	r := serve(t, path)
	leave, err := r.compares.enter(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var compared sync.WaitGroup
	for range 2 * maxAtOnce {
		compared.Go(func() { r.want("/model/hy/compare?with=broken") })
	}
	for len(r.compares.waiting) < maxComparing+2*maxAtOnce {
		runtime.Gosched()
	}
	r.want("/model/hy")
	leave()
	compared.Wait()

	held := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	r.want("/model/big0@1/compare?with=big1", "changed")
	one := held()
	for i := range 6 {
		r.want(fmt.Sprintf("/model/big%d@1/compare?with=big%d", i, (i+1)%6), "changed")
	}
	if all := held(); all > one+one/4 {
		t.Errorf("%d KiB are held after a comparison, %d KiB after six", one>>10, all>>10)
	}
}

// More than can wait are sent away, and who goes away gives its place up.
func TestGate(t *testing.T) {
	g := newGate(maxAtOnce, maxWaiting)
	var leave []func()
	for range maxAtOnce {
		l, err := g.enter(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wait sync.WaitGroup
	for range maxWaiting {
		wait.Go(func() {
			if _, err := g.enter(ctx); !errors.Is(err, context.Canceled) {
				t.Errorf("%v", err)
			}
		})
	}
	for len(g.waiting) < cap(g.waiting) {
		runtime.Gosched()
	}
	if _, err := g.enter(t.Context()); !errors.Is(err, errBusy) {
		t.Errorf("one too many: %v", err)
	}
	cancel()
	wait.Wait()
	for _, l := range leave {
		l()
	}
	if len(g.waiting) != 0 || len(g.turns) != 0 {
		t.Errorf("%d and %d places are lost", len(g.waiting), len(g.turns))
	}
}

// While pages are asked for without end, another process writes, and every page is of one
// moment: all revisions it lists are numbered without a hole, and its head counts them.
func TestSnapshots(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	config, list := checkpoint(t, "hunyuan")
	put(t, path, registry.Revision{Model: "hy", Config: config}, list)
	r := serve(t, path)
	const more = 8
	stop := make(chan struct{})
	var readers sync.WaitGroup
	var pages atomic.Int64
	counts := regexp.MustCompile(`, (\d+) revisions`)
	for range 2 * maxAtOnce {
		readers.Go(func() {
			last := 1
			for {
				select {
				case <-stop:
					return
				default:
				}
				status, page := r.get("/")
				n := strings.Count(page, `class="tree"`)
				said := 1
				if m := counts.FindStringSubmatch(page); m != nil {
					fmt.Sscan(m[1], &said)
				}
				if status == http.StatusServiceUnavailable { // a writer took its time
					continue
				}
				if status != http.StatusOK || n != said || n < last || !strings.Contains(page, fmt.Sprintf(">hy@%d<", n)) || strings.Contains(page, fmt.Sprintf(">hy@%d<", n+1)) {
					t.Errorf("%d: %d revisions of %d, and there were %d", status, n, said, last)
					return
				}
				last = n
				pages.Add(1)
			}
		})
	}
	for i := range more { // opens, waits for the lock and writes, as another process would
		for seen := pages.Load(); pages.Load() < seen+4*maxAtOnce && !t.Failed(); {
			runtime.Gosched()
		}
		put(t, path, registry.Revision{Model: "hy", Config: config, Root: fmt.Sprint("/models/", i)}, list)
	}
	close(stop)
	readers.Wait()
	r.want("/", fmt.Sprintf("%d revisions", more+1))
}

// Pages that follow each other without a gap do not keep a writer out: after a while who comes
// waits until all others are gone and a writer had time to look.
func TestWriterGetsIn(t *testing.T) {
	path := small(t)
	s := &store{path: path, patience: patience}
	first, err := s.borrow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	first.since = first.since.Add(-maxHeld)
	second, err := s.borrow(t.Context()) // the last that is let in
	if err != nil {
		t.Fatal(err)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.borrow(gone); !errors.Is(err, context.Canceled) {
		t.Fatalf("the third is let in, and a writer never: %v", err)
	}
	if err := errors.Join(s.giveBack(first), s.giveBack(second)); err != nil {
		t.Fatal(err)
	}
	w, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	third, err := s.borrow(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.giveBack(third); err != nil {
		t.Fatal(err)
	}
}

// A registry that is being written gives a page that asks again, and those who waited for the
// same writer do not wait one after the other.
func TestLocked(t *testing.T) {
	path := small(t)
	r := serve(t, path)
	w, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var waits atomic.Int64
	r.store.opening = func() { waits.Add(1) }
	r.store.patience = 200 * time.Millisecond
	for range 2 * maxAtOnce {
		all.Go(func() {
			status, page := r.get("/")
			if status != http.StatusServiceUnavailable || !strings.Contains(page, "data-again") || !strings.Contains(page, "it is writing") {
				t.Errorf("%d\n%s", status, page)
			}
		})
	}
	all.Wait()
	if n := waits.Load(); n > 3 {
		t.Errorf("the file was waited for %d times", n)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r.want("/", "5 models")
}

// What was remembered of a registry is not shown of another state of it.
func TestRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "registry.db")
	config, list := checkpoint(t, "hunyuan")
	lost := "layers.3.mlp.experts.2.up_proj"
	other := slices.Clone(list) // as many tensors of as many bytes, one of them under a wrong name
	for i := range other {
		other[i].Path = strings.Replace(other[i].Path, lost, "layers.3.mlp.experts.2.upp_proj", 1)
	}
	put(t, path, registry.Revision{Model: "hy", Config: config}, other)
	r := serve(t, path)
	if page := r.want("/model/hy@1", " gap"); strings.Contains(page, "other@1") {
		t.Error("a model that is not there is named")
	}
	r.want("/part/model/hy@1", " gap")
	put(t, path, registry.Revision{Model: "other", Config: config}, list)
	r.want("/model/hy@1", "as other@1 has here")
	reg, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := reg.Remove("hy"); err != nil {
		t.Fatal(err)
	}
	if err := reg.Close(); err != nil {
		t.Fatal(err)
	}
	put(t, path, registry.Revision{Model: "hy", Config: config, Created: time.Unix(1_800_000_000, 0)}, list)
	r.want("/part/model/hy@1", "whole")
}

// A server that nobody asks ends, and one that is asked does not.
func TestIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		i := idle{after: time.Hour}
		ctx, stop := i.watch(t.Context())
		defer stop()
		for range 5 {
			time.Sleep(50 * time.Minute) // of a clock that stands still
			i.begin()()
		}
		end := i.begin()
		time.Sleep(3 * time.Hour)
		if ctx.Err() != nil {
			t.Fatal("ended while a request was answered")
		}
		end()
		time.Sleep(59 * time.Minute)
		if ctx.Err() != nil {
			t.Fatal("ended too early")
		}
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if ctx.Err() == nil {
			t.Error("still there")
		}
	})
	synctest.Test(t, func(t *testing.T) {
		i := idle{}
		ctx, stop := i.watch(t.Context())
		defer stop()
		time.Sleep(1000 * time.Hour)
		if ctx.Err() != nil {
			t.Error("ended though it never should")
		}
	})
}
