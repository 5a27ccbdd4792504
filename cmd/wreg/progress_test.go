package main

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
)

func TestMeterLine(t *testing.T) {
	const gib = 1 << 30
	for _, c := range []struct {
		name        string
		done, total int64
		elapsed     time.Duration
		width       int
		want        string
	}{
		{"hunyuan", 0, 3 * gib, 0, 79, "hunyuan    0%  0 B of 3 GiB"},
		{"hunyuan", gib, 3 * gib, 10 * time.Second, 79, "hunyuan   33%  1 GiB of 3 GiB  102 MiB/s  20s left"},
		{"hunyuan", gib, 3 * gib, 10 * time.Second, 39, "hunyuan   33%  1 GiB of 3 GiB"},
		{"hunyuan", gib, 3 * gib, 10 * time.Second, 19, "hunyuan   33%"},
		{"hunyuan", gib, 3 * gib, 10 * time.Second, 8, "…n   33%"},
		{"hunyuan", gib, 3 * gib, 10 * time.Second, 5, "…yuan"},
		{"hunyuan", gib, 3 * gib, 10 * time.Second, 1, "…"},
		{"hunyuan", gib, 3 * gib, 10 * time.Second, 0, ""},
		{"/a/very/long/path/to/hunyuan-mlx", gib, 3 * gib, 10 * time.Second, 39, "…h/to/hunyuan-mlx   33%  1 GiB of 3 GiB"},
		{"a", 3 * gib, 3 * gib, time.Hour, 79, "a  100%  3 GiB of 3 GiB  874 KiB/s  0s left"},
		{"a", 4 * gib, 3 * gib, time.Hour, 30, "a  100%  3 GiB of 3 GiB"},
		{"a", 1, math.MaxInt64, time.Hour, 79, "a    0%  1 B of 8 EiB  0 B/s  weeks left"},
	} {
		if got := meterLine(c.name, c.done, c.total, c.elapsed, c.width); got != c.want {
			t.Errorf("%s in %d columns: %q, want %q", c.name, c.width, got, c.want)
		}
	}
	for _, name := range []string{"", "hunyuan", "层层层层层层层层层层层层层层层层层层层层", strings.Repeat("aaaaab", 40)} {
		for _, width := range []int{0, 1, 2, 3, 5, 8, 13, 19, 20, 21, 34, 39, 40, 79, 80, 119, 500} {
			for _, done := range []int64{0, 1, 1023 << 20, math.MaxInt64} {
				line := meterLine(name, done, math.MaxInt64, 3*time.Hour, width)
				if n := text.StringWidthWithoutEscSequences(line); n > width {
					t.Fatalf("%q takes %d columns of %d", line, n, width)
				}
			}
		}
	}
}

func TestLeft(t *testing.T) {
	for seconds, want := range map[float64]string{0: "0s", 1e-6: "1s", 59: "59s", 61: "1m01s", 3720: "1h02m", 3.5e6: "972h13m", 3.6e6: "weeks", math.Inf(1): "weeks"} {
		if got := left(seconds); got != want {
			t.Errorf("left(%v) = %s, want %s", seconds, got, want)
		}
	}
}
