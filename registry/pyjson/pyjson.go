// Package pyjson reads and writes JSON as Python's json module does, which is what
// everything that reads a config.json uses: Infinity and NaN are numbers, of two
// equal keys the last wins, integers have any size, a lone surrogate is kept, and a
// byte order mark or text that is not UTF-8 is refused.
//
// Most users need [Parse], the methods of [Object], and [Object.Python].
//
// Caveats: a string with a lone surrogate holds its three bytes, which are not
// UTF-8; an Object is not safe for concurrent changes.
package pyjson

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// Limits of what is read whole. Real files are a few KiB; a list a layer is the
// longest thing in them.
const (
	MaxBytes  = 16 << 20 // of a file
	maxValues = 1 << 20  // in it
	maxDepth  = 64
	maxDigits = 4300 // of an integer, as Python has it
)

// Object is a JSON object that keeps the order of its keys. Values are *Object,
// []any of values, string, Number, int64 (set, never read), bool and nil.
type Object struct {
	keys   []string
	values map[string]any
}

// Number is a number as it is written, Infinity, -Infinity and NaN included.
type Number string

// New is an object without keys.
func New() *Object { return &Object{values: map[string]any{}} }

// Keys are the keys in order; the caller must not modify them.
func (o *Object) Keys() []string { return o.keys }

// Get is the value of a key. A nil Object has none.
func (o *Object) Get(key string) (any, bool) {
	if o == nil {
		return nil, false
	}
	v, ok := o.values[key]
	return v, ok
}

// Has reports a key that is there, whatever its value.
func (o *Object) Has(key string) bool { _, ok := o.Get(key); return ok }

// Set gives a key a value; a new one is the last, another stays where it is.
func (o *Object) Set(key string, v any) {
	if _, ok := o.values[key]; !ok {
		o.keys = append(o.keys, key)
	}
	o.values[key] = v
}

// Remove takes a key out.
func (o *Object) Remove(key string) {
	if _, ok := o.values[key]; ok {
		delete(o.values, key)
		o.keys = slices.DeleteFunc(o.keys, func(k string) bool { return k == key })
	}
}

// Text is the string under a key.
func (o *Object) Text(key string) (string, bool) {
	v, _ := o.Get(key)
	s, ok := v.(string)
	return s, ok
}

// Object is the object under a key, nil when there is none.
func (o *Object) Object(key string) *Object {
	v, _ := o.Get(key)
	d, _ := v.(*Object)
	return d
}

// Int is the integer under a key, when it is one of 64 bits.
func (o *Object) Int(key string) (int64, bool) {
	v, _ := o.Get(key)
	n, ok := v.(Number)
	if !ok {
		return 0, false
	}
	return n.Int()
}

// Sorted is a copy with its own keys in order; the values are shared.
func (o *Object) Sorted() *Object {
	s := o.Clone()
	slices.Sort(s.keys)
	return s
}

// Clone is a copy; the values are shared.
func (o *Object) Clone() *Object {
	c := &Object{slices.Clone(o.keys), make(map[string]any, len(o.values))}
	maps.Copy(c.values, o.values)
	return c
}

// Whole reports that Python reads the number as an int.
func (n Number) Whole() bool { return !strings.ContainsAny(string(n), ".eENI") }

// Int is the number as an integer of 64 bits, when it is written as one.
func (n Number) Int() (int64, bool) {
	i, err := strconv.ParseInt(string(n), 10, 64)
	return i, err == nil
}

// Float is the number as Python's float: beyond its range it is infinite.
func (n Number) Float() float64 {
	switch n {
	case "NaN":
		return math.NaN()
	case "Infinity":
		return math.Inf(1)
	case "-Infinity":
		return math.Inf(-1)
	}
	f, _ := strconv.ParseFloat(string(n), 64) // out of range gives infinity
	return f
}

// Truth is Python's truth of a value.
func Truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case string:
		return v != ""
	case Number:
		return v.Float() != 0
	case int64:
		return v != 0
	case []any:
		return len(v) > 0
	case *Object:
		return len(v.keys) > 0
	}
	return true
}
