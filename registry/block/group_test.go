package block

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

// Each template with numbers is a Group that is held; names without are not.
func TestTooManyTemplates(t *testing.T) {
	tensors := make([]tensor.Info, maxTemplates+1)
	for i := range tensors {
		tensors[i] = tensor.Info{Path: fmt.Sprintf("tensor_%d.0", i), DType: tensor.U8, Shape: tensor.Shape{1}, Bytes: 1}
	}
	if _, err := Group(tensors); err == nil || !strings.Contains(err.Error(), "262145 tensors have more than 262144 templates") {
		t.Errorf("%v", err)
	}
	tensors[0].Path = "tensor"
	if groups, err := Group(tensors); err != nil || groups.Len() != maxTemplates+1 {
		t.Errorf("%d blocks, %v", groups.Len(), err)
	}
}

// Blocks come in the order of their keys, of whatever kind they are.
func TestGroupsInOrder(t *testing.T) {
	var tensors []tensor.Info
	for _, path := range []string{"z", "a.1.w", "a.0.w", "a", "{n}.1", "b.{layer}", "b", "m.7", "a.w"} {
		tensors = append(tensors, tensor.Info{Path: path, DType: tensor.U8, Shape: tensor.Shape{1}, Bytes: 1})
	}
	groups, err := Group(tensors)
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for window := range windows(groups.inOrder) {
		for _, g := range window {
			keys = append(keys, fmt.Sprint(g.key, len(g.entries)))
		}
	}
	if want := []string{"lb.{layer}1", "l{n}.11", "ta1", "ta.w1", "ta.{n}.w2", "tb1", "tm.{n}1", "tz1"}; !slices.Equal(keys, want) {
		t.Errorf("%q, want %q", keys, want)
	}
	if _, err := Group(append(tensors, tensors[0], tensors[1])); err == nil || strings.Count(err.Error(), "comes twice") != 2 {
		t.Errorf("two of one name twice: %v", err)
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
