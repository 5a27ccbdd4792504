package registry

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"
)

// What a registry holds at most. A checksum has no key, so whoever made the file
// chose every count in it: none is believed beyond these, nor beyond what its bytes
// can hold. Put refuses what reading would refuse.
const (
	// maxRows bounds the tensors of one template, and those of a revision. The widest
	// model known has 16,384 of one template.
	maxRows = 1 << 24

	// Rows of constants take no bytes. So of a revision's tensors, and of all that are
	// read of one file, only so many may be more than the bytes they are stored in.
	maxFreeRows    = 1 << 20
	maxFreeRowsAll = 1 << 24

	maxShapes  = 1 << 20 // different ones of a block
	maxDims    = 1 << 22 // of all of them
	maxFormats = 1 << 10 // different ones of a block

	maxFiles    = 1 << 17 // of a revision
	maxFindings = 1 << 20
	maxConfig   = 64 << 20 // bytes of config.json
	maxReceipt  = 1 << 29  // bytes of wreg-receipt.json
	maxLabel    = 200      // bytes of a layout, a tool, a format
	maxPath     = 1 << 16  // bytes of a root, a file's name

	maxRevisions = 1 << 20 // of a file
	minBlock     = 100     // bytes: its header has 17 columns
)

// wrong says what in a record no ingest writes, "" nothing. Texts that may hold
// anything, such as paths and findings, are escaped where they are printed.
func (v *Revision) wrong() string {
	for _, x := range []struct {
		what string
		n    int
		most int
	}{
		{"tensors", v.Tensors, maxRows},
		{"files", len(v.Files), maxFiles},
		{"findings", len(v.Findings), maxFindings},
		{"bytes of config.json", len(v.Config), maxConfig},
		{"bytes of a receipt", len(v.Receipt), maxReceipt},
		{"bytes of a root", len(v.Root), maxPath},
	} {
		if x.n < 0 || x.n > x.most {
			return fmt.Sprintf("%d %s, at most %d are kept", x.n, x.what, x.most)
		}
	}
	if v.Bytes < 0 {
		return fmt.Sprintf("%d bytes of tensors", v.Bytes)
	}
	for _, x := range [][2]string{{"tool", v.Tool}, {"layout", v.Layout}} {
		if !isLabel(x[1]) {
			return fmt.Sprintf("%s %.60q is not a name", x[0], x[1])
		}
	}
	if v.Source != "" {
		name, number, ok := parseRef(v.Source)
		if wrong := nameFault(name); !ok || number == 0 || wrong != "" {
			return fmt.Sprintf("source %.60q is not a revision", v.Source)
		}
	}
	for _, f := range v.Files {
		switch {
		case !isFile(f.Name):
			return fmt.Sprintf("file name %.60q leads out of the checkpoint's folder", f.Name)
		case f.Size < 0:
			return fmt.Sprintf("file %.60q of %d bytes", f.Name, f.Size)
		case !isLabel(f.Format):
			return fmt.Sprintf("file %.60q has format %.60q", f.Name, f.Format)
		}
	}
	return ""
}

// isLabel reports whether a text is one that wreg itself chose.
func isLabel(s string) bool {
	return len(s) <= maxLabel && utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

// isFile reports whether a name can be one of a file in a checkpoint's folder.
func isFile(name string) bool {
	return len(name) <= maxPath && !path.IsAbs(name) && !strings.Contains(name, "\x00") &&
		name != ".." && !strings.HasPrefix(path.Clean(name), "../") && path.Clean(name) != ".."
}

// filesFault says what in a table of files no ingest writes.
func filesFault(names []string) string {
	if len(names) > maxFiles {
		return fmt.Sprintf("%d files, at most %d are kept", len(names), maxFiles)
	}
	for i, name := range names {
		switch {
		case !isFile(name):
			return fmt.Sprintf("file name %.60q leads out of the checkpoint's folder", name)
		case i > 0 && name <= names[i-1]:
			return fmt.Sprintf("file %.60q does not come after %.60q", name, names[i-1])
		}
	}
	return ""
}

// rowCount adds up the rows of a revision's blocks, and those beyond their bytes. A
// row weighs as much as 64 bytes of its name: a name is the template's length, and
// comes with every row.
type rowCount struct{ rows, free int }

// add takes the rows of a block, which are at most maxRows.
func (n *rowCount) add(key string, rows, bytes int) {
	n.rows += rows
	n.free += max(rows*(1+len(key)/64)-bytes, 0)
}

func (n *rowCount) wrong() string {
	switch {
	case n.rows > maxRows:
		return fmt.Sprintf("more than %d tensors", maxRows)
	case n.free > maxFreeRows:
		return fmt.Sprintf("its %d tensors are too many for the bytes they are stored in", n.rows)
	}
	return ""
}

// shapesFault says that a table of shapes is too large to be read.
func shapesFault(shapes, dims int) string {
	if shapes > maxShapes || dims > maxDims {
		return fmt.Sprintf("%d different shapes of %d dimensions, at most %d of %d are kept", shapes, dims, maxShapes, maxDims)
	}
	return ""
}
