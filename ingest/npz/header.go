package npz

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"

	"wreg/registry/tensor"
)

const magic = "\x93NUMPY"

// header is what an array says of itself.
type header struct {
	dtype   tensor.DType
	big     bool // big-endian
	fortran bool // the first index is the fastest
	shape   tensor.Shape
	tight   bool // a comma of the shape has no space after it
}

// turned reports whether the elements are in another order than row-major. With at
// most one dimension over 1 both orders are the same.
func (h *header) turned() bool {
	wide := 0
	for _, d := range h.shape {
		if d == 0 {
			return false
		}
		if d > 1 {
			wide++
		}
	}
	return h.fortran && wide > 1
}

// word is the size in bytes of what byte order is about: half a complex number.
func (h *header) word() int64 {
	_, size := h.dtype.Block()
	if h.dtype == tensor.C64 || h.dtype == tensor.C128 {
		return size / 2
	}
	return size
}

// readHeader reads the header of an array of size bytes in all, and how many
// bytes it takes.
func readHeader(r io.ReaderAt, size int64) (h header, n int64, err error) {
	var fixed [12]byte
	if err := tensor.ReadFull(r, fixed[:8], 0); err != nil {
		return h, 0, fmt.Errorf("offset 0: not an array: %w", err)
	} else if string(fixed[:6]) != magic {
		return h, 0, fmt.Errorf("offset 0: not an array: it starts with %q", fixed[:6])
	}
	major := fixed[6]
	width := 2
	switch {
	case major == 1:
	case major == 2 || major == 3:
		width = 4
	default:
		return h, 0, fmt.Errorf("offset 6: version %d.%d; wreg reads 1 to 3", major, fixed[7])
	}
	if err := tensor.ReadFull(r, fixed[8:8+width], 8); err != nil {
		return h, 0, fmt.Errorf("offset 8: header length: %w", err)
	}
	length := int64(binary.LittleEndian.Uint32(fixed[8:]))
	n = int64(8+width) + length
	if length > MaxHeader || n > size {
		return h, 0, fmt.Errorf("offset 8: header of %d bytes; at most %d, and no more than the %d bytes there are", length, MaxHeader, size)
	}
	text := make([]byte, length)
	if err := tensor.ReadFull(r, text, int64(8+width)); err != nil {
		return h, 0, fmt.Errorf("offset %d: header: %w", 8+width, err)
	}
	l := literal{text: string(text)}
	if h, err = l.header(); err != nil {
		return h, 0, fmt.Errorf("offset %d: header: %w", 8+width+l.pos, err)
	}
	return h, n, nil
}

// literal reads the one Python literal that headers consist of: a dict with three
// keys. Nothing is evaluated.
type literal struct {
	text string
	pos  int
}

func (l *literal) peek() byte {
	for l.pos < len(l.text) && strings.IndexByte(" \t\n\r", l.text[l.pos]) >= 0 {
		l.pos++
	}
	if l.pos == len(l.text) {
		return 0
	}
	return l.text[l.pos]
}

func (l *literal) take(c byte) error {
	if l.peek() != c || l.pos == len(l.text) {
		return fmt.Errorf("want %q, have %s", c, l.here())
	}
	l.pos++
	return nil
}

func (l *literal) here() string {
	if l.pos == len(l.text) {
		return "the end"
	}
	return fmt.Sprintf("%.20q", l.text[l.pos:min(len(l.text), l.pos+20)])
}

func (l *literal) header() (h header, err error) {
	if err := l.take('{'); err != nil {
		return h, err
	}
	seen := map[string]bool{}
	var other *typeError
	for l.peek() != '}' {
		key, err := l.str()
		if err != nil {
			return h, err
		}
		if seen[key] {
			return h, fmt.Errorf("%q is given twice", key)
		}
		seen[key] = true
		if err := l.take(':'); err != nil {
			return h, err
		}
		switch key {
		case "descr":
			if err = l.descr(&h); errors.As(err, &other) {
				err = nil // what follows must be sound nevertheless
			}
		case "fortran_order":
			h.fortran, err = l.boolean()
		case "shape":
			h.shape, err = l.tuple(&h.tight)
		default:
			err = fmt.Errorf("unknown key %q", key)
		}
		if err != nil {
			return h, err
		}
		if l.peek() != '}' {
			if err := l.take(','); err != nil {
				return h, err
			}
		}
	}
	l.pos++
	for _, key := range []string{"descr", "fortran_order", "shape"} {
		if !seen[key] {
			return h, fmt.Errorf("no %q", key)
		}
	}
	if l.peek(); l.pos < len(l.text) {
		return h, fmt.Errorf("goes on after its closing }: %s", l.here())
	}
	if other != nil {
		return h, other
	}
	return h, nil
}

// str reads a string without escapes; no header needs any.
func (l *literal) str() (string, error) {
	quote := l.peek()
	if quote != '\'' && quote != '"' {
		return "", fmt.Errorf("want a string, have %s", l.here())
	}
	end := strings.IndexByte(l.text[l.pos+1:], quote)
	if end < 0 {
		return "", fmt.Errorf("string without end")
	}
	s := l.text[l.pos+1 : l.pos+1+end]
	if strings.Contains(s, `\`) {
		return "", fmt.Errorf("escape in string %.20q", s)
	}
	l.pos += end + 2
	return s, nil
}

func (l *literal) boolean() (bool, error) {
	l.peek()
	for word, v := range map[string]bool{"True": true, "False": false} {
		if strings.HasPrefix(l.text[l.pos:], word) {
			l.pos += len(word)
			return v, nil
		}
	}
	return false, fmt.Errorf("want True or False, have %s", l.here())
}

// tuple reads (2, 3), (4,) or (). numpy takes the L of Python 2's long integers,
// and so does this.
func (l *literal) tuple(tight *bool) (tensor.Shape, error) {
	shape := tensor.Shape{}
	if err := l.take('('); err != nil {
		return nil, err
	}
	comma := false
	for l.peek() != ')' {
		if len(shape) == tensor.MaxRank {
			return nil, fmt.Errorf("shape has more than %d dimensions", tensor.MaxRank)
		}
		n, err := l.integer()
		if err != nil {
			return nil, err
		}
		shape = append(shape, n)
		if comma = l.peek() == ','; comma {
			l.pos++
			if c := l.text[l.pos:]; c != "" && c[0] != ' ' && c[0] != ')' {
				*tight = true
			}
		} else if l.peek() != ')' {
			return nil, fmt.Errorf("want ',' or ')', have %s", l.here())
		}
	}
	l.pos++
	if len(shape) == 1 && !comma {
		return nil, fmt.Errorf("shape (%d) is a number, not a tuple", shape[0])
	}
	return shape, nil
}

func (l *literal) integer() (n int64, err error) {
	start := l.pos
	for ; l.pos < len(l.text) && '0' <= l.text[l.pos] && l.text[l.pos] <= '9'; l.pos++ {
		d := int64(l.text[l.pos] - '0')
		if n > (math.MaxInt64-d)/10 {
			return 0, fmt.Errorf("dimension overflows 64 bits")
		}
		n = n*10 + d
	}
	if l.pos == start {
		return 0, fmt.Errorf("want a dimension from 0 up, have %s", l.here())
	}
	if l.pos < len(l.text) && l.text[l.pos] == 'L' {
		l.pos++
	}
	return n, nil
}

// list passes over the list of a structured type and gives its text.
func (l *literal) list() (string, error) {
	start := l.pos
	for depth := 0; ; {
		switch c := l.peek(); {
		case l.pos == len(l.text):
			return "", fmt.Errorf("list without end")
		case c == '\'' || c == '"':
			if _, err := l.str(); err != nil {
				return "", err
			}
			continue
		case c == '[' || c == '(':
			depth++
		case c == ']' || c == ')':
			depth--
		}
		if l.pos++; depth == 0 {
			return l.text[start:l.pos], nil
		}
	}
}

// kinds are numpy's type codes that are tensors. V2 is two opaque bytes: how mlx
// and ml_dtypes write bf16.
var kinds = map[string]tensor.DType{
	"b1": tensor.Bool, "i1": tensor.I8, "u1": tensor.U8, "i2": tensor.I16, "u2": tensor.U16, "i4": tensor.I32, "u4": tensor.U32,
	"i8": tensor.I64, "u8": tensor.U64, "f2": tensor.F16, "f4": tensor.F32, "f8": tensor.F64, "c8": tensor.C64, "c16": tensor.C128,
	"V2": tensor.BF16,
}

// DType is the element type of a descr such as "<f4", Invalid where tensors do not have it,
// and whether its bytes are in big-endian order.
func DType(descr string) (dt tensor.DType, big bool) {
	if descr == "" {
		return tensor.Invalid, false
	}
	dt = kinds[descr[1:]]
	_, size := dt.Block()
	switch {
	case descr[0] == '>' && descr != ">V2":
		return dt, size > 1
	case descr[0] == '<' || descr[0] == '|' && (size == 1 || descr == "|V2"):
		return dt, false
	}
	return tensor.Invalid, false
}

// descr reads an element type.
func (l *literal) descr(h *header) error {
	if l.peek() == '[' {
		text, err := l.list()
		if err != nil {
			return err
		}
		return &typeError{fmt.Sprintf("%.60s", text), "structured: only arrays of plain numbers are tensors", false}
	}
	s, err := l.str()
	if err != nil {
		return err
	}
	h.dtype, h.big = DType(s)
	if h.dtype == tensor.Invalid {
		e := &typeError{fmt.Sprintf("%.40q", s), "", false}
		if len(s) > 1 {
			e.what, e.harmless = otherKinds[s[1]].what, otherKinds[s[1]].harmless
		}
		if s == "O" {
			e.what = otherKinds['O'].what
		}
		return e
	}
	return nil
}

// otherKinds are numpy's type codes that are not numbers of a tensor; harmless are those
// that can hold no weights.
var otherKinds = map[byte]struct {
	what     string
	harmless bool
}{
	'S': {"bytes of text", true},
	'a': {"bytes of text", true},
	'U': {"text", true},
	'T': {"text", true},
	'M': {"dates", true},
	'm': {"durations", true},
	'O': {"an array of objects is a pickle, which is not opened", false},
	'V': {"opaque bytes", false},
	'f': {"numbers of a size that no tensor has", false},
	'c': {"numbers of a size that no tensor has", false},
}

// typeError is why an array is not a tensor: its type.
type typeError struct {
	descr, what string
	harmless    bool
}

// rule is that of the finding where the array is one of several.
func (e *typeError) rule() string {
	if e.harmless {
		return "not-numbers"
	}
	return "unread-array"
}

// OtherType is the rule of the finding for an array of several that is sound and no
// tensor by its type; "" when err says anything else.
func OtherType(err error) string {
	if e := (*typeError)(nil); errors.As(err, &e) {
		return e.rule()
	}
	return ""
}

func (e *typeError) Error() string {
	text := fmt.Sprintf("type %s is not a tensor's", e.descr)
	if e.what != "" {
		text += ": " + e.what
	}
	return text
}
