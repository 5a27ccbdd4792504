package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"

	"wreg/registry/tensor"
)

// reader is a file whose header was read.
type reader interface {
	Tensors() []tensor.Info
	Bytes(i int) (io.ReaderAt, error)
}

// file is an open file of a checkpoint.
type file struct {
	disk     *os.File
	info     tensor.File
	reader   reader
	findings []tensor.Finding
	stray    bool // on disk, but not among the weights: opened to compare
}

// open opens a regular file of the folder as one of a checkpoint's.
func (d *Folder) open(name string) (*file, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	now, err := f.Stat()
	if err != nil {
		return nil, errors.Join(named(name, err), f.Close())
	}
	return &file{disk: f, info: tensor.File{Name: name, Size: now.Size(), ModTime: now.ModTime(), Inode: inode(now)}}, nil
}

// named makes an error of the file system name the file once, without the path of
// the folder.
func named(name string, err error) error { return fmt.Errorf("%s: %w", name, cause(err)) }

func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

// fetcher opens files and reads their headers in the background, so that an index
// is read at the same time as the shards it will turn out to name.
type fetcher struct {
	ctx   context.Context
	d     *Folder
	slots chan struct{} // one for each file being read
	files map[string]*fetched
}

// fetched is a file on its way; the fields are set when done is closed.
type fetched struct {
	done    chan struct{}
	file    *file
	openErr error // it could not be opened: file is nil
	readErr error // it was opened, and its header cannot be read
	taken   bool
}

func newFetcher(ctx context.Context, d *Folder, o Options) *fetcher {
	jobs := o.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	return &fetcher{ctx, d, make(chan struct{}, jobs), map[string]*fetched{}}
}

// start begins to read a file, once.
func (x *fetcher) start(name string) *fetched {
	if f := x.files[name]; f != nil {
		return f
	}
	f := &fetched{done: make(chan struct{})}
	x.files[name] = f
	go func() {
		x.slots <- struct{}{}
		defer func() { <-x.slots; close(f.done) }()
		if f.openErr = x.ctx.Err(); f.openErr != nil {
			return
		}
		if f.file, f.openErr = x.d.open(name); f.openErr == nil {
			f.readErr = f.file.read(x.ctx)
		}
	}()
	return f
}

// take waits for a file and hands it over.
func (x *fetcher) take(name string) *fetched {
	f := x.start(name)
	<-f.done
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
