package tensor

import (
	"strings"
	"testing"
)

// patternCases seed the fuzzer too.
var patternCases = []struct {
	pattern, path string
	want          bool
}{
	{"*", "model.norm.weight", true},
	{"*", "w", true},
	{"*", "", true},
	{"**", "model.norm.weight", true},
	{"*.bias", "model.norm.bias", true},
	{"*.bias", "bias", false},
	{"bias", "model.norm.bias", true},
	{"*.bias", "model.norm.bias.x", false},
	{"mlp.switch_mlp.*", "model.layers.7.mlp.switch_mlp.up_proj.weight", true},
	{"mlp.switch_mlp.*", "model.layers.7.mlp.switch_mlp", false},
	{"mlp.switch_mlp.*", "model.layers.7.xmlp.switch_mlp.up_proj.weight", false},
	{"experts.*.up_proj.weight", "model.layers.3.mlp.experts.2.up_proj.weight", true},
	{"experts.*.up_proj.weight", "model.layers.3.mlp.shared_experts.2.up_proj.weight", false},
	{"experts.*.up_proj.weight", "mlp.experts.2.x.up_proj.weight", false},
	{"experts.**.weight", "mlp.experts.2.x.up_proj.weight", true},
	{"experts.**.weight", "mlp.experts.weight", true},
	{"**.experts.*.up_proj.weight", "experts.1.up_proj.weight", true},
	{"experts.{0..1}.*", "mlp.experts.1.w", true},
	{"experts.{0..1}.*", "mlp.experts.2.w", false},
	{"experts.{0..15}.*", "mlp.experts.15.w", true},
	{"experts.{0..15}.*", "mlp.experts.16.w", false},
	{"experts.{0..15}.*", "mlp.experts.015.w", false},
	{"experts.{4..}.*", "mlp.experts.16.w", true},
	{"experts.{..4}.*", "mlp.experts.16.w", false},
	{"experts.{0..3,9}.*", "mlp.experts.9.w", true},
	{"experts.{0..3,9}.*", "mlp.experts.8.w", false},
	{"experts.1*.*", "mlp.experts.16.w", true},
	{"experts.1*.*", "mlp.experts.2.w", false},
	{"experts.?.*", "mlp.experts.16.w", false},
	{"experts.?.*", "mlp.experts.6.w", true},
	{"{up,down}_proj.*", "m.down_proj.weight", true},
	{"{up,down}_proj.*", "m.gate_proj.weight", false},
	{"{self_attn.q,mlp.up}_proj.*", "m.mlp.up_proj.weight", true},
	{"{self_attn.q,mlp.up}_proj.*", "m.mlp.q_proj.weight", false},
	{"{a{b,c},d}", "x.ac", true},
	{"{a{b,c},d}", "x.ad", false},
	{"{,x}y", "m.y", true},
	{"^model.*", "model.norm.weight", true},
	{"^model.*", "language.model.norm.weight", false},
	{"^*", "model.norm.weight", true},
	{"^layers.{0..3}.w", "layers.2.w", true},
	{"model.layers.{layer}.w", "model.layers.12.w", true},
	{"model.layers.{layer}.w", "model.layers.x.w", false},
	{"layers.3.experts.3.w", "layers.3.experts.3.w", true},
	{"layers.3.experts.3.w", "layers.4.experts.3.w", false},
	{"3.**", "layers.3.experts.4.w", true},
	{"3.**", "layers.4.experts.3.w", true},
	{"3.**", "layers.4.experts.4.w", false},
	{"**.3.**.4.**", "a.3.4.x", true},
	{"**.3.**.4.**", "a.4.3.x", false},
	{`a\*b`, "x.a*b", true},
	{`a\*b`, "x.axb", false},
	{"é?", "x.éß", true},
	{"h{0..3}", "h2", true},
	{"h{0..3}", "h12", false},
	{"h{0..3}2", "h12", true},
	{"*up*proj*", "m.xx_up_yy_proj", true},
	{"*.*.*", "a.b", false},
	{"*.*.*", "a.b.c.d", true},
	{"a.*.c", "a..c", true},
	{"{layer}.w", "{layer}.w", false},
}

func TestPattern(t *testing.T) {
	for _, c := range patternCases {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Errorf("%s: %v", c.pattern, err)
			continue
		}
		if got := p.Match(c.path); got != c.want {
			t.Errorf("%s matches %s: %v, want %v", c.pattern, c.path, got, c.want)
		}
		if template, index := SplitPath(c.path); JoinPath(template, index) == c.path && !strings.ContainsAny(c.path, "{}") {
			if got := p.MatchTemplate(template).Allows(index); got != c.want {
				t.Errorf("%s matches %s through its template: %v, want %v", c.pattern, c.path, got, c.want)
			}
		}
	}
}

func TestPatternErrors(t *testing.T) {
	for _, c := range []struct {
		pattern string
		offset  int
		message string
	}{
		{"", 0, "an empty segment; write * for any"},
		{"a..b", 2, "an empty segment; write * for any"},
		{".bias", 0, "an empty segment; write * for any"},
		{"a.", 2, "an empty segment; write * for any"},
		{"a.{b", 2, "{ is not closed"},
		{"a.b}", 3, "} without {"},
		{"a^b", 1, "^ is allowed only at the start"},
		{`a\`, 1, `nothing follows \`},
		{"{3..1}", 1, "{3..1} is empty: 3 is above 1"},
		{"{a..b}", 1, "{a..b}: want numbers, as in {0..15}"},
		{"{..}", 1, "{..}: want numbers, as in {0..15}"},
		{strings.Repeat("{", 20) + strings.Repeat("}", 20), 8, "braces nest deeper than 8"},
		{strings.Repeat("{a.b,c.d}", 9), 0, "its braces multiply out to more than 256 patterns; split it, or use *"},
		{strings.Repeat("a", 1025), 1024, "1025 bytes exceed the limit of 1024"},
	} {
		_, err := ParsePattern(c.pattern)
		e, ok := err.(*PatternError)
		if !ok || e.Offset != c.offset || e.Message != c.message {
			t.Errorf("%.40s: got %+v, want offset %d: %s", c.pattern, err, c.offset, c.message)
		}
	}
}

func TestMatchTemplateConditions(t *testing.T) {
	const template = "model.layers.{layer}.mlp.experts.{expert}.w"
	for _, c := range []struct {
		pattern string
		all     bool
		none    bool
		lo, hi  int64 // of the first condition, when there is one
		slot    int
	}{
		{pattern: "experts.*.w", all: true},
		{pattern: "experts.{expert}.w", all: true},
		{pattern: "experts.*.b", none: true},
		{pattern: "experts.x*.w", none: true},
		{pattern: "layers.3.**", lo: 3, hi: 3, slot: 0},
		{pattern: "experts.{2..5}.*", lo: 2, hi: 5, slot: 1},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		m := p.MatchTemplate(template)
		if m.All() != c.all || m.None() != c.none {
			t.Errorf("%s: all %v none %v", c.pattern, m.All(), m.None())
			continue
		}
		if c.all || c.none {
			continue
		}
		alternatives, ok := m.Alternatives()
		if !ok || len(alternatives) != 1 || len(alternatives[0]) != 1 {
			t.Errorf("%s: alternatives %v", c.pattern, alternatives)
			continue
		}
		cond := alternatives[0][0]
		if lo, hi, ok := cond.Range(); !ok || lo != c.lo || hi != c.hi || cond.Slot != c.slot {
			t.Errorf("%s: slot %d range %d..%d %v", c.pattern, cond.Slot, lo, hi, ok)
		}
	}
}

// Patterns that make a backtracking matcher run for years.
func TestCatastrophicPatterns(t *testing.T) {
	long := strings.Repeat("a", 2000)
	deep := strings.Repeat("1.", 1000) + "1"
	for _, c := range []struct{ pattern, path string }{
		{strings.Repeat("*a", 500) + "b", long},
		{strings.Repeat("**.", 300) + "b", deep},
		{strings.Repeat("{a,aa,*}", 120) + "b", long},
		{strings.Repeat("**.1.", 200) + "b", deep},
	} {
		p, err := ParsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		template, index := SplitPath(c.path)
		if p.Match(c.path) || p.MatchTemplate(template).Allows(index) {
			t.Errorf("%.20s… matches", c.pattern)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, c := range patternCases {
		f.Add(c.pattern, c.path)
	}
	f.Fuzz(func(t *testing.T, pattern, path string) {
		if len(path) > 200 || strings.ContainsAny(path, "{}") {
			return
		}
		p, err := ParsePattern(pattern)
		if err != nil {
			if _, ok := err.(*PatternError); !ok {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		template, index := SplitPath(path)
		if a, b := p.Match(path), p.MatchTemplate(template).Allows(index); a != b {
			t.Errorf("%q on %q: %v by path, %v by template", pattern, path, a, b)
		}
	})
}
