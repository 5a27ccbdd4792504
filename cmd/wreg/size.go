package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"wreg/view/words"
)

// units are what a size may end in, largest first within a spelling.
var units = []struct {
	suffix string
	factor float64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"T", 1 << 40}, {"B", 1}, {"", 1},
}

// parseSize reads 512MiB, 2GB or 1048576.
func parseSize(text string) (int64, error) {
	for _, u := range units {
		digits, ok := cutSuffixFold(text, u.suffix)
		if !ok {
			continue
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(digits), 64)
		if err != nil || !(f > 0 && f*u.factor < math.MaxInt64) { // NaN is neither
			break
		}
		return int64(f * u.factor), nil
	}
	return 0, fmt.Errorf("size %q: want a positive number with a unit, like 512MiB", text)
}

func cutSuffixFold(s, suffix string) (string, bool) {
	if n := len(s) - len(suffix); n >= 0 && strings.EqualFold(s[n:], suffix) {
		return s[:n], true
	}
	return s, false
}

// size is a number of bytes as people read it: 1.2 GiB.
func size(n int64) string { return words.Size(n) }
