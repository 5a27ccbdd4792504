package safetensors

import (
	"fmt"
	"strings"

	"wreg/registry/tensor"
)

// oddities are what a reader should hear of although the file can be read. Each
// is reported once a file, however many tensors show it.
type oddities struct {
	unknown      int
	unknownFirst [2]string // tensor, field
	unusual      bool      // some string may be an odd name
}

func (o *oddities) unknownField(name, field string) {
	if o.unknown == 0 {
		o.unknownFirst = [2]string{name, field}
	}
	o.unknown++
}

// findings lists them in a stable order. The tensors are sorted by path.
func (h *header) findings() (list []tensor.Finding) {
	add := func(rule, name, format string, args ...any) {
		list = append(list, tensor.Finding{Rule: rule, File: h.file, Tensor: name, Message: h.file + ": " + fmt.Sprintf(format, args...)})
	}
	if len(h.tensors) == 0 {
		add("no-tensors", "", "holds no tensors")
	}
	if h.unknown > 0 {
		add("unknown-field", h.unknownFirst[0], "tensor %q has a field %q that the format does not know (%d such fields); they were skipped",
			shorten(h.unknownFirst[0]), shorten(h.unknownFirst[1]), h.unknown)
	}
	odd := 0
	first := ""
	for i := range h.tensors {
		if !h.unusual && i > 0 { // only an empty name can be odd, and it sorts first
			break
		}
		if oddName(h.tensors[i].Path) {
			if odd == 0 {
				first = h.tensors[i].Path
			}
			odd++
		}
	}
	if odd > 0 {
		add("odd-name", first, "tensor name %q is empty or holds control or invisible characters (%d such names)", shorten(first), odd)
	}
	return list
}

// oddName reports a name that a terminal or a file name would not survive.
func oddName(name string) bool {
	for i := 0; i < len(name); i++ {
		if c := name[i]; c < ' ' || c >= 0x7f {
			return strings.ContainsFunc(name, invisible)
		}
	}
	return name == ""
}

// invisible covers control characters, the bidirectional overrides and the
// zero-width characters.
func invisible(r rune) bool {
	switch {
	case r < ' ', r >= 0x7f && r < 0xa0, r >= 0x200b && r <= 0x200f, r >= 0x202a && r <= 0x202e,
		r >= 0x2060 && r <= 0x206f, r == 0xfeff, r == 0xfffd:
		return true
	}
	return false
}
