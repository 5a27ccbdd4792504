package registry

import (
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"runtime/debug"
	"strings"

	bolt "go.etcd.io/bbolt"
)

// guard runs fn, which reads the mapped file, and turns what a damaged or
// truncated file does to bbolt (failed assertions, slices out of bounds, memory
// faults) into a *DamagedError. Panics that begin elsewhere, in a caller's own
// code, go on.
func (r *Registry) guard(fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			if !ours(p) {
				panic(p)
			}
			err = &DamagedError{Path: r.path, Message: fmt.Sprint(p)}
		}
	}()
	return fn()
}

// ours reports whether the panic being recovered began in bbolt, in this package
// or in a read of the mapped file.
func ours(p any) bool {
	var fault interface{ Addr() uintptr }
	if err, ok := p.(error); ok && errors.As(err, &fault) {
		return true
	}
	var pcs [64]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(2, pcs[:])])
	inPanic := false
	for {
		f, more := frames.Next()
		switch {
		case f.Function == "runtime.gopanic":
			inPanic = true
		case !inPanic || strings.HasPrefix(f.Function, "runtime."):
		default:
			return strings.HasPrefix(f.Function, "go.etcd.io/bbolt") ||
				strings.HasPrefix(f.Function, "wreg/registry.")
		}
		if !more {
			return false
		}
	}
}

// view and update are bbolt's, guarded.
func (r *Registry) view(fn func(*bolt.Tx) error) error {
	r.swap.RLock()
	defer r.swap.RUnlock()
	if r.db == nil {
		return r.closed()
	}
	return r.guard(func() error { return r.db.View(fn) })
}

func (r *Registry) update(fn func(*bolt.Tx) error) error {
	if r.readOnly {
		return r.errReadOnly()
	}
	r.swap.RLock()
	defer r.swap.RUnlock()
	if r.db == nil {
		return r.closed()
	}
	r.mu.Lock()
	broken := r.broken
	r.mu.Unlock()
	if broken != nil {
		return broken
	}
	err := r.guard(func() error { return r.db.Update(fn) })
	var damaged *DamagedError
	if errors.As(err, &damaged) {
		// What is written after a fault could build on it.
		r.mu.Lock()
		r.broken = err
		r.mu.Unlock()
	}
	return err
}

// settle makes the older of bbolt's two meta pages say what the newer does: either
// may be damaged then and nothing is lost. What was written before is there even
// when this fails, so its error is nobody's.
func (r *Registry) settle() {
	_ = r.update(func(*bolt.Tx) error { return nil })
}

func (r *Registry) closed() error {
	return fmt.Errorf("registry %s was closed: %w", r.path, fs.ErrClosed)
}

func (r *Registry) errReadOnly() error {
	return fmt.Errorf("registry %s is open for reading only", r.path)
}

// report notes damage that was met while a column was decoded, where no error
// could be returned.
func (r *Registry) report(ref string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.reports++
	r.lastReport = r.damage(ref, "%v", err)
}

func (r *Registry) reported() (n int, last error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.reports, r.lastReport
}

// Guard runs fn with the protection View gives its own goroutine: a read of a
// file that was truncated meanwhile is an error, not the end of the process. Use
// it in every goroutine that reads a Snapshot's data.
func (s *Snapshot) Guard(fn func() error) error { return s.r.guard(fn) }
