package arch_test

import (
	"context"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// Where a tensor is there as mlx has it, and what hf makes it of is there too and used
// for another tensor, one of the two copies would be lost: that is told, though every
// tensor has a use.
func TestSecondCopyThatIsUsed(t *testing.T) {
	a, err := arch.Parse("x.arch", "arch x\ntensor a.weight [4] from s.weight\ntensor b.weight [4] from s.weight")
	if err != nil {
		t.Fatal(err)
	}
	c, err := arch.ParseConfig([]byte("{}"))
	if err != nil {
		t.Fatal(err)
	}
	info := func(path string) tensor.Info {
		return tensor.Info{Path: path, DType: tensor.F32, Shape: tensor.Shape{4}, Bytes: 16}
	}
	for _, x := range []struct {
		there []tensor.Info
		gap   string
	}{
		{[]tensor.Info{info("s.weight")}, ""},
		{[]tensor.Info{info("a.weight"), info("b.weight")}, ""},
		{[]tensor.Info{info("a.weight"), info("s.weight")}, "s.weight"},
		{[]tensor.Info{info("b.weight"), info("s.weight")}, "s.weight"},
	} {
		r, err := a.Resolve(context.Background(), c, newSource(x.there))
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, g := range r.Gaps {
			if g.Status == arch.Extra && g.Have != nil {
				got += g.Have.Path
			}
		}
		if got != x.gap || len(r.Gaps) != min(len(x.gap), 1) {
			t.Errorf("of %v a second copy is %q, want %q: %+v", x.there, got, x.gap, r.Gaps)
		}
	}
}
