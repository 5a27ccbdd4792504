package export

import (
	"fmt"
	"slices"
	"testing"

	"wreg/export/compute"
	"wreg/export/staging"
)

// What is dealt to the shares of an export must be the same on every machine: the
// largest first, as they lie when they are alike, each to the share that
// has least, the first of those that have.
func TestDeal(t *testing.T) {
	s := &writer{plan: &Plan{}}
	for _, sizes := range [][]int64{{3}, {1, 7}, {5}, {4, 4}} {
		u := unit{}
		for _, n := range sizes {
			u.segments = append(u.segments, compute.Segment{N: n})
		}
		s.units = append(s.units, u)
	}
	size := func(k staging.Key) int64 { return s.units[k.Unit].segments[k.Segment].N }
	jobs := s.segments()
	want := []staging.Key{{Unit: 1, Segment: 1}, {Unit: 2}, {Unit: 3}, {Unit: 3, Segment: 1}, {Unit: 0}, {Unit: 1}}
	if !slices.Equal(jobs, want) {
		t.Fatalf("jobs are %v, want %v", jobs, want)
	}
	for n, want := range map[int]string{
		1: "[[7 5 4 4 3 1]]",
		2: "[[7 4 1] [5 4 3]]",
		3: "[[7 1] [5 3] [4 4]]",
		8: "[[7] [5] [4] [4] [3] [1] [] []]",
	} {
		var got [][]int64
		for _, share := range deal(jobs, size, n) {
			sizes := []int64{}
			for _, j := range share {
				sizes = append(sizes, size(j))
			}
			got = append(got, sizes)
		}
		if fmt.Sprint(got) != want {
			t.Errorf("%d shares get %v, want %v", n, got, want)
		}
	}
}
