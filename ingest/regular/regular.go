// Package regular opens regular files and nothing else, and reads small ones
// whole: never a pipe, which would wait for a writer for ever, nor a device, which
// has no end, and never more of a file than was said.
//
// Most users need [Read], or [ReadIn] for a file inside a root.
//
// Invariants: opening waits for nobody; what was opened is what was looked at, or it is
// an error; of a file that is read whole, at most the bytes that were allowed are
// held.
package regular

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
)

// Open opens the regular file at path to be read. Errors are *fs.PathError.
func Open(path string) (*os.File, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	return open(path, info, func(flag int) (*os.File, error) { return os.OpenFile(path, flag, 0) })
}

// OpenIn opens a regular file inside a root to be read.
func OpenIn(root *os.Root, name string) (*os.File, error) {
	info, err := root.Stat(name)
	if err != nil {
		return nil, err
	}
	return OpenFound(root, name, info)
}

// OpenFound opens a file inside a root that must be the one info is about.
func OpenFound(root *os.Root, name string, info fs.FileInfo) (*os.File, error) {
	return open(name, info, func(flag int) (*os.File, error) { return root.OpenFile(name, flag, 0) })
}

// open was told what the file is, since opening some devices does something, and
// looks again: it may have been replaced, by a pipe even, which is not waited for.
func open(name string, info fs.FileInfo, open func(flag int) (*os.File, error)) (*os.File, error) {
	if !info.Mode().IsRegular() {
		return nil, irregular(name, info.Mode())
	}
	f, err := open(os.O_RDONLY | syscall.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	now, err := f.Stat()
	switch {
	case err != nil:
	case !now.Mode().IsRegular():
		err = irregular(name, now.Mode())
	case !os.SameFile(info, now):
		err = &fs.PathError{Op: "open", Path: name, Err: errors.New("it was replaced while it was opened; try again")}
	default:
		return f, nil
	}
	f.Close()
	return nil, err
}

func irregular(name string, mode fs.FileMode) error {
	return &fs.PathError{Op: "open", Path: name, Err: errors.New(Kind(mode) + " is not a regular file")}
}

// Read reads the regular file at path, which has at most so many bytes.
func Read(path string, most int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	return ReadAll(f, path, most)
}

// ReadIn reads a regular file inside a root.
func ReadIn(root *os.Root, name string, most int64) ([]byte, error) {
	f, err := OpenIn(root, name)
	if err != nil {
		return nil, err
	}
	return ReadAll(f, name, most)
}

// ReadAll reads all of f, which has at most so many bytes, and closes it. A size
// that is too large is believed; one that is not may grow.
func ReadAll(f *os.File, name string, most int64) ([]byte, error) {
	defer f.Close()
	tooLong := func(n int64) error {
		return &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("%d bytes exceed the %d that are read", n, most)}
	}
	var b bytes.Buffer
	if info, err := f.Stat(); err == nil && info.Size() > most {
		return nil, tooLong(info.Size())
	} else if err == nil {
		b.Grow(int(info.Size()) + bytes.MinRead) // no garbage half as large as the file
	}
	_, err := b.ReadFrom(io.LimitReader(f, most+1))
	if n := int64(b.Len()); n > most {
		return nil, tooLong(n)
	}
	return b.Bytes(), err
}

// Kind names what a mode is of.
func Kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "a file"
	case m.IsDir():
		return "a folder"
	case m&fs.ModeSymlink != 0:
		return "a symbolic link"
	case m&fs.ModeNamedPipe != 0:
		return "a named pipe"
	case m&fs.ModeSocket != 0:
		return "a socket"
	case m&fs.ModeDevice != 0:
		return "a device"
	}
	return "neither file nor folder"
}
