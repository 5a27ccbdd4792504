package ingest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

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

// folder is where names are looked up. Nothing outside root is ever opened,
// whatever a name or a symbolic link says.
type folder struct {
	root   *os.Root
	prefix string // of names inside root, "" or ending in /
	blobs  bool   // root is a repository of the hf cache: links may lead to blobs/
}

// openRoot opens the folder at abs. A snapshot of the hf cache consists of links
// to ../../blobs, so its repository is the root there.
func openRoot(abs string) (*folder, error) {
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, err
	}
	snapshots := filepath.Dir(real)
	repo := filepath.Dir(snapshots)
	if filepath.Base(snapshots) == "snapshots" && repo != snapshots {
		if blobs, err := os.Lstat(filepath.Join(repo, "blobs")); err == nil && blobs.IsDir() {
			root, err := os.OpenRoot(repo)
			return &folder{root, "snapshots/" + filepath.Base(real) + "/", true}, err
		}
	}
	root, err := os.OpenRoot(real)
	return &folder{root, "", false}, err
}

func (d *folder) close() error { return d.root.Close() }

// list names what the folder holds, sorted. Folders are not descended into.
func (d *folder) list() ([]fs.DirEntry, error) {
	dir, err := d.root.Open("./" + d.prefix)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(maxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > maxEntries {
		return nil, fmt.Errorf("%s holds more than %d files; name one of them", dir.Name(), maxEntries)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// maxEntries bounds the files of one folder.
const maxEntries = 100_000

// open opens a regular file of the folder. It looks before it opens: opening a
// named pipe would wait for a writer.
func (d *folder) open(name string) (*file, error) {
	inside := d.prefix + name
	info, err := d.root.Lstat(inside)
	if err != nil {
		return nil, named(name, err)
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := d.root.Readlink(inside)
		if err != nil {
			return nil, named(name, err)
		}
		to := path.Join(path.Dir(inside), filepath.ToSlash(target))
		if d.blobs && !strings.HasPrefix(to, "blobs/") && path.Dir(to)+"/" != d.prefix {
			return nil, fmt.Errorf("%s: symbolic link to %q leads out of the snapshot and its blobs; it is not followed", name, target)
		}
		if info, err = d.root.Stat(inside); err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("%s: symbolic link to %q leads nowhere; download the file again: %w", name, target, fs.ErrNotExist)
			}
			return nil, fmt.Errorf("%s: symbolic link to %q is not followed: %w; copy the file into the folder", name, target, cause(err))
		}
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s: %s, not a file of weights", name, kind(info.Mode()))
	}
	f, err := d.root.Open(inside)
	if err != nil {
		return nil, named(name, err)
	}
	now, err := f.Stat()
	if err == nil && !os.SameFile(info, now) {
		err = errors.New("it was replaced while it was opened; try again")
	}
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

func kind(m fs.FileMode) string {
	switch {
	case m.IsDir():
		return "a folder"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "not a regular file"
}

// fetcher opens files and reads their headers in the background, so that an index
// is read at the same time as the shards it will turn out to name.
type fetcher struct {
	d     *folder
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

func newFetcher(d *folder, o Options) *fetcher {
	jobs := o.Jobs
	if jobs <= 0 {
		jobs = runtime.GOMAXPROCS(0)
	}
	return &fetcher{d, make(chan struct{}, jobs), map[string]*fetched{}}
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
		if f.file, f.openErr = x.d.open(name); f.openErr == nil {
			f.readErr = f.file.read()
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
