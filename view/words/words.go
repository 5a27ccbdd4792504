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

// Percent is a part of a whole: a little is never called nothing, nor nearly all of it all.
func Percent(part float64) string {
	s := fmt.Sprintf("%.3g %%", 100*part)
	switch {
	case part > 0 && part < 0.0001:
		return "<0.01 %"
	case part < 1 && s == "100 %":
		return ">99.9 %"
	}
	return s
}

// Rounded is Percent without decimals, for what is drawn as a bar beside it.
func Rounded(part float64) string {
	switch p := 100 * part; {
	case part > 0 && p < 1:
		return "<1 %"
	case part < 1 && p > 99:
		return ">99 %"
	default:
		return fmt.Sprintf("%.0f %%", p)
	}
}

// Ratio is a quotient of magnitudes in percent, which may be beyond 100 and as small as it is.
func Ratio(x float64) string { return fmt.Sprintf("%.3g %%", 100*x) }

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
