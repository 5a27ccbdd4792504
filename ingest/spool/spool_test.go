package spool

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/registry/tensor"
)

// far is a place in memory that counts what is read of it.
type far struct {
	files map[string][]byte
	lies  map[string]int // how often a file is still read with a byte changed
	fresh []string       // files that were read by connections of their own
	left  atomic.Int64   // bytes until the connection breaks for good; negative: it does not
	read  atomic.Int64
}

func (f *far) List(context.Context) (list []place.Entry, err error) {
	for name, data := range f.files {
		sum := sha256.Sum256(data)
		list = append(list, place.Entry{Name: name, Size: int64(len(data)), Digest: "sha256:" + hex.EncodeToString(sum[:])})
	}
	slices.SortFunc(list, func(a, b place.Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list, nil
}
func (f *far) Has(name string) bool { return f.files[name] != nil }
func (f *far) Pin() string          { return "far" }
func (f *far) Close() error         { return nil }
func (f *far) Open(_ context.Context, name string) (place.Blob, error) {
	if !f.Has(name) {
		return nil, fs.ErrNotExist
	}
	return &farBlob{f, name}, nil
}

type farBlob struct {
	f    *far
	name string
}

func (b *farBlob) Close() error { return nil }
func (b *farBlob) Stat() (tensor.File, error) {
	return tensor.File{Name: b.name, Size: int64(len(b.f.files[b.name]))}, nil
}
func (b *farBlob) ReadAt(p []byte, off int64) (int, error) {
	return bytes.NewReader(b.f.files[b.name]).ReadAt(p, off)
}

var errBroken = errors.New("the connection broke")

func (b *farBlob) Stream(_ context.Context, off int64, afresh bool) io.ReadCloser {
	data := b.f.files[b.name]
	if afresh {
		b.f.fresh = append(b.f.fresh, b.name)
	}
	if b.f.lies[b.name] > 0 {
		b.f.lies[b.name]--
		data = slices.Clone(data)
		data[len(data)-1] ^= 1
	}
	return io.NopCloser(&counted{b.f, bytes.NewReader(data[off:])})
}

type counted struct {
	f *far
	r io.Reader
}

func (c *counted) Read(p []byte) (int, error) {
	if left := c.f.left.Load(); left == 0 {
		return 0, errBroken
	} else if left > 0 {
		p = p[:min(int64(len(p)), left)]
	}
	n, err := c.r.Read(p)
	if c.f.left.Load() > 0 {
		c.f.left.Add(-int64(n))
	}
	c.f.read.Add(int64(n))
	return n, err
}

// scene is a random place and what is to be made of it.
type scene struct {
	far  *far
	list []place.Entry
	jobs [][]Range
	sums []Range
}

func random(r *rand.Rand) *scene {
	x := &scene{far: &far{files: map[string][]byte{}, lies: map[string]int{}}}
	x.far.left.Store(-1)
	for i := range 1 + r.Intn(5) {
		data := make([]byte, 1+r.Intn(400))
		r.Read(data)
		x.far.files[fmt.Sprintf("f%d", i)] = data
	}
	x.list, _ = x.far.List(context.Background())
	stretch := func() Range {
		e := x.list[r.Intn(len(x.list))]
		off := r.Int63n(e.Size)
		return Range{e.Name, off, r.Int63n(e.Size - off + 1)}
	}
	for range 1 + r.Intn(30) {
		var job []Range
		for range r.Intn(4) {
			job = append(job, stretch())
		}
		x.jobs = append(x.jobs, job)
	}
	for range r.Intn(3) {
		x.sums = append(x.sums, stretch())
	}
	return x
}

func (x *scene) plan(t *testing.T, ahead int64, holes bool) *Plan {
	p, err := NewPlan(x.list, x.jobs, x.sums, holes)
	if err != nil {
		t.Fatal(err)
	}
	p.ahead = ahead
	return p
}

func dir(t *testing.T) *os.Root {
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

// work does jobs by some workers, in order, each as soon as its bytes are there. It gives
// what Run gave. A job that fails is not done.
func (x *scene) work(t *testing.T, s *Spool, p *Plan, done []bool, r *rand.Rand) error {
	t.Helper()
	blobs := map[string]place.Blob{}
	for _, e := range x.list {
		b, err := s.Open(t.Context(), e.Name)
		if err != nil {
			t.Fatal(err)
		}
		blobs[e.Name] = b
	}
	var todo []int
	for _, j := range p.Order() {
		if !done[j] {
			todo = append(todo, j)
		}
	}
	queue := make(chan int, len(todo))
	for _, j := range todo {
		queue <- j
	}
	close(queue)
	var mu sync.Mutex
	var all sync.WaitGroup
	for range 1 + r.Intn(4) {
		backwards := r.Intn(2) == 0
		all.Go(func() {
			for j := range queue {
				ranges := slices.Clone(x.jobs[j])
				if backwards {
					slices.Reverse(ranges)
				}
				for _, c := range ranges {
					got := make([]byte, c.N)
					if _, err := blobs[c.File].ReadAt(got, c.Off); c.N > 0 && err != nil {
						return
					}
					if !bytes.Equal(got, x.far.files[c.File][c.Off:c.Off+c.N]) && x.far.lies[c.File] == 0 {
						t.Errorf("job %d: %v: other bytes", j, c)
					}
				}
				mu.Lock()
				done[j] = true
				mu.Unlock()
				s.Done(j)
			}
		})
	}
	err := s.Run(t.Context())
	all.Wait()
	return err
}

// Whatever is read of which files, nothing waits for ever, no more is kept than was planned,
// and every job and sum has the right bytes; files that nothing needs are not read.
func TestPlans(t *testing.T) {
	for seed := range int64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewSource(seed))
			x := random(r)
			holes := r.Intn(4) > 0
			p := x.plan(t, 1+r.Int63n(8), holes)
			s := Over(x.far)
			defer s.Close()
			root := dir(t)
			done := make([]bool, len(x.jobs))
			if err := s.Begin(root, p, done, Options{}); err != nil {
				t.Fatal(err)
			}
			if err := x.work(t, s, p, done, r); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if s.Most() > p.Disk() {
				t.Errorf("seed %d: %d bytes were kept, planned were %d", seed, s.Most(), p.Disk())
			}
			if x.far.read.Load() != p.Network() {
				t.Errorf("seed %d: %d bytes were read, planned were %d", seed, x.far.read.Load(), p.Network())
			}
			for _, c := range x.sums {
				h, ok := s.Sum(c)
				if want := sha256.Sum256(x.far.files[c.File][c.Off : c.Off+c.N]); !ok || h != want {
					t.Errorf("seed %d: %v: sum %v, %v", seed, c, h, ok)
				}
			}
			if left, err := fs.Glob(root.FS(), Prefix+"-0*"); err != nil || len(left) > 0 {
				t.Errorf("seed %d: %q are left (%v)", seed, left, err)
			}
		})
	}
}

// However often it breaks off, what came is not read again but for what was not noted yet;
// where what is kept was damaged it is, and the bytes are right.
func TestResume(t *testing.T) {
	for seed := range int64(200) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewSource(seed))
			x := random(r)
			p := x.plan(t, 1+r.Int63n(8), true)
			root := dir(t)
			done := make([]bool, len(x.jobs))
			damage, breaks := r.Intn(3) == 0, int64(0)
			const every = 16
			for {
				s := Over(x.far)
				s.every = every
				if err := s.Begin(root, p, done, Options{ID: "p", Sync: seed == 1}); err != nil {
					t.Fatal(err)
				}
				x.far.left.Store(r.Int63n(200))
				if breaks >= 20 {
					x.far.left.Store(-1)
				}
				err := x.work(t, s, p, done, r)
				if proofs := s.Proofs(); err == nil && len(proofs) != len(p.files) {
					t.Errorf("seed %d: %v", seed, proofs)
				}
				if s.Most() > p.Disk() {
					t.Errorf("seed %d: %d bytes were kept, planned were %d", seed, s.Most(), p.Disk())
				}
				s.Close()
				if err == nil {
					break
				} else if lie, ok := errors.AsType[*Mismatch](err); ok && damage {
					for j := range done {
						done[j] = done[j] && !p.Reads(j, lie.Name)
					}
				} else if !errors.Is(err, errBroken) {
					t.Fatalf("seed %d: %v", seed, err)
				}
				if breaks++; breaks < 20 && damage {
					spoil(t, root, r)
				}
			}
			if again := x.far.read.Load() - p.Network(); !damage && again > breaks*(every+8) {
				t.Errorf("seed %d: %d of %d bytes were read again after %d breaks", seed, again, p.Network(), breaks)
			}
		})
	}
}

// spoil changes a byte of a file that is kept, or of what was noted.
func spoil(t *testing.T, root *os.Root, r *rand.Rand) {
	names, err := filepath.Glob(filepath.Join(root.Name(), Prefix+"*"))
	if err != nil || len(names) == 0 {
		return
	}
	name := names[r.Intn(len(names))]
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if len(data) > 0 {
		data[r.Intn(len(data))] ^= 0x10
	}
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

// A file that is not what is declared of it is read once more, and refused then; what was
// kept of it the first time is not used.
func TestMismatch(t *testing.T) {
	for _, lies := range []int{1, 2} {
		x := &scene{far: &far{files: map[string][]byte{"a": make([]byte, 100), "b": bytes.Repeat([]byte("b"), 100)}, lies: map[string]int{"b": lies}}}
		x.far.left.Store(-1)
		x.list, _ = x.far.List(t.Context())
		x.jobs = [][]Range{{{"a", 0, 10}, {"b", 90, 10}}, {{"b", 0, 10}}, {{"a", 50, 50}}}
		p := x.plan(t, 4, true)
		s := Over(x.far)
		defer s.Close()
		root, done, r := dir(t), make([]bool, 3), rand.New(rand.NewSource(1))
		if err := s.Begin(root, p, done, Options{ID: "p"}); err != nil {
			t.Fatal(err)
		}
		lie, ok := errors.AsType[*Mismatch](x.work(t, s, p, done, r))
		if !ok || lie.Name != "b" || len(s.Proofs()) != 1 {
			t.Fatal(lie, s.Proofs())
		}
		for j := range done {
			done[j] = done[j] && !p.Reads(j, lie.Name)
		}
		s.Doubt(lie.Name)
		if err := s.Begin(root, p, done, Options{ID: "p"}); err != nil {
			t.Fatal(err)
		}
		err := x.work(t, s, p, done, r)
		if _, refused := errors.AsType[*remote.DigestError](err); refused != (lies == 2) || (err == nil) != (lies == 1) {
			t.Errorf("%d lies: %v", lies, err)
		}
		if !slices.Equal(x.far.fresh, []string{"b"}) {
			t.Errorf("%d lies: %q came afresh", lies, x.far.fresh)
		}
		if want := map[int]int{1: 2, 2: 1}[lies]; len(s.Proofs()) != want {
			t.Errorf("%d lies: %v", lies, s.Proofs())
		}
	}
}

// What lies outside of a file, or in none, is no plan.
func TestNoPlan(t *testing.T) {
	list := []place.Entry{{Name: "a", Size: 10}}
	for _, r := range []Range{{"b", 0, 1}, {"a", -1, 2}, {"a", 9, 2}, {"a", 11, 0}, {"a", 1, 1<<63 - 1}} {
		if _, err := NewPlan(list, nil, []Range{r}, true); err == nil {
			t.Errorf("%v", r)
		}
		if _, err := NewPlan(list, [][]Range{{r}}, nil, true); err == nil && r.N > 0 {
			t.Errorf("%v", r)
		}
	}
}
