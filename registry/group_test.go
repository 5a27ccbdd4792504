package registry

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

// Names without a number in common would be a block each.
func TestTooManyTemplates(t *testing.T) {
	tensors := make([]tensor.Info, maxTemplates+1)
	for i := range tensors {
		tensors[i] = tensor.Info{Path: fmt.Sprintf("tensor_%d", i), DType: tensor.U8, Shape: tensor.Shape{1}, Bytes: 1}
	}
	if _, err := group(tensors); err == nil || !strings.Contains(err.Error(), "262145 tensors have more than 262144 templates") {
		t.Errorf("%v", err)
	}
	if groups, err := group(tensors[1:]); err != nil || len(groups) != maxTemplates {
		t.Errorf("%d groups, %v", len(groups), err)
	}
}

// Entries are sorted by their numbers however they come and however large they are.
func TestSortEntries(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, top := range []int64{2, 1000, 1 << 30, math.MaxInt64} { // from all of them in one word to none
		for axes := range 6 {
			entries := make([]entry, 500)
			for i := range entries {
				entries[i].index = make([]int64, axes)
				for a := range axes {
					entries[i].index[a] = rnd.Int64N(top)
				}
			}
			want := slices.Clone(entries)
			slices.SortStableFunc(want, compareEntries)
			sortEntries(entries)
			for i := range want {
				if !slices.Equal(entries[i].index, want[i].index) {
					t.Fatalf("below %d, %d axes: %v at %d, want %v", top, axes, entries[i].index, i, want[i].index)
				}
			}
		}
	}
}
