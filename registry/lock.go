package registry

import (
	"fmt"
	"os"
	"strings"
)

// LockError says that another process holds the registry.
type LockError struct {
	Path     string
	ReadOnly bool     // what was asked for
	Holders  []string // "wreg (process 123)", as far as the system tells
}

func (e *LockError) Error() string {
	who := "another process"
	if len(e.Holders) > 0 {
		who = strings.Join(e.Holders, ", ")
	}
	rule := "a writer is alone: wait until it ends, or end it"
	if e.ReadOnly {
		rule = "it writes, and a writer is alone; readers share: wait until it ends"
	}
	return fmt.Sprintf("registry %s is held by %s; %s", e.Path, who, rule)
}

func (r *Registry) lockError(readOnly bool) error {
	e := &LockError{Path: r.path, ReadOnly: readOnly}
	if info, err := os.Stat(r.path); err == nil {
		e.Holders = lockHolders(info)
	}
	return e
}
