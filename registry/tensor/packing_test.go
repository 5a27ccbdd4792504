package tensor

import "testing"

func TestPacked(t *testing.T) {
	for _, c := range []struct {
		numbers, words Shape
		bits           int
	}{
		{Shape{3, 64}, Shape{3, 8}, 4}, {Shape{2, 3, 96}, Shape{2, 3, 9}, 3}, {Shape{32}, Shape{32}, 32}, {Shape{5, 0}, Shape{5, 0}, 6}, {nil, nil, 4},
	} {
		if got := c.words.Unpacked(c.bits); !got.Equal(c.numbers) {
			t.Errorf("%v of %d bits: %v", c.words, c.bits, got)
		}
		if got := c.numbers.Packed(c.bits); !got.Equal(c.words) {
			t.Errorf("%v of %d bits in words: %v", c.numbers, c.bits, got)
		}
	}
}

func TestPacks(t *testing.T) {
	for _, c := range []struct {
		words, groups, bits, group int64
		want                       bool
	}{
		{8, 1, 4, 64, true}, {8, 2, 4, 32, true}, {9, 3, 3, 32, true}, {1, 1, 32, 1, true},
		{8, 1, 4, 32, false}, {8, 2, 4, 64, false}, {8, 1, 33, 64, false}, {8, 1, 0, 64, false}, {8, 0, 4, 64, false}, {8, 1, 4, 0, false}, {8, -1, 4, -64, false},
		{0, 0, 4, 64, false}, {-8, 1, 4, -64, false}, {1 << 59, 1, 4, 64, false}, {8, 1 << 62, 4, 64, false}, {8, 1<<56 + 1, 4, 64, false},
	} {
		if got := Packs(c.words, c.groups, c.bits, c.group); got != c.want {
			t.Errorf("%d words, %d groups of %d numbers of %d bits: %v", c.words, c.groups, c.group, c.bits, got)
		}
	}
}
