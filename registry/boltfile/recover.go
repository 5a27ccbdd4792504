package boltfile

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
)

// Guard runs fn, which reads the mapped file, and turns what a damaged or truncated
// file does to bbolt (failed assertions, slices out of bounds, memory faults) into an
// *Error. So does it for the packages named, which read what bbolt maps; panics that
// begin elsewhere, in a caller's own code, go on.
func Guard(readers []string, fn func() error) (err error) {
	old := debug.SetPanicOnFault(true)
	defer debug.SetPanicOnFault(old)
	defer func() {
		if p := recover(); p != nil {
			if !ours(p, readers) {
				panic(p)
			}
			err = &Error{Message: fmt.Sprint(p)}
		}
	}()
	return fn()
}

// ours reports whether the panic being recovered began in bbolt, in one of the
// packages or in a read of the mapped file.
func ours(p any, readers []string) bool {
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
				slices.ContainsFunc(readers, func(p string) bool { return strings.HasPrefix(f.Function, p+".") })
		}
		if !more {
			return false
		}
	}
}
