// Package disk asks of the operating system what package os does not offer: room for
// a file before it is written, copies that do not pass through the process, reading
// back what the disk has rather than the memory, locks and renames that never replace.
//
// Most users need [Reserve] and [Pace] to write a large file, [CopyRange] and [Pipe] to
// copy into it, [Settle] before it is read back, and [Lock] and [Move] for the folder
// around it.
//
// Invariants: where a system or a file system cannot do a thing, the plain way is
// taken, and nothing fails for it; a copy that stops early says how far it came, and
// what is wrong is met again, and reported, by reading and writing the rest.
package disk

import (
	"fmt"
	"os"
)

// moveChecked renames a folder where the system cannot refuse a target by itself.
func moveChecked(from, to string) error {
	if _, err := os.Lstat(to); err == nil {
		return fmt.Errorf("%s appeared during the export; it was left alone", to)
	}
	return os.Rename(from, to)
}
