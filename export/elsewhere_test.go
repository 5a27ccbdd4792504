package export_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/ingest/ingesttest"
	"wreg/ingest/place"
	"wreg/ingest/places"
	"wreg/ingest/remote"
	"wreg/ingest/remote/hubtest"
	"wreg/ingest/spool"
	"wreg/registry"
	"wreg/registry/tensor"
	"wreg/synth"
)

// elsewhere serves a folder as acme/tiny, with what goes wrong, and has nothing remembered of it.
func elsewhere(t *testing.T, dir string, faults ...hubtest.Fault) *hubtest.Hub {
	t.Helper()
	h, err := hubtest.Start(hubtest.Options{Repos: map[string]fs.FS{"acme/tiny": os.DirFS(dir)}, Faults: faults})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	t.Setenv("HF_ENDPOINT", h.URL)
	t.Setenv("HF_HUB_OFFLINE", "")
	t.Setenv("TRANSFORMERS_OFFLINE", "")
	t.Setenv("HF_HOME", t.TempDir())
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	return h
}

// registerFar ingests hf://acme/tiny into the registry of a folder.
func registerFar(t *testing.T, dir string) {
	t.Helper()
	at, err := places.Open(t.Context(), "hf://acme/tiny", places.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ingest.OpenPlace(t.Context(), at, ingest.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := registry.Open(filepath.Join(dir, "registry.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.Put(context.Background(), registry.Revision{Model: "m", Root: c.Path(), Config: c.Config(), Files: c.Files()}, c.Tensors()); err != nil {
		t.Fatal(err)
	}
}

// planFar plans the export of what registerFar ingested.
func planFar(t *testing.T, o export.Options) (p *export.Plan, err error) {
	t.Helper()
	dir := t.TempDir()
	registerFar(t, dir)
	return planIn(t, dir, o)
}

// planIn plans the export of model m of a folder's registry.
func planIn(t *testing.T, dir string, o export.Options) (p *export.Plan, err error) {
	t.Helper()
	r, err := registry.Open(filepath.Join(dir, "registry.db"), registry.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if viewed := r.View(func(s *registry.Snapshot) error {
		v, found := s.Find("m")
		if found != nil {
			return found
		}
		p, err = export.New(t.Context(), s, v, o)
		return nil
	}); viewed != nil {
		t.Fatal(viewed)
	}
	return p, err
}

// golden writes a golden's source in shards.
func golden(t *testing.T, name string, shard int64) string {
	t.Helper()
	c, err := synth.Golden(filepath.Join(goldens, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := c.Write(dir, synth.Options{ShardBytes: shard, Tokenizer: 128}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// sameBut compares two exports, but for their receipts.
func sameBut(t *testing.T, got, want string) {
	t.Helper()
	list := func(dir string) (names []string) {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != receipt.Name {
				names = append(names, e.Name())
			}
		}
		return names
	}
	if !slices.Equal(list(got), list(want)) {
		t.Fatalf("files %q, want %q", list(got), list(want))
	}
	for _, name := range list(want) {
		a, err := os.ReadFile(filepath.Join(got, name))
		b, err2 := os.ReadFile(filepath.Join(want, name))
		if err != nil || err2 != nil || !bytes.Equal(a, b) {
			t.Errorf("%s differs (%v, %v)", name, err, err2)
		}
	}
}

// An export from an address is, byte for byte, that of the folder which lies there.
func TestElsewhere(t *testing.T) {
	for _, c := range []struct {
		golden string
		o      export.Options
	}{
		{"hunyuan", export.Options{}},
		{"hunyuan", export.Options{Quantize: &export.Quantize{}}},
		{"llama", export.Options{Target: "hf"}},
		{"deepseek_v3", export.Options{}},
		{"gpt_oss", export.Options{}},
	} {
		t.Run(c.golden, func(t *testing.T) {
			dir := golden(t, c.golden, 300_000)
			o := c.o
			o.NoSync, o.Out = true, filepath.Join(t.TempDir(), "here")
			want, _ := exported(t, dir, o)
			elsewhere(t, dir)
			o.Out = filepath.Join(t.TempDir(), "there")
			shards, _ := filepath.Glob(filepath.Join(dir, "*.safetensors"))
			o.Progress = func(done, total int64) {
				kept, _ := filepath.Glob(filepath.Join(filepath.Dir(o.Out), ".there.wreg-partial", spool.Prefix+"-0*"))
				if done == total && len(shards) > 2 && len(kept) == len(shards) {
					t.Error("all that was read is still kept")
				}
			}
			p, err := planFar(t, o)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			sameBut(t, o.Out, want)
			if v, err := receipt.Verify(t.Context(), o.Out, receipt.Options{}); err != nil || len(v.Faults) > 0 {
				t.Error(v, err)
			}
		})
	}
}

// Killed while it landed, when nothing but the receipt is left to say what was done, an export
// lands without a byte of the weights being read again.
func TestElsewhereLanding(t *testing.T) {
	dir := golden(t, "hunyuan", 300_000)
	h := elsewhere(t, dir)
	o := export.Options{NoSync: true, Out: filepath.Join(t.TempDir(), "out")}
	p, err := planFar(t, o)
	must(t, err)
	first, err := p.Run(t.Context())
	must(t, err)
	must(t, os.Rename(o.Out, filepath.Join(filepath.Dir(o.Out), ".out.wreg-partial")))
	o.Resume = true
	p, err = planFar(t, o)
	must(t, err)
	h.Forget()
	again, err := p.Run(t.Context())
	must(t, err)
	if n := fromCDN(h); n > 0 || !reflect.DeepEqual(first.Inputs, again.Inputs) {
		t.Errorf("%d bytes were read; %+v, want %+v", n, again.Inputs, first.Inputs)
	}
}

// Where tensors are not stretches of their file, it is kept whole until all is made of it.
func TestElsewhereFormats(t *testing.T) {
	torch := func(one bool) string {
		dir, own, shared, storages, all := inTorch(t)
		data := ingesttest.Torch(own, storages...)
		if one {
			data = ingesttest.Torch(shared, ingesttest.Record{Data: all})
		}
		must(t, os.WriteFile(filepath.Join(dir, "pytorch_model.bin"), data, 0o666))
		return dir
	}
	for name, dir := range map[string]string{"torch": torch(false), "torch, one storage": torch(true),
		"gguf": writeGGUF(t, fmt.Sprintf(ggufConfig, "llama"), tinyGGUF(kindQ8_0))} {
		want, _ := exported(t, dir, export.Options{NoSync: true})
		elsewhere(t, dir)
		o := export.Options{NoSync: true, Out: filepath.Join(t.TempDir(), "out")}
		p, err := planFar(t, o)
		must(t, err)
		if _, err := p.Run(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		sameBut(t, o.Out, want)
	}
}

// fromCDN counts the bytes of weights that a hub sent.
func fromCDN(h *hubtest.Hub) (n int64) {
	for _, e := range h.Log() {
		if e.Port == "cdn" {
			n += e.Bytes
		}
	}
	return n
}

// A file that is not what the hub declares is read once more; when it is no better then, the
// export is refused with both digests and does not land, and --resume reads that file again,
// and no other.
func TestElsewhereLies(t *testing.T) {
	dir := golden(t, "hunyuan", 300_000)
	want, _ := exported(t, dir, export.Options{NoSync: true})
	shards, _ := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	second := filepath.Base(shards[1])
	for _, first := range []int{1, 0} { // once, or always
		h := elsewhere(t, dir)
		o := export.Options{NoSync: true, Out: filepath.Join(t.TempDir(), "out")}
		p, err := planFar(t, o)
		if err != nil {
			t.Fatal(err)
		}
		h.Faults(hubtest.Fault{Kind: "changed-silent", Port: "cdn", Path: second, First: first})
		_, err = p.Run(t.Context())
		if first == 0 {
			lie, ok := errors.AsType[*remote.DigestError](err)
			if !ok || lie.Name != second || lie.Want != h.SHA256("acme/tiny", second) || lie.Got == lie.Want {
				t.Fatal(err)
			}
			if _, err := os.Stat(o.Out); err == nil {
				t.Error("it landed")
			}
			h.Faults()
			h.Forget()
			o.Resume = true
			if p, err = planFar(t, o); err != nil {
				t.Fatal(err)
			}
			_, err = p.Run(t.Context())
			if n := fromCDN(h); n > 300_000+1<<20/2 {
				t.Errorf("%d bytes were read again", n)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		sameBut(t, o.Out, want)
	}
}

// lying is a place of which one file has a byte changed the first time that it is streamed. Its
// last byte comes when something was made of the changed one.
type lying struct {
	place.Place
	name string
	made chan struct{}
	told atomic.Bool
}

type lyingBlob struct {
	place.Blob
	l *lying
}

func (l *lying) Open(ctx context.Context, name string) (place.Blob, error) {
	b, err := l.Place.Open(ctx, name)
	if err != nil || name != l.name {
		return b, err
	}
	return &lyingBlob{b, l}, nil
}

func (b *lyingBlob) Stream(_ context.Context, off int64, _ bool) io.ReadCloser {
	info, err := b.Stat()
	data := make([]byte, info.Size)
	if err == nil {
		err = tensor.ReadFull(b.Blob, data, 0)
	}
	if err != nil || b.l.told.Swap(true) {
		return io.NopCloser(io.MultiReader(bytes.NewReader(data[off:]), iotest.ErrReader(cmp.Or(err, io.EOF))))
	}
	data[len(data)/10] ^= 1
	last := len(data) - 1
	return io.NopCloser(io.MultiReader(bytes.NewReader(data[off:last]), waiting(b.l.made), bytes.NewReader(data[last:])))
}

// waiting ends when the channel is closed.
type waiting chan struct{}

func (w waiting) Read([]byte) (int, error) {
	<-w
	return 0, io.EOF
}

// What was made of a file before it turned out not to be what is declared is made again.
func TestElsewhereMadeAgain(t *testing.T) {
	dir := golden(t, "hunyuan", 300_000)
	want, _ := exported(t, dir, export.Options{NoSync: true})
	elsewhere(t, dir)
	shards, _ := filepath.Glob(filepath.Join(dir, "*.safetensors"))
	l := &lying{name: filepath.Base(shards[0]), made: make(chan struct{})}
	var once sync.Once
	o := export.Options{NoSync: true, Out: filepath.Join(t.TempDir(), "out"),
		Open: func(ctx context.Context, address string) (at place.Place, err error) {
			l.Place, err = places.Open(ctx, address, places.Options{})
			return l, err
		},
		Progress: func(done, total int64) {
			if done > total/6 { // of three shards: half of the first
				once.Do(func() { close(l.made) })
			}
		},
	}
	p, err := planFar(t, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !l.told.Load() {
		t.Error("nobody was lied to")
	}
	sameBut(t, o.Out, want)
}

// The receipt of an export from elsewhere names each file that was read with the digest that
// is declared of it, and the one that it has.
func TestElsewhereReceipt(t *testing.T) {
	dir := golden(t, "hunyuan", 300_000)
	h := elsewhere(t, dir)
	p, err := planFar(t, export.Options{NoSync: true, Out: filepath.Join(t.TempDir(), "out")})
	if err != nil {
		t.Fatal(err)
	}
	r, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	weights := 0
	for _, f := range r.Inputs {
		if !strings.HasSuffix(f.Name, ".safetensors") {
			continue
		}
		weights++
		if sum := h.SHA256("acme/tiny", f.Name); f.SHA256 != sum || f.Declared != "sha256:"+sum || f.Trust != "verified" {
			t.Errorf("%+v", f)
		}
	}
	if weights < 3 || !strings.HasPrefix(r.Root, "hf://acme/tiny@") || h.Leaks() != 0 {
		t.Error(weights, r.Root, h.Leaks())
	}
	if n, most := fromCDN(h), p.Network+int64(weights)*(128<<10); n > most {
		t.Errorf("%d bytes were read, want at most %d", n, most)
	}
}

// A commit that is not there any more is said to be.
func TestElsewhereGone(t *testing.T) {
	dir, reg := golden(t, "llama", 300_000), t.TempDir()
	elsewhere(t, dir)
	registerFar(t, reg)
	elsewhere(t, golden(t, "hunyuan", 300_000))
	_, err := planIn(t, reg, export.Options{Out: filepath.Join(t.TempDir(), "out")})
	if err == nil || !strings.Contains(err.Error(), "hf://acme/tiny@") {
		t.Error(err)
	}
	for _, o := range []export.Options{{Part: 1, Parts: 2}, {Finish: true}} {
		o.Out = filepath.Join(t.TempDir(), "out")
		if _, err := planIn(t, reg, o); err == nil || !strings.Contains(err.Error(), "--part and --finish") {
			t.Error(err)
		}
	}
}
