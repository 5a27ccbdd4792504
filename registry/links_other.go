//go:build !unix

package registry

import "io/fs"

// namesOf is how many names a file has; here nobody asks.
func namesOf(fs.FileInfo) int { return 1 }
