// Package words is how people read what was gathered, on a terminal, in a report and in a
// browser alike: sizes and counts in a unit, and names that strangers chose made inert.
//
// Most users need [Inert], [Size] and [Number].
//
// Invariants: two names never look the same; what is shown has no character that acts.
package words

import (
	"fmt"
	"strconv"

	"wreg/registry/tensor"
)

// Size is a number of bytes as people read it: 1.2 GiB.
func Size(n int64) string { return tensor.Size(n) }

// Number is a count with its thousands apart: 58,450.
func Number(n int64) string {
	s := strconv.FormatInt(n, 10)
	for i := len(s) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Params is a number of parameters as models are called by it: 7.24 B, 120.6 M.
func Params(n int64) string {
	f := float64(n)
	for _, u := range []struct {
		from float64
		unit string
	}{{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "K"}} {
		if f/u.from >= 0.99995 { // what rounds to one of a unit is one
			return fmt.Sprintf("%.4g %s", f/u.from, u.unit)
		}
	}
	return strconv.FormatInt(n, 10)
}
