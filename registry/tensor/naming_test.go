package tensor

import (
	"slices"
	"strings"
	"testing"
)

func TestNaming(t *testing.T) {
	for _, c := range []struct {
		naming     Naming
		path, want string // "": left out
	}{
		{Naming{}, "model.x", "model.x"},
		{Naming{}, "_orig_mod.model.x", "_orig_mod.model.x"},
		{Naming{Strip: "_orig_mod.module."}, "_orig_mod.module.model.x", "model.x"},
		{Naming{Strip: "_orig_mod"}, "_orig_mod.model.x", "model.x"},
		{Naming{Strip: "_orig_mod"}, "_orig_module.x", "_orig_module.x"}, // another segment
		{Naming{Strip: "state_dict.model."}, "state_dict.model.model.x", "model.x"},
		{Naming{Strip: "state_dict.model."}, "optimizer_states.0.state.0.exp_avg", ""},
		{Naming{Strip: "state_dict.model."}, "state_dict.modeling.x", ""},
		{Naming{Strip: "state_dict.model."}, "state_dict.model.", ""},
		{Naming{Strip: "transformer."}, "lm_head.weight", "lm_head.weight"},
		{Naming{Strip: "transformer."}, "transformer.lm_head.weight", "lm_head.weight"},
		{Naming{Strip: "_checkpoint_wrapped_module."}, "model.layers.0._checkpoint_wrapped_module.x", "model.layers.0.x"},
		{Naming{Strip: "_checkpoint_wrapped_module."}, "model.norm", "model.norm"},
		{Naming{Strip: "module."}, "module.layers.0._fsdp_wrapped_module._checkpoint_wrapped_module.x", "layers.0.x"},
		{Naming{Add: "model."}, "layers.0.x", "model.layers.0.x"},
		{Naming{Add: "model"}, "layers.0.x", "model.layers.0.x"},
		{Naming{Add: "model."}, "model.layers.0.x", "model.layers.0.x"},
		{Naming{Add: "model."}, "lm_head.weight", "lm_head.weight"},
		{Naming{Strip: "state_dict.net.", Add: "model."}, "state_dict.net.layers.0.x", "model.layers.0.x"},
		{Naming{Strip: "state_dict.net.", Add: "model."}, "state_dict.net.lm_head.weight", "lm_head.weight"},
	} {
		got, ok := c.naming.Whole().Name(c.path)
		if got != c.want || ok != (c.want != "") {
			t.Errorf("%s: %s becomes %q, %v, want %q", c.naming.Flags(), c.path, got, ok, c.want)
		}
	}
}

func TestRenamed(t *testing.T) {
	list := func(paths ...string) (l List) {
		for _, p := range paths {
			l = append(l, Info{Path: p})
		}
		return l
	}
	renamed, from, left, err := Naming{Strip: "m."}.Renamed(list("epoch", "lm_head.w", "m.b", "m.z", "m._orig_mod.a"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		naming        Naming
		list          List
		want, outside string
	}{
		{Naming{Strip: "module."}, list("model.a", "model._orig_mod.c", "module.model.b", "optimizer.a"), "model.a model.c model.b", "optimizer.a"},
		{Naming{Strip: "model.module.", Add: "model."}, list("model.embed", "model.module.layers.0.x"), "model.embed model.layers.0.x", ""},
		{Naming{Strip: "ema."}, list("ema.model.a", "ema.model.b", "model.a", "model.c"), "model.a model.b", "model.a model.c"}, // a second set
		{Naming{Strip: "net."}, list("epoch", "net.a", "net.b"), "a b", "epoch"},
		{Naming{Strip: "net."}, list("lm_head.a", "net.b", "score.c"), "b lm_head.a score.c", ""},
		{Naming{Strip: "net."}, list("lm_head.a", "net.lm_head.a", "net.b"), "b lm_head.a", "lm_head.a"}, // of the second set
	} {
		renamed, from, left, err := c.naming.Renamed(c.list)
		if err != nil {
			t.Fatal(err)
		}
		var got, outside []string
		for i, at := range from {
			if name := Unwrapped(c.list[at].Path); !strings.HasSuffix(name, strings.TrimPrefix(renamed[i].Path, "model.")) {
				t.Errorf("%s is %s", name, renamed[i].Path)
			}
		}
		for _, r := range renamed {
			got = append(got, r.Path)
		}
		for _, l := range left {
			outside = append(outside, l.Path)
		}
		want := strings.Fields(c.want)
		slices.Sort(want)
		if !slices.Equal(got, want) || strings.Join(outside, " ") != c.outside {
			t.Errorf("%s: %v, left out %v, want %v and %v", c.naming.Flags(), got, outside, want, c.outside)
		}
	}
	var got []string
	for _, r := range renamed {
		got = append(got, r.Path)
	}
	if !slices.Equal(got, []string{"a", "b", "lm_head.w", "z"}) || !slices.Equal(from, []int{4, 2, 1, 3}) || len(left) != 1 || left[0].Path != "epoch" {
		t.Errorf("%v from %v, left out %v", got, from, left)
	}
	for _, c := range []struct {
		naming Naming
		list   List
		want   []string
	}{
		{Naming{Strip: "modul."}, list("module.a", "module.b"), []string{"--strip modul.", "did you mean module.?"}},
		{Naming{Strip: "_orig_mod."}, list("model.a"), []string{"no tensor's name begins with it", `"model.a"`}},
		{Naming{Strip: "m."}, list("m._orig_mod.x", "m.x"), []string{`"m._orig_mod.x" and "m.x"`}},
	} {
		_, _, _, err := c.naming.Renamed(c.list)
		for _, text := range c.want {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("%s: %v, want %q", c.naming.Flags(), err, text)
			}
		}
	}
}

func TestFlags(t *testing.T) {
	for _, c := range []struct {
		naming Naming
		want   string
	}{
		{Naming{}, ""},
		{Naming{Strip: "_orig_mod.module."}, "--strip _orig_mod.module."},
		{Naming{Strip: "a b.", Add: "it's."}, `--strip 'a b.' --add 'it'\''s.'`},
		{Naming{Strip: "$x."}, "--strip '$x.'"},
	} {
		if got := c.naming.Flags(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.naming, got, c.want)
		}
	}
}

func TestPieceOf(t *testing.T) {
	for _, c := range []struct {
		s, whole Shape
		n        int64
		axis     int
	}{
		{Shape{2, 3}, Shape{8, 3}, 4, 0}, {Shape{8, 1}, Shape{8, 3}, 3, 1}, {Shape{8, 3}, Shape{8, 3}, 0, 0}, {Shape{2, 1}, Shape{8, 3}, 0, 0},
		{Shape{3, 3}, Shape{8, 3}, 0, 0}, {Shape{0, 3}, Shape{8, 3}, 0, 0}, {Shape{2}, Shape{8, 3}, 0, 0}, {nil, nil, 0, 0}, {Shape{16, 3}, Shape{8, 3}, 0, 0},
	} {
		if n, axis := c.s.PieceOf(c.whole); n != c.n || axis != c.axis {
			t.Errorf("%v of %v: %d along %d, want %d along %d", c.s, c.whole, n, axis, c.n, c.axis)
		}
	}
}

func TestOptimizerState(t *testing.T) {
	for path, want := range map[string]bool{
		"optimizer.state.0.exp_avg": true, "optim.state.0": true, "critic_optim.0.step": true, "optimizer_states.0": true, "AdamOptimizer.m": true, "optim0.x": true,
		"0.exp_avg_sq": true, "0.max_exp_avg_sq": true, "w.momentum_buffer": true, "w.square_avg": true, "fp32.exp_avg.w": true,
		"optimal.weight": false, "model.optimus.weight": false, "exp_average": false, "layers.0.weight": false,
	} {
		if got := OptimizerState.MatchString(path); got != want {
			t.Errorf("%s: %v", path, got)
		}
	}
}
