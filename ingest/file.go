package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"

	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/interrupt"
	"wreg/registry/tensor"
)

// reader is a file whose header was read.
type reader interface {
	Tensors() []tensor.Info
	Bytes(i int) (io.ReaderAt, error)
}

// file is an open file of a checkpoint.
type file struct {
	disk     files.Blob
	info     tensor.File
	reader   reader
	findings []tensor.Finding
	stray    bool // on disk, but not among the weights: opened to compare
}

// openIn opens a file as one of a checkpoint's.
func openIn(ctx context.Context, d files.Files, name string) (*file, error) {
	b, info, err := d.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	return &file{disk: b, info: info}, nil
}

// fetcher opens files and reads their headers in the background, so that an index
// is read at the same time as the shards it will turn out to name.
type fetcher struct {
	ctx   context.Context
	d     files.Files
	slots chan struct{} // one for each file being read
	total holdings
	files map[string]*fetched

	progress    func(read, of int) // may be nil
	read, begun atomic.Int64
}

// tell says how many headers were read.
func (x *fetcher) tell(read, begun int64) {
	read, begun = x.read.Add(read), x.begun.Add(begun)
	if x.progress != nil {
		x.progress(int(read), int(begun))
	}
}

// fetched is a file on its way; the fields are set when done is closed.
type fetched struct {
	done    chan struct{}
	file    *file
	openErr error // it could not be opened: file is nil
	readErr error // it was opened, and its header cannot be read
	taken   bool
}

// err is why the file cannot be read, if it cannot.
func (f *fetched) err() error { return cmp.Or(f.openErr, f.readErr) }

func newFetcher(ctx context.Context, d files.Files, jobs int, progress func(read, of int)) *fetcher {
	if jobs <= 0 {
		jobs = d.Jobs()
	}
	return &fetcher{ctx: ctx, d: d, slots: make(chan struct{}, jobs), files: map[string]*fetched{}, progress: progress}
}

// holdings are what the headers of a checkpoint's files take in memory together:
// each file is within its own limits, and a folder may hold many.
type holdings struct {
	mu             sync.Mutex
	tensors, bytes int64
}

// maxHeaders bounds the bytes of all headers of a checkpoint that stay in memory.
const maxHeaders = 128 << 20

// add takes a file's header into account. One too many is refused, and so is every
// file after it.
func (h *holdings) add(f *file) error {
	tensors := f.reader.Tensors()
	var bytes int64
	for i := range tensors {
		bytes += int64(len(tensors[i].Path))
	}
	if r, ok := f.reader.(interface{ HeaderBytes() int64 }); ok {
		bytes = max(bytes, r.HeaderBytes())
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tensors, h.bytes = h.tensors+int64(len(tensors)), h.bytes+bytes
	switch {
	case h.tensors > tensor.MaxTensors:
		return fmt.Errorf("%s: with its %d tensors the checkpoint has %d; at most %d are read", f.info.Name, len(tensors), h.tensors, tensor.MaxTensors)
	case h.bytes > maxHeaders:
		return fmt.Errorf("%s: with its %d bytes the headers of the checkpoint take %d; at most %d are held", f.info.Name, bytes, h.bytes, maxHeaders)
	}
	return nil
}

// start begins to read a file, once.
func (x *fetcher) start(name string) *fetched {
	if f := x.files[name]; f != nil {
		return f
	}
	f := &fetched{done: make(chan struct{})}
	x.files[name] = f
	x.tell(0, 1)
	go func() {
		x.slots <- struct{}{}
		defer func() { <-x.slots; x.tell(1, 0); close(f.done) }()
		if f.openErr = x.ctx.Err(); f.openErr != nil {
			return
		}
		if f.file, f.openErr = openIn(x.ctx, x.d, name); f.openErr == nil {
			if f.readErr = f.file.read(x.ctx); f.readErr == nil {
				f.readErr = x.total.add(f.file)
			}
		}
	}()
	return f
}

// peek waits for a file, which somebody else may take.
func (x *fetcher) peek(name string) *fetched {
	f := x.start(name)
	<-f.done
	return f
}

// take waits for a file and hands it over.
func (x *fetcher) take(name string) *fetched {
	f := x.peek(name)
	f.taken = true
	return f
}

// close closes what nobody took.
func (x *fetcher) close() (err error) {
	for _, f := range x.files {
		if <-f.done; !f.taken && f.file != nil {
			err = errors.Join(err, f.file.disk.Close())
		}
	}
	return err
}

// readText reads the whole of a small JSON file of the folder.
func readText(ctx context.Context, d files.Files, name string, limit int64) (text string, info tensor.File, err error) {
	f, err := openIn(ctx, d, name)
	if err != nil {
		return "", info, err
	}
	defer f.disk.Close()
	f.info.Format = "json"
	if f.info.Size > limit {
		return "", info, fmt.Errorf("%s: %d bytes exceed %d", name, f.info.Size, limit)
	}
	var b strings.Builder
	b.Grow(int(f.info.Size))
	if n, err := io.Copy(&b, io.NewSectionReader(interrupt.Reader(ctx, f.disk), 0, f.info.Size)); err != nil {
		return "", info, folder.Named(name, err)
	} else if n < f.info.Size {
		return "", info, folder.Named(name, io.ErrUnexpectedEOF)
	}
	return b.String(), f.info, nil
}
