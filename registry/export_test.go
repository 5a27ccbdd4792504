package registry

import (
	"io/fs"
	"os"
)

// OnOpen calls fn whenever a registry file was opened and is not locked yet; it
// returns what undoes it.
func OnOpen(fn func()) func() {
	openFile = func(name string, flag int, mode fs.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		fn()
		return f, err
	}
	return func() { openFile = os.OpenFile }
}

// SmallBatches makes every ingest take many transactions.
func SmallBatches() { batchKeys, batchBytes = 5, 1<<14 }
