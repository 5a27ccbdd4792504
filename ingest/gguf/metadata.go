package gguf

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Array is a metadata array: what it holds, without the elements.
type Array struct {
	Type string // "string", "uint32", …
	Len  int64
}

// The value types of the format, by their number.
const (
	typeUint8 = iota
	typeInt8
	typeUint16
	typeInt16
	typeUint32
	typeInt32
	typeFloat32
	typeBool
	typeString
	typeArray
	typeUint64
	typeInt64
	typeFloat64
)

// valueTypes gives each type its name and size; strings and arrays have none.
var valueTypes = []struct {
	name string
	size int64
}{
	{"uint8", 1}, {"int8", 1}, {"uint16", 2}, {"int16", 2}, {"uint32", 4}, {"int32", 4}, {"float32", 4},
	{"bool", 1}, {"string", 0}, {"array", 0}, {"uint64", 8}, {"int64", 8}, {"float64", 8},
}

const (
	maxDepth = 8       // arrays in arrays
	maxText  = 1 << 20 // bytes of a text that is kept
	// maxKept bounds the texts of all pairs together.
	maxKept = 64 << 20
)

// pair reads one metadata pair.
func (f *File) pair(c *cursor) error {
	at := c.pos
	key, err := c.str("metadata key", MaxKey)
	if err != nil {
		return err
	}
	kind, err := c.u32()
	if err != nil {
		return err
	}
	if _, twice := f.metadata[key]; twice {
		return fmt.Errorf("offset %d: metadata key %q is given twice", at, key)
	}
	v, err := c.value(kind)
	if err != nil {
		return fmt.Errorf("offset %d: metadata %q: %w", at, key, err)
	}
	if key == alignmentKey && kind != typeUint32 {
		return fmt.Errorf("offset %d: %s is of type %s; want uint32", at, key, valueTypes[kind].name)
	}
	if c.kept += int64(len(key)); c.kept > maxKept {
		return fmt.Errorf("offset %d: metadata keys and texts exceed %d bytes", at, maxKept)
	}
	f.metadata[key] = v
	return nil
}

func (c *cursor) value(kind uint32) (any, error) {
	if kind >= uint32(len(valueTypes)) {
		return nil, fmt.Errorf("unknown value type %d", kind)
	}
	switch kind {
	case typeString:
		return c.text()
	case typeArray:
		return c.array(1)
	}
	b, err := c.bytes(int(valueTypes[kind].size))
	if err != nil {
		return nil, err
	}
	var wide [8]byte
	copy(wide[:], b)
	u := binary.LittleEndian.Uint64(wide[:])
	switch kind {
	case typeInt8:
		return int64(int8(u)), nil
	case typeInt16:
		return int64(int16(u)), nil
	case typeInt32:
		return int64(int32(u)), nil
	case typeInt64:
		return int64(u), nil
	case typeFloat32:
		return float64(math.Float32frombits(uint32(u))), nil
	case typeFloat64:
		return math.Float64frombits(u), nil
	case typeBool:
		if u > 1 {
			return nil, fmt.Errorf("bool is %d", u)
		}
		return u == 1, nil
	}
	return u, nil
}

// text reads a string value, which need not be UTF-8: a token of a byte-level
// vocabulary may be half a character, and nothing depends on it. One that is too long to keep is passed over and
// stands as its length.
func (c *cursor) text() (any, error) {
	n, err := c.count("bytes of a string", 1, 0)
	if err != nil {
		return nil, err
	}
	if n > maxText {
		return Array{"byte", n}, c.skip(n)
	}
	c.kept += n
	b, err := c.copy(n)
	if err != nil {
		return nil, err
	}
	return string(b), nil
}

// array passes over an array.
func (c *cursor) array(depth int) (Array, error) {
	kind, err := c.u32()
	if err != nil {
		return Array{}, err
	}
	if kind >= uint32(len(valueTypes)) {
		return Array{}, fmt.Errorf("array of unknown value type %d", kind)
	}
	if depth > maxDepth {
		return Array{}, fmt.Errorf("arrays nest deeper than %d", maxDepth)
	}
	t := valueTypes[kind]
	smallest := t.size
	switch kind {
	case typeString:
		smallest = 8
	case typeArray:
		smallest = 12
	}
	n, err := c.count("elements of an array", smallest, 0)
	if err != nil {
		return Array{}, err
	}
	a := Array{t.name, n}
	if t.size > 0 {
		return a, c.skip(n * t.size)
	}
	for range n {
		if kind == typeArray {
			_, err = c.array(depth + 1)
		} else {
			var m int64
			if m, err = c.count("bytes of a string", 1, 0); err == nil {
				err = c.skip(m)
			}
		}
		if err != nil {
			return a, err
		}
	}
	return a, nil
}
