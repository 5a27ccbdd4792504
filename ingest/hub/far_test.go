package hub

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"wreg/ingest"
	"wreg/ingest/remote"
	"wreg/ingest/remote/hubtest"
)

// sparse is a file of zeros with some stretches in it.
type sparse struct {
	size  int64
	parts map[int64][]byte
}

// ReadAt implements io.ReaderAt.
func (s *sparse) ReadAt(p []byte, off int64) (int, error) {
	n := max(0, min(int64(len(p)), s.size-off))
	clear(p[:n])
	for at, data := range s.parts {
		if from, to := max(at, off), min(at+int64(len(data)), off+n); from < to {
			copy(p[from-off:to-off], data[from-at:])
		}
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

// Write appends, as a zip is written.
func (s *sparse) Write(p []byte) (int, error) {
	if len(bytes.Trim(p, "\x00")) > 0 {
		s.parts[s.size] = bytes.Clone(p)
	}
	s.size += int64(len(p))
	return len(p), nil
}

// repo is a repository of small files, and of sparse ones.
type repo struct {
	fstest.MapFS
	large map[string]*sparse
}

func repository(small map[string]string, large map[string]*sparse) repo {
	r := repo{fstest.MapFS{}, large}
	for name, data := range small {
		r.MapFS[name] = &fstest.MapFile{Data: []byte(data)}
	}
	for name := range large {
		r.MapFS[name] = &fstest.MapFile{}
	}
	return r
}

func (r repo) Open(name string) (fs.File, error) {
	f, err := r.MapFS.Open(name)
	if s := r.large[name]; s != nil && err == nil {
		return &opened{f, s, io.NewSectionReader(s, 0, s.size), name}, nil
	}
	return f, err
}

// Stat has the size of the sparse file.
func (r repo) Stat(name string) (fs.FileInfo, error) {
	f, err := r.Open(name)
	if err != nil {
		return nil, err
	}
	return f.Stat()
}

type opened struct {
	fs.File
	s *sparse
	*io.SectionReader
	name string
}

func (o *opened) Read(p []byte) (int, error) { return o.SectionReader.Read(p) }
func (o *opened) SHA256() string             { return sha(fmt.Sprint(o.name, o.s.size)) }
func (o *opened) Stat() (fs.FileInfo, error) {
	info, err := o.File.Stat()
	return sized{info, o.s.size}, err
}

type sized struct {
	fs.FileInfo
	size int64
}

func (s sized) Size() int64 { return s.size }

// far serves acme/tiny, in an environment in which that is the hub. Reading it makes a Client for it.
func far(t *testing.T, files fs.FS) (h *hubtest.Hub, read func(address string) (*ingest.Checkpoint, error)) {
	t.Helper()
	blank(t, t.TempDir())
	h, err := hubtest.Start(hubtest.Options{Repos: map[string]fs.FS{"acme/tiny": files}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	t.Setenv("HF_ENDPOINT", h.URL)
	c := remote.New(remote.Options{})
	t.Cleanup(c.Close)
	return h, func(address string) (*ingest.Checkpoint, error) {
		p, err := Open(context.Background(), c, address)
		if err != nil {
			t.Fatal(err)
		}
		checkpoint, err := ingest.OpenPlace(context.Background(), p, ingest.Options{})
		if err == nil {
			t.Cleanup(func() { checkpoint.Close() })
		}
		return checkpoint, err
	}
}

// ranges counts the ranges that the CDN sent, and their bytes.
func ranges(h *hubtest.Hub) (n int, size int64) {
	for _, e := range h.Log() {
		if e.Port == "cdn" {
			n++
			size += e.Bytes
		}
	}
	return n, size
}

// torchZip is what torch.save makes of n tensors, each second one large.
func torchZip(t *testing.T, n int, sizeOf func(i int) int) *sparse {
	t.Helper()
	var pickle bytes.Buffer
	short := func(s string) { fmt.Fprintf(&pickle, "X%s%s", le32(len(s)), s) }
	number := func(n int) { fmt.Fprintf(&pickle, "J%s", le32(n)) }
	pickle.WriteString("\x80\x02}(")
	for i := range n {
		size := sizeOf(i)
		short(fmt.Sprintf("layers.%d.weight", i))
		pickle.WriteString("ctorch._utils\n_rebuild_tensor_v2\n((")
		short("storage")
		pickle.WriteString("ctorch\nByteStorage\n")
		short(fmt.Sprint(i))
		short("cpu")
		number(size)
		pickle.WriteString("tQ")
		number(0)
		fmt.Fprint(&pickle, "(")
		number(size)
		pickle.WriteString("t(")
		number(1)
		pickle.WriteString("t\x89ccollections\nOrderedDict\n)RtR")
	}
	pickle.WriteString("u.")
	file := &sparse{parts: map[int64][]byte{}}
	z := zip.NewWriter(file)
	z.SetOffset(0)
	add := func(name string, data []byte) {
		w, err := z.CreateHeader(&zip.FileHeader{Name: "archive/" + name}) // with a data descriptor, as torch's
		if err == nil {
			_, err = w.Write(data)
		}
		if err == nil {
			err = z.Flush()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	add("data.pkl", pickle.Bytes())
	add("byteorder", []byte("little"))
	for i := range n {
		add(fmt.Sprintf("data/%d", i), make([]byte, sizeOf(i)))
	}
	add("version", []byte("3\n"))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

func le32(n int) string {
	var b [4]byte
	binary.LittleEndian.PutUint32(b[:], uint32(n))
	return string(b[:])
}

// TestTorchZip: of the records of a zip the local headers are asked for at once, near ones together, and no
// record is read; again nothing is.
func TestTorchZip(t *testing.T) {
	const n, large = 1000, 200 << 10
	file := torchZip(t, n, func(i int) int { return 64 + i%2*large })
	h, read := far(t, repository(map[string]string{"config.json": `{"model_type":"x"}`}, map[string]*sparse{"pytorch_model.bin": file}))
	c, err := read("hf://acme/tiny")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Tensors()) != n || c.Tensors()[1].Bytes < 64 {
		t.Fatal(len(c.Tensors()))
	}
	// The beginning, the end and the directory, and a range for each large record.
	got, size := ranges(h)
	if got > n/2+5 || size > 2<<20 {
		t.Errorf("%d ranges, %d bytes of %d", got, size, file.size)
	}
	h.Forget()
	if c, err = read("hf://acme/tiny"); err != nil || len(c.Tensors()) != n {
		t.Fatal(err)
	}
	if got, _ := ranges(h); got != 0 {
		t.Errorf("%d ranges for what is remembered", got)
	}
}

// TestNPZ: the headers of arrays come with the local headers of their records.
func TestNPZ(t *testing.T) {
	const n, large = 300, 100 << 10
	file := &sparse{parts: map[int64][]byte{}}
	z := zip.NewWriter(file)
	for i := range n {
		w, err := z.CreateHeader(&zip.FileHeader{Name: fmt.Sprintf("layers.%d.weight.npy", i)})
		if err != nil {
			t.Fatal(err)
		}
		head := fmt.Sprintf("{'descr': '|u1', 'fortran_order': False, 'shape': (%d,), }", large)
		head += strings.Repeat(" ", 117-len(head)) + "\n"
		w.Write([]byte("\x93NUMPY\x01\x00" + string([]byte{byte(len(head)), 0}) + head))
		w.Write(make([]byte, large))
		z.Flush()
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	h, read := far(t, repository(nil, map[string]*sparse{"model.npz": file}))
	c, err := read("hf://acme/tiny")
	if err != nil || len(c.Tensors()) != n {
		t.Fatal(err)
	}
	if got, size := ranges(h); got > n+5 || size > 1<<20 {
		t.Errorf("%d ranges, %d bytes of %d", got, size, file.size)
	}
}

// TestAheadFails: a local header that cannot be had is told with its address and range, once.
func TestAheadFails(t *testing.T) {
	file := torchZip(t, 40, func(int) int { return 200 << 10 })
	h, read := far(t, repository(nil, map[string]*sparse{"pytorch_model.bin": file}))
	h.Faults(hubtest.Fault{Kind: "s416", Port: "cdn", Skip: 6})
	_, err := read("hf://acme/tiny")
	wants(t, err, "hf://acme/tiny@main/pytorch_model.bin: bytes ", "the file changed")
}

// TestLargeGGUF: of a file of 62 GB with a vocabulary of 150,000 words a few ranges are read, each four times
// the one before.
func TestLargeGGUF(t *testing.T) {
	var b bytes.Buffer
	u32 := func(n uint32) { binary.Write(&b, binary.LittleEndian, n) }
	u64 := func(n uint64) { binary.Write(&b, binary.LittleEndian, n) }
	text := func(s string) { u64(uint64(len(s))); b.WriteString(s) }
	const words, layers = 151_936, 64
	shapes := map[string][]uint64{"attn_q": {5120, 5120}, "attn_k": {5120, 1024}, "attn_v": {5120, 1024}, "attn_output": {5120, 5120},
		"ffn_gate": {5120, 27648}, "ffn_up": {5120, 27648}, "ffn_down": {27648, 5120}}
	b.WriteString("GGUF")
	u32(3)
	u64(layers * uint64(len(shapes)))
	u64(3)
	text("general.architecture")
	u32(8)
	text("qwen2")
	for _, key := range []string{"tokenizer.ggml.tokens", "tokenizer.ggml.merges"} {
		text(key)
		u32(9)
		u32(8)
		u64(words)
		for i := range words {
			text(fmt.Sprintf("word-%d-%s", i, "abcdefgh"[:i%9]))
		}
	}
	var at uint64
	for i := range layers {
		for name, shape := range shapes {
			text(fmt.Sprintf("blk.%d.%s.weight", i, name))
			u32(2)
			u64(shape[0])
			u64(shape[1])
			u32(1) // float16
			u64(at)
			at += shape[0] * shape[1] * 2
		}
	}
	head := b.Len()
	file := &sparse{int64((head+31)/32*32) + int64(at), map[int64][]byte{0: b.Bytes()}}
	h, read := far(t, repository(nil, map[string]*sparse{"model.gguf": file}))
	c, err := read("hf://acme/tiny/model.gguf")
	if err != nil || len(c.Tensors()) != layers*len(shapes) {
		t.Fatal(err)
	}
	if got, size := ranges(h); got > 5 || size > 12<<20 || file.size < 60e9 || head < 6<<20 {
		t.Errorf("%d ranges, %d bytes of %d, the header has %d", got, size, file.size, head)
	}
}

// safetensors is a file of tensors of a size.
func safetensors(size int64, names ...string) *sparse {
	var fields []string
	for i, name := range names {
		fields = append(fields, fmt.Sprintf(`%q:{"dtype":"U8","shape":[%d],"data_offsets":[%d,%d]}`, name, size, int64(i)*size, int64(i+1)*size))
	}
	text := "{" + strings.Join(fields, ",") + "}"
	head := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	return &sparse{int64(len(head)+len(text)) + int64(len(names))*size, map[int64][]byte{0: append(head, text...)}}
}

// TestIndexNamesMore: a tensor that the index names and no shard holds is found from headers alone; so is a
// shard that is not there, which is asked for by name before that is said.
func TestIndexNamesMore(t *testing.T) {
	const size = 5 << 30
	index := `{"metadata":{},"weight_map":{"a":"model-00001-of-00002.safetensors","b":"model-00002-of-00002.safetensors","lost":"model-00002-of-00002.safetensors"`
	for _, c := range []struct{ index, want string }{
		{index + "}}", "index-missing-tensor model-00002-of-00002.safetensors lost"},
		{index + `,"c":"model-00003-of-00002.safetensors"}}`, "absent-shard model-00003-of-00002.safetensors "},
	} {
		h, read := far(t, repository(map[string]string{"model.safetensors.index.json": c.index}, map[string]*sparse{
			"model-00001-of-00002.safetensors": safetensors(size, "a"), "model-00002-of-00002.safetensors": safetensors(size, "b")}))
		k, err := read("hf://acme/tiny")
		if err != nil {
			t.Fatal(err)
		}
		if got := names(k.Findings()); !slices.Contains(got, c.want) || len(k.Tensors()) != 2 {
			t.Errorf("%q, want %q", got, c.want)
		}
		asked := slices.ContainsFunc(h.Log(), func(e hubtest.Entry) bool { return strings.Contains(e.URL, "/paths-info/") })
		if _, read := ranges(h); read > 1<<20 || asked != strings.HasPrefix(c.want, "absent-shard") {
			t.Errorf("%d bytes of %d were read; asked for by name: %v", read, 2*int64(size), asked)
		}
	}
}
