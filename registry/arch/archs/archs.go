// Package archs holds the architectures that come with the program: a file for each
// family, and blocks that they share.
package archs

import "embed"

// Files are NAME.arch and blocks/NAME.arch.
//
//go:embed *.arch blocks/*.arch
var Files embed.FS
