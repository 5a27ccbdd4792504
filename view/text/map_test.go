package text

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"wreg/view"
)

var escapes = regexp.MustCompile("\x1b\\[[0-9;]*m")

// fits fails when a line is too wide, ends in a space or is empty.
func fits(t *testing.T, what string, lines []string, width int) {
	t.Helper()
	for i, l := range lines {
		plain := escapes.ReplaceAllString(l, "")
		if Width(plain) > width || strings.TrimRight(plain, " ") != plain || plain == "" {
			t.Errorf("%s at %d columns, line %d: %d columns: %q", what, width, i, Width(plain), plain)
		}
		if strings.Count(l, "\x1b[0m") != strings.Count(l, "\x1b[")-strings.Count(l, "\x1b[0m") {
			t.Errorf("%s: colours go on behind %q", what, l)
		}
	}
}

// layered is a map of n layers by some components, each of them whole.
func layered(n int, names ...string) *view.Map {
	m := &view.Map{Ref: "m@1", Arch: "llama", Layout: "hf", By: view.ByLayer}
	for i := range n {
		m.Layers = append(m.Layers, int64(i))
	}
	for _, name := range names {
		r := view.Row{Component: name, Cells: make([]view.Cell, n)}
		for i := range r.Cells {
			r.Cells[i] = view.Cell{Expected: 3, Tensors: 3}
			m.Total.Expected += 3
		}
		m.Rows = append(m.Rows, r)
	}
	m.Rows = append(m.Rows, view.Row{Component: "lm_head", Outside: &view.Cell{Expected: 1, Tensors: 1}})
	m.Total.Expected++
	return m
}

func lose(m *view.Map, row, layer int) {
	m.Rows[row].Cells[layer].Missing++
	m.Total.Missing++
	m.Gaps++
}

func TestMap(t *testing.T) {
	holes := layered(61, "mlp", "mlp.experts", "self_attn")
	lose(holes, 1, 17)
	holes.Rows[2].Cells[44].Changed = 1
	holes.Rows[2].Cells[45].Extra = 2
	holes.Total.Changed, holes.Total.Extra = 1, 2
	many := layered(300, "self_attn")
	for i := 1; i < 300; i += 2 {
		lose(many, 0, i)
	}
	named := layered(2, "a-component-with-quite-a-long-name.that-no-terminal-likes")
	lose(named, 0, 1)
	whole := layered(2, "mlp", "self_attn")
	outside := layered(2, "mlp")
	outside.Rows[1].Outside.Missing = 1
	outside.Total.Missing = 1
	dense := layered(4, "mlp", "mlp.experts")
	dense.Rows[1].Cells[0] = view.Cell{}
	lose(dense, 1, 3)
	for _, c := range []struct {
		name  string
		m     *view.Map
		width int
		want  string
	}{
		{"holes", holes, 120, `
m@1  llama · layout hf · 61 layers
layer        0         10        20        30        40        50        60
mlp.experts  ·················X···········································  ← layer 17: 1 of 3 missing
self_attn    ············································~+···············  ← layers 44–45: 1 changed, 2 extra
1 component: all there (mlp)
1 component outside the layers: all there (lm_head)
549 of 550 tensors present; 1 missing, 1 changed, 2 extra
X missing  ~ changed  + extra  · all there`},
		{"folded by two", holes, 70, `
m@1  llama · layout hf · 61 layers
2 a column    0         20        40        60
mlp.experts   ········X······················  ← layer 17
self_attn     ······················~········  ← layers 44–45
1 component: all there (mlp)
1 component outside the layers: all there (lm_head)
549 of 550 tensors present; 1 missing, 1 changed, 2 extra
X missing  ~ changed  · all there`},
		{"more than a terminal has", many, 60, `
m@1  llama · layout hf · 300 layers
7 a column    0         70        140       210       280
self_attn     XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX
              ↑ 150 layers from 1 to 299: 150 of 450 missing
1 component outside the layers: all there (lm_head)
751 of 901 tensors present; 150 missing
X missing`},
		{"whole", whole, 80, `
m@1  llama · layout hf · 2 layers
2 components: all there (mlp, self_attn)
1 component outside the layers: all there (lm_head)
all 13 tensors present`},
		{"outside", outside, 80, `
m@1  llama · layout hf · 2 layers
layer    0
lm_head  X   ← outside the layers: 1 of 1 missing
1 component: all there (mlp)
6 of 7 tensors present; 1 missing
X missing`},
		{"nothing is expected of a dense layer", dense, 80, `
m@1  llama · layout hf · 4 layers
layer        0
mlp.experts   ··X  ← layer 3: 1 of 3 missing
1 component: all there (mlp)
1 component outside the layers: all there (lm_head)
24 of 25 tensors present; 1 missing
X missing  · all there`},
		{"a long name", named, 40, `
m@1  llama · layout hf · 2 layers
layer                 0
a-compon…minal-likes  ·X  ← layer 1
1 component outside the layers: all
  there (lm_head)
6 of 7 tensors present; 1 missing
X missing  · all there`},
	} {
		lines := Map(c.m, Options{Width: c.width})
		fits(t, c.name, lines, c.width)
		if got := strings.Join(lines, "\n"); got != strings.TrimPrefix(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant%s", c.name, got, c.want)
		}
	}
}

// Whatever the model and the terminal, lines fit, and there are not many.
func TestMapFits(t *testing.T) {
	var names []string
	for i := range 90 {
		names = append(names, fmt.Sprintf("部分%d.\x1b[31m<img src=x onerror=%d>", i, i))
	}
	hostile := layered(200, names...)
	for i := range names {
		lose(hostile, i, i)
		lose(hostile, i, 199-i)
	}
	other := layered(3, "x")
	other.Note = strings.Repeat("all names begin with something ", 5) + "\x1b[2J"
	for _, m := range []*view.Map{hostile, other, {}, layered(1, "a")} {
		for width := 20; width <= 240; width += 11 {
			for _, colours := range []bool{false, true} {
				lines := Map(m, Options{Width: width, Colours: colours})
				fits(t, "map", lines, width)
				if len(lines) > 6*maxRows {
					t.Errorf("%d lines at %d columns", len(lines), width)
				}
				if s := strings.Join(lines, ""); strings.Contains(s, "\x1b[31m<") || strings.Contains(s, "\x1b[2J") {
					t.Errorf("a name acts: %q", s)
				}
			}
		}
	}
}
