package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"wreg/accel"
)

// TestBenchReport: a goal is told as met, as not met, or not at all.
func TestBenchReport(t *testing.T) {
	line := accel.BenchLine{Operation: "cast", Device: "cpu", Kernels: "go", Bytes: 6, Read: 1.234, Rate: 2.345, OfCopy: .567}
	missed, met := line, line
	missed.Goal = "0.60 of copy"
	met.Goal, met.Met = "0.50 of copy", true
	got := benchReport([]accel.BenchLine{line, missed, met})
	want := [][]any{
		{"cast", "cpu", "go", 6, 1.23, 2.35, .57, "", ""},
		{"cast", "cpu", "go", 6, 1.23, 2.35, .57, "0.60 of copy", "not met"},
		{"cast", "cpu", "go", 6, 1.23, 2.35, .57, "0.50 of copy", "met"},
	}
	if diff := cmp.Diff(want, got.rows); diff != "" {
		t.Errorf("rows (-want +got):\n%s", diff)
	}
	for _, row := range got.rows {
		if len(row) != len(got.columns) {
			t.Errorf("%d cells for %d columns", len(row), len(got.columns))
		}
	}
}
