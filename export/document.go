package export

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
)

// document is a JSON object that keeps the order of its keys, written as Python's
// json.dump(indent=4) writes it: what mlx_lm writes is compared byte by byte.
type document struct {
	keys   []string
	values map[string]any // *document, []any, string, json.Number, bool, nil
}

// maxNesting bounds config.json.
const maxNesting = 100

func parseDocument(data []byte) (*document, error) {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	v, err := parseValue(d, 0)
	if err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	doc, ok := v.(*document)
	if !ok {
		return nil, errors.New("it is no object")
	}
	return doc, nil
}

func parseValue(d *json.Decoder, depth int) (any, error) {
	if depth > maxNesting {
		return nil, fmt.Errorf("nested deeper than %d", maxNesting)
	}
	t, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch t {
	case json.Delim('{'):
		o := newDocument()
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			o.set(key.(string), v)
		}
		_, err := d.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			v, err := parseValue(d, depth+1)
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
		_, err := d.Token()
		return list, err
	}
	return t, nil
}

func newDocument() *document { return &document{values: map[string]any{}} }

func (o *document) set(key string, v any) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

func (o *document) remove(key string) {
	delete(o.values, key)
	o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
}

// text is a string under a key.
func (o *document) text(key string) (string, bool) {
	s, ok := o.values[key].(string)
	return s, ok
}

// object is an object under a key, nil when there is none.
func (o *document) object(key string) *document {
	d, _ := o.values[key].(*document)
	return d
}

// sorted is the document with its own keys in order; nested ones stay.
func (o *document) sorted() *document {
	keys := slices.Clone(o.keys)
	slices.Sort(keys)
	return &document{keys, o.values}
}

// python writes the document as json.dump(indent=4) does.
func (o *document) python() ([]byte, error) { return appendPython(nil, o, "\n") }

func appendPython(dst []byte, v any, line string) (_ []byte, err error) {
	const indent = "    "
	switch v := v.(type) {
	case *document:
		if len(v.keys) == 0 {
			return append(dst, "{}"...), nil
		}
		dst = append(dst, '{')
		for i, k := range v.keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendASCII(append(append(dst, line...), indent...), k), ": "...)
			if dst, err = appendPython(dst, v.values[k], line+indent); err != nil {
				return nil, err
			}
		}
		return append(append(dst, line...), '}'), nil
	case []any:
		if len(v) == 0 {
			return append(dst, "[]"...), nil
		}
		dst = append(dst, '[')
		for i, item := range v {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = appendPython(append(append(dst, line...), indent...), item, line+indent); err != nil {
				return nil, err
			}
		}
		return append(append(dst, line...), ']'), nil
	case string:
		return appendASCII(dst, v), nil
	case json.Number:
		return appendNumber(dst, string(v), line)
	case int64:
		return strconv.AppendInt(dst, v, 10), nil
	case bool:
		return strconv.AppendBool(dst, v), nil
	case nil:
		return append(dst, "null"...), nil
	}
	return nil, fmt.Errorf("%T is no JSON value", v)
}

// appendASCII writes a string with everything outside printable ASCII escaped.
func appendASCII(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r == '\n':
			dst = append(dst, `\n`...)
		case r == '\r':
			dst = append(dst, `\r`...)
		case r == '\t':
			dst = append(dst, `\t`...)
		case r == '\f':
			dst = append(dst, `\f`...)
		case r == '\b':
			dst = append(dst, `\b`...)
		case ' ' <= r && r <= '~':
			dst = append(dst, byte(r))
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			dst = fmt.Appendf(dst, `\u%04x\u%04x`, hi, lo)
		default:
			dst = fmt.Appendf(dst, `\u%04x`, r)
		}
	}
	return append(dst, '"')
}

// appendNumber writes an integer exactly and a float as Python's repr. A literal
// beyond float64 is infinity there, which mlx_lm writes as a tagged float.
func appendNumber(dst []byte, text, line string) ([]byte, error) {
	if !strings.ContainsAny(text, ".eE") {
		n, ok := new(big.Int).SetString(text, 10)
		if !ok {
			return nil, fmt.Errorf("%q is no number", text)
		}
		return n.Append(dst, 10), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if math.IsInf(f, 0) {
		tagged := newDocument()
		tagged.set("__float__", map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0])
		return appendPython(dst, tagged, line)
	}
	if err != nil {
		return nil, err
	}
	// repr: the shortest digits that read back, as an exponent below 1e-4 and from
	// 1e16 on.
	if a := math.Abs(f); a != 0 && (a < 1e-4 || a >= 1e16) {
		return strconv.AppendFloat(dst, f, 'e', -1, 64), nil
	}
	at := len(dst)
	dst = strconv.AppendFloat(dst, f, 'f', -1, 64)
	if !bytes.Contains(dst[at:], []byte(".")) {
		dst = append(dst, ".0"...)
	}
	return dst, nil
}
