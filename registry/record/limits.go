package record

import (
	"fmt"
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"wreg/registry/block"
	"wreg/registry/tensor"
)

// What is kept of a revision at most. A checksum has no key, so whoever made the file
// chose every count in it: none is believed beyond these.
const (
	MaxFiles    = 1 << 17
	MaxFindings = 1 << 20
	MaxConfig   = 64 << 20 // bytes of config.json
	MaxReceipt  = 1 << 29  // bytes of wreg-receipt.json
	MaxPath     = 1 << 16  // bytes of a root, a file's name
	maxLabel    = 200      // bytes of a layout, a tool, a format
)

// Fault says what in a record no ingest writes, "" nothing. Texts that may hold
// anything, such as paths and findings, are escaped where they are printed.
func (v *Revision) Fault() string {
	for _, x := range []struct {
		what string
		n    int
		most int
	}{
		{"tensors", v.Tensors, block.MaxRows},
		{"files", len(v.Files), MaxFiles},
		{"findings", len(v.Findings), MaxFindings},
		{"bytes of config.json", len(v.Config), MaxConfig},
		{"bytes of adapter_config.json", len(v.Adapter), MaxConfig},
		{"bytes of a receipt", len(v.Receipt), MaxReceipt},
		{"bytes of a root", len(v.Root), MaxPath},
		{"bytes of a prefix", max(len(v.Naming.Strip), len(v.Naming.Add)), MaxPath},
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
		name, number, ok := ParseRef(v.Source)
		if wrong := NameFault(name); !ok || number == 0 || wrong != "" {
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
		case !isDigest(f.Digest):
			return fmt.Sprintf("file %.60q has digest %.80q, which is not a SHA-256", f.Name, f.Digest)
		case !f.Trust.Valid():
			return fmt.Sprintf("file %.60q has a level of trust %d, which does not exist", f.Name, f.Trust)
		case f.Trust.Proven() && f.Digest == "":
			return fmt.Sprintf("file %.60q is %s, and has no digest", f.Name, f.Trust)
		}
	}
	return ""
}

// isDigest reports whether a digest is written as tensor.Hash writes it, or is none.
func isDigest(s string) bool {
	h, err := tensor.ParseHash(s)
	return s == "" || err == nil && h.String() == s
}

// isLabel reports whether a text is one that wreg itself chose.
func isLabel(s string) bool {
	return len(s) <= maxLabel && utf8.ValidString(s) && !strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

// isFile reports whether a name can be one of a file in a checkpoint's folder.
func isFile(name string) bool {
	return len(name) <= MaxPath && !path.IsAbs(name) && !strings.Contains(name, "\x00") &&
		!strings.HasPrefix(path.Clean(name)+"/", "../")
}

// FilesFault says what in a table of files no ingest writes.
func FilesFault(names []string) string {
	if len(names) > MaxFiles {
		return fmt.Sprintf("%d files, at most %d are kept", len(names), MaxFiles)
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
