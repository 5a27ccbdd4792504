//go:build !linux && !darwin

package export

import "os"

// freeSpace is unknown here; a full disk is met while writing.
func freeSpace(string) (int64, bool) { return 0, false }

// lockFolder opens a folder. Nothing keeps a second export out here but the
// folder's existence.
func lockFolder(path string) (*os.File, error) { return os.Open(path) }
