package ingest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"wreg/ingest/folder"
	"wreg/ingest/gguf"
	"wreg/ingest/npz"
	"wreg/ingest/place"
	"wreg/ingest/safetensors"
	"wreg/ingest/torch"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// headBytes is how much of a file its format is known from.
const headBytes = 512

// opening reads a file's header.
type opening func(ctx context.Context, r io.ReaderAt, size int64, name string) (reader, []tensor.Finding, error)

// format is how a kind of file is known and read.
type format struct {
	name  string
	sniff func(head []byte) bool
	read  opening
	named bool // when no sniff says yes, its error helps most with a file of that extension
}

// formats are tried in order; the first whose sniff says yes reads the file.
var formats = []format{
	{"gguf", func(head []byte) bool { return bytes.HasPrefix(head, []byte("GGUF")) }, with(gguf.Read), true},
	{"npy", npz.SniffNPY, with(npz.ReadNPY), true},
	{"npz", npz.Sniff, with(npz.Read), false},
	{"torch", torch.Sniff, with(torch.Open), false},
	{"safetensors", safetensors.Sniff, with(safetensors.Read), true},
}

// formatOf knows a format by how a file begins; nil when none claims it.
func formatOf(head []byte) *format {
	for i := range formats {
		if formats[i].sniff(head) {
			return &formats[i]
		}
	}
	return nil
}

// foreignFormats are known, too, and not read: by how they begin, from byte at on, or,
// where nothing reads a file, by how its name ends.
var foreignFormats = []struct {
	magic string
	at    int
	ends  []string
	what  string
}{
	{"\x1f\x8b", 0, nil, "compressed with gzip; unpack it and name the weights inside"},
	{"\x28\xb5\x2f\xfd", 0, nil, "compressed with zstd; unpack it and name the weights inside"},
	{"\xfd7zXZ\x00", 0, nil, "compressed with xz; unpack it and name the weights inside"},
	{"BZh", 0, nil, "compressed with bzip2; unpack it and name the weights inside"},
	{"7z\xbc\xaf\x27\x1c", 0, nil, "a 7z archive; unpack it and name the weights inside"},
	{"\x89HDF\r\n\x1a\n", 0, []string{".h5", ".hdf5", ".keras"}, "an HDF5 file, as Keras and TensorFlow write them" + notRead},
	{"tjgg", 0, nil, "a file of the GGML formats before GGUF, which wreg does not read; convert the model again"},
	{"lmgg", 0, nil, "a file of the GGML formats before GGUF, which wreg does not read; convert the model again"},
	{"fmgg", 0, nil, "a file of the GGML formats before GGUF, which wreg does not read; convert the model again"},
	{"TFL3", 4, []string{".tflite"}, "a model of TensorFlow Lite" + notRead},
	{"ET12", 4, []string{".pte"}, "a program of ExecuTorch" + notRead},
	{"", 0, []string{".onnx", ".onnx_data", ".onnx.data", ".ort"}, "a model of ONNX" + notRead},
	{"", 0, []string{".msgpack"}, "weights of Flax" + notRead},
	{"", 0, []string{".pb", ".ckpt.index", ".data-00000-of-00001"}, "a model of TensorFlow" + notRead},
	{"", 0, []string{".mlmodel"}, "a model of Core ML" + notRead},
	{"", 0, []string{"openvino_model.bin"}, "weights of OpenVINO" + notRead},
	{"", 0, []string{".engine", ".plan"}, "an engine of TensorRT" + notRead},
	{"", 0, []string{".ot"}, "weights of rust-bert" + notRead},
}

const notRead = ", which wreg does not read; take the safetensors or torch files that it was made from"

// foreign says what a file is that no format claims, "" when nothing is known of it.
func foreign(name string, head []byte) string {
	for _, f := range foreignFormats {
		if f.magic != "" && len(head) > f.at && bytes.HasPrefix(head[f.at:], []byte(f.magic)) {
			return f.what
		}
	}
	name = strings.ToLower(name)
	for _, f := range foreignFormats {
		if slices.ContainsFunc(f.ends, func(end string) bool { return strings.HasSuffix(name, end) }) {
			return f.what
		}
	}
	return ""
}

// errNoFormat is why a file cannot be read that begins as no format does.
var errNoFormat = errors.New("not a format that wreg knows")

// with makes an opening of a format's own function.
func with[F interface {
	reader
	Findings() []tensor.Finding
}](open func(ctx context.Context, r io.ReaderAt, size int64, name string) (F, error)) opening {
	return func(ctx context.Context, r io.ReaderAt, size int64, name string) (reader, []tensor.Finding, error) {
		f, err := open(ctx, r, size, name)
		if err != nil {
			return nil, nil, err
		}
		return f, f.Findings(), nil
	}
}

// RefusedError is about a file that wreg does not take, for what it holds.
type RefusedError struct {
	File  string
	cause error
}

func (e *RefusedError) Error() string { return e.cause.Error() }

// Unwrap gives the faults.
func (e *RefusedError) Unwrap() error { return e.cause }

// refuse says of what is wrong with a file that it is what it holds, and not that it could
// not be read.
func refuse(name string, err error) error {
	var system syscall.Errno
	if _, path := errors.AsType[*fs.PathError](err); err == nil || path || errors.As(err, &system) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return &RefusedError{name, err}
}

// refusals are the files that an error is about; of anything else, ok is false.
func refusals(err error) (list []*RefusedError, ok bool) {
	switch e := err.(type) {
	case *RefusedError:
		return []*RefusedError{e}, true
	case interface{ Unwrap() []error }:
		for _, c := range e.Unwrap() {
			more, ok := refusals(c)
			if !ok {
				return nil, false
			}
			list = append(list, more...)
		}
		return list, true
	}
	return nil, false
}

// first is the first fault of a file, and how many there are.
func (e *RefusedError) first() string {
	joined, ok := e.cause.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) < 2 {
		return e.Error()
	}
	return fmt.Sprintf("%v; the first of %s", joined.Unwrap()[0], tensor.Count(len(joined.Unwrap()), "fault"))
}

// read finds out the format of an open file and reads its header.
func (f *file) read(ctx context.Context) error {
	err := f.readHeader(ctx)
	if far, ok := errors.AsType[*place.Error](err); ok {
		return far
	}
	return refuse(f.info.Name, err)
}

func (f *file) readHeader(ctx context.Context) error {
	head, err := f.head()
	if err != nil {
		return err
	}
	if size, ok := lfsPointer(head, f.info.Size); ok {
		remedy := "run git lfs pull"
		if _, far := f.disk.(place.Blob); far {
			remedy = "it was uploaded so, without git-lfs: ask who did for the weights"
		}
		return fmt.Errorf("%s: a Git LFS pointer of %d bytes in place of the weights (%s); %s", f.info.Name, f.info.Size, size, remedy)
	}
	if what := pyjson.Instead(head); what != "" {
		return fmt.Errorf("%s: %s", f.info.Name, what)
	}
	if format := formatOf(head); format != nil {
		return f.readAs(ctx, format.name, format.read)
	}
	if text, ok := printable(head); ok {
		return fmt.Errorf("%s: text in place of the weights, %q; download it again", f.info.Name, text)
	}
	if what := foreign(f.info.Name, head); what != "" {
		return fmt.Errorf("%s: %s", f.info.Name, what)
	}
	// No format has claimed the file. What it is called decides nothing but which
	// error helps most.
	for _, format := range formats {
		if format.named && path.Ext(f.info.Name) == "."+format.name {
			return f.readAs(ctx, format.name, format.read)
		}
	}
	if f.info.Size == 0 {
		return fmt.Errorf("%s: the file is empty", f.info.Name)
	}
	return fmt.Errorf("%s: %w: it starts with % x; wreg reads safetensors, torch, gguf, npy and npz", f.info.Name, errNoFormat, head[:min(8, len(head))])
}

// head is how the file begins.
func (f *file) head() ([]byte, error) {
	head := make([]byte, min(headBytes, f.info.Size))
	if err := tensor.ReadFull(f.disk, head, 0); err != nil {
		return nil, folder.Named(f.info.Name, err)
	}
	return head, nil
}

func (f *file) readAs(ctx context.Context, format string, read opening) (err error) {
	f.info.Format = format
	f.reader, f.findings, err = read(ctx, f.disk, f.info.Size, f.info.Name)
	if far, ok := f.disk.(place.Headed); ok && err == nil {
		far.HeaderRead()
	}
	return err
}

// printable is the beginning of a text, as servers send it where they refuse a file.
func printable(head []byte) (text string, ok bool) {
	const least, most = 9, 80 // no header length reads like this many letters
	text = strings.TrimSpace(string(head))
	for _, r := range text {
		if r < ' ' && !strings.ContainsRune("\t\r\n", r) || r >= 0x7f {
			return "", false
		}
	}
	return text[:min(len(text), most)], len(text) >= least
}

// lfsPointer recognises the text that git leaves in place of a large file, and
// finds the size of what should be there.
func lfsPointer(head []byte, size int64) (weights string, ok bool) {
	if size > headBytes || !bytes.HasPrefix(head, []byte("version https://git-lfs.github.com/spec/")) {
		return "", false
	}
	weights = "of unknown size"
	for line := range strings.Lines(string(head)) {
		if n, ok := strings.CutPrefix(strings.TrimSpace(line), "size "); ok {
			bytes, err := strconv.ParseInt(n, 10, 64)
			if weights = fmt.Sprintf("%.20s bytes", n); err == nil {
				weights = tensor.Size(bytes)
			}
		}
	}
	return weights, true
}
