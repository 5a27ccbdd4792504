//go:build !linux

package disk

import "os"

// LockHolders is known on Linux only: elsewhere no plain interface tells.
func LockHolders(os.FileInfo) []string { return nil }
