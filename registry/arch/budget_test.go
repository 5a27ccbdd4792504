package arch_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/arch/declare"
	"wreg/registry/tensor"
	"wreg/synth"
)

// lines writes n lines, numbered from 1.
func lines(n int, format string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		fmt.Fprintln(&b, strings.ReplaceAll(strings.ReplaceAll(format, "#-", fmt.Sprint(i-1)), "#", fmt.Sprint(i)))
	}
	return b.String()
}

// hostile are architectures and configs of a few lines that ask for more than any
// machine has: products of what is harmless alone.
var hostile = []struct{ name, text, config, message string }{
	{"lets that double a tensor", "let a0 = x.weight\n" + lines(60, "let a# = concat(0, a#-, a#-)") + "tensor t [1] from a60", `{}`, "more than 524288 names"},
	{"lets that double a tensor in calls", "let a0 = x.weight\n" + lines(60, "let a# = stack(a#-, permute(a#-, 0))") + "tensor t [1] from a60", `{}`, "more than 524288 names"},
	{"lets that double a stack", "let a0 = stack(x.{i}.w for i in 0..65536)\n" + lines(9, "let a# = concat(0, a#-, a#-)") + "tensor t [1] from a9", `{}`, "more than 524288 names"},
	{"a chain of steps", "let a0 = x.weight\n" + lines(1100, "let a# = a#- + 1") + "tensor t [1] from a1100", `{}`, "more than 1024 steps deep"},
	{"lets that double a text", "let a0 = \"abcdefgh\"\n" + lines(60, "let a# = a#- + a#-") + "tensor t [len(a60)]", `{}`, "takes more than 1048576 steps"},
	{"lets that double a list", "let a0 = [1, 2]\n" + lines(60, "let a# = a#- + a#-") + "tensor t [len(a60)]", `{}`, "takes more than 1048576 steps"},
	{"lists of lists", "let a0 = [1, 2]\n" + lines(60, "let a# = [a#-, a#-]") + "tensor t [len(str(a60))]", `{}`, "takes more than 1048576 steps"},
	{"lets that fail twice", "let a0 = z + 1\n" + lines(60, "let a# = (a#- ?? a#-) ?? a#-") + "tensor t [a60 ?? 1, 0 // 0]", `{}`, "division by zero"},
	{"blocks that use blocks twice", lines(30, "block b#() { use b#-() use b#-() }") + "block b0() { }\nuse b30()", `{}`, "takes more than 1048576 steps"},
	{"loops in loops that make nothing", "for i in 0..60000 { for j in 0..60000 { } }", `{}`, "more than 524288 names"},
	{"loops over lists", "for i in l { for j in l { for k in l { } } }", `{"l": [` + strings.Repeat("1, ", 2000) + `1]}`, "more than 524288 names"},
	{"alternatives of alternatives", "tensor a.{i in 0..4000}.{j in 0..4000}.w [1]", `{}`, "more than 65536 names"},
	{"alternatives in loops", "for i in 0..65000 { tensor w.{i}.{a,b,c}.weight [2, 2] from v.{i}.w }", `{}`, "x.arch:2:21: architecture and config ask for more than 524288 names"},
	{"alternatives that are long", "tensor a.{i in 0..65536}." + strings.Repeat("x", 8000) + " [1]", `{}`, "more than 524288 names"},
	{"a long name in each round", "for i in 0..60000 { tensor {s}.{i} [1] }", `{"s": "` + strings.Repeat("x", 8000) + `"}`, "more than 524288 names"},
	{"a name longer than any", "tensor {s}{s} [1]", `{"s": "` + strings.Repeat("x", 5000) + `"}`, "a name of more than 8192 bytes"},
	{"names that grow names", "tensor {a} [1]", `{"a": "{b}{b}{b}{b}", "b": "{c}{c}{c}{c}", "c": "{d}{d}{d}{d}", "d": "` + strings.Repeat("x", 200) + `"}`, "a name of more than 8192 bytes"},
	{"expressions in names", "for i in 0..60000 { tensor {s}{i} [1] }", `{"s": "{` + strings.Repeat("1+", 2000) + `1}"}`, "takes more than 1048576 steps"},
	{"long conditions", "for i in 0..60000 { when " + strings.Repeat("not ", 3000) + "true { } }", `{}`, "takes more than 1048576 steps"},
	{"sources in loops", "for i in 0..65536 { source {a.0, a.1, a.2, a.3, a.4, a.5, a.6, a.7, a.8}.{i} [1] }", `{}`, "more than 524288 names"},
	{"rules for each of many", "for i in 0..5000 { tensor w.{i}.weight [4] from x.{i}.b }\nfor i in 0..5000 { keep *.{i}.a }", `{}`, "takes more than 4194304 steps"},
	{"drops for each of many", "for i in 0..5000 { drop x.*.{i}.a because \"b\" }", `{}`, "takes more than 4194304 steps"},
	{"patterns that multiply out", "for i in 0..65536 { keep " + strings.Repeat("{a.b,c.d}", 8) + " }", `{}`, "more than 524288 names"},
	{"reads for each of many", "for i in 0..5000 { tensor w.{i}.weight [2, 2] }\nfor i in 0..5000 { read *.{i} as fp8(scale = s) }", `{}`, "takes more than 4194304 steps"},
	{"a list walked in each round", "for i in 0..65536 { when i in l { tensor w.{i} [1] } }", `{"l": [` + strings.Repeat("-1, ", 20000) + `-1]}`, "takes more than 1048576 steps"},
	{"a list counted in each round", "for i in 0..65536 { tensor w.{i} [count(l, i)] }", `{"l": [` + strings.Repeat("-1, ", 20000) + `-1]}`, "takes more than 1048576 steps"},
	{"objects looked for in each round", "for i in 0..65536 { tensor w.{i} [get(l, a = i, b) ?? 1] }", `{"l": [` + strings.Repeat(`{"a": -1}, `, 20000) + `{}]}`, "takes more than 1048576 steps"},
	{"a checkpoint searched in each round", "for i in 0..65536 { when present(\"**.x.{i}\") { tensor w.{i} [1] } }", `{}`, "takes more than 1048576 steps"},
	{"vectors", "for i in 0..65536 { tensor w.{i} [9] from mulvec(a, [60000], [2], 3) }", `{}`, "more than 524288 names"},
	{"a vector longer than any", "tensor w [9] from mulvec(a, [9223372036854775807, 9223372036854775807], [2, 2], 3)", `{}`, "more than 524288 names"},

	{"a count that is infinite", "for i in 0..n { tensor w.{i} [1] }", `{"n": {"__float__": "Infinity"}}`, "n is +Inf, not a whole number"},
	{"a count that is no number", "for i in 0..n { tensor w.{i} [1] }", `{"n": {"__float__": "NaN"}}`, "n is NaN, not a whole number"},
	{"a count that is a text", "for i in 0..n { tensor w.{i} [1] }", `{"n": "4"}`, `n is "4", not a whole number`},
	{"a count that is a list", "for i in 0..n { tensor w.{i} [1] }", `{"n": [` + strings.Repeat("1, ", 20000) + `1]}`, "n is [1, 1, 1, 1"},
	{"a size that is null", "tensor w [n]", `{"n": null}`, "n is null, not a whole number"},
	{"a factor that is infinite", "tensor w [4] from a * n", `{"n": {"__float__": "-Infinity"}}`, "n is -Inf, not a finite number"},
	{"a term that is no number", "tensor w [4] from a + n", `{"n": {"__float__": "NaN"}}`, "n is NaN, not a finite number"},
	{"a temperature that is infinite", "tensor w [4] from branch(a, n)", `{"n": {"__float__": "Infinity"}}`, "n is +Inf, not a finite number"},
	{"a scale that is infinite", "tensor w [4] from mulvec(a, [4], [1], n)", `{"n": {"__float__": "Infinity"}}`, "n is +Inf, not a finite number"},
	{"an axis below 0", "tensor w [4] from concat(n, a, w)", `{"n": -1}`, "n is -1: axes count from 0"},
	{"a squeezed axis below 0", "tensor w [4] from squeeze(a, n)", `{"n": -1}`, "squeeze takes a tensor and an axis, not [-1]"},
	{"a repeated axis below 0", "tensor w [4] from repeat(a, 2, n)", `{"n": -1}`, "repeat takes a tensor, a count and an axis, not [2 -1]"},
	{"an axis above all", "tensor w [4] from unflatten(a, n, 2, 2)", `{"n": 9223372036854775807}`, "n is 9223372036854775807"},
	{"axes above all", "tensor w [4] from flatten(a, 0, n)", `{"n": 9223372036854775807}`, "n is 9223372036854775807"},
	{"many axes made one", "tensor w [4] from flatten(a, 0, n)", `{"n": 1000000000}`, "how many axes become one"},
	{"an index below 0", "tensor w [4] from a[n]", `{"n": -1}`, "n is -1: an index counts from 0"},
	{"a slice above all", "tensor w [4] from a[0:n]", `{"n": 9223372036854775807}`, "slices count from 0"},
	{"a step above all", "tensor w [4] from a[0:4:n]", `{"n": 9223372036854775807}`, "slices count from 0"},
	{"a repetition above all", "tensor w [4] from repeat(a, n, 0)", `{"n": 9223372036854775807}`, "n is 9223372036854775807"},
	{"rows without columns", "read a.weight as fp8(scale = s, rows = 4)", `{}`, "rows = 4 and cols = 0"},
	{"a block of none", "read a.weight as fp8(scale = s, block = n)", `{"n": 0}`, "block is 0"},
	{"a group below 0", "read a.weight as int4(packed = p, scale = s, group = n)", `{"n": -32}`, "group is -32"},
	{"more axes than a tensor has", "tensor w [" + strings.Repeat("1, ", 80) + "1]", `{}`, "81 dimensions"},
	{"a source with more axes", "source w [" + strings.Repeat("1, ", 80) + "1]", `{}`, "81 dimensions"},
	{"a source above all", "source w [n, n, n]", `{"n": 9000000000}`, "overflows 64 bits"},
}

// Each ends with an error that says which limit was met, long before it takes the
// memory of a laptop.
func TestHostile(t *testing.T) {
	var many []tensor.Info
	for i := range 20000 {
		many = append(many, tensor.Info{Path: fmt.Sprintf("x.%d.b", i), DType: tensor.BF16, Shape: tensor.Shape{4}})
	}
	src := newSource(append(many,
		tensor.Info{Path: "a", DType: tensor.BF16, Shape: tensor.Shape{4}},
		tensor.Info{Path: "w", DType: tensor.BF16, Shape: tensor.Shape{4}}))
	for _, c := range hostile {
		t.Run(c.name, func(t *testing.T) {
			limit := int64(1 << 28)
			if _, err := fmt.Sscanf(c.message, "takes more than %d steps", &limit); err == nil { // the real limit takes long to reach
				defer declare.LimitSteps(limit)()
			}
			a, err := arch.Parse("x.arch", "arch x\n"+c.text)
			if err != nil {
				t.Fatal(err)
			}
			config, err := arch.ParseConfig([]byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = a.Resolve(t.Context(), config, src)
			runtime.ReadMemStats(&after)
			if err == nil || !strings.Contains(err.Error(), c.message) {
				t.Errorf("%.300v, want %s", err, c.message)
			}
			if err != nil && len(err.Error()) > 10_000 {
				t.Errorf("the error has %d bytes", len(err.Error()))
			}
			if took := (after.TotalAlloc - before.TotalAlloc) >> 20; took > 1024 {
				t.Errorf("%d MiB were allocated", took)
			}
		})
	}
}

// A config with thousands of layers, each with rules of its own, is resolved in
// steps that grow as its tensors do.
func TestManyRules(t *testing.T) {
	text, err := synth.Config("olmo_hybrid")
	if err != nil {
		t.Fatal(err)
	}
	defer declare.LimitSteps(1 << 24)()
	for _, layers := range []int{2000} {
		text, err := synth.SetKey(text, "layer_types", "["+strings.Repeat(`"linear_attention", "linear_attention", "linear_attention", "full_attention", `, layers/4-1)+`"full_attention"]`)
		if err != nil {
			t.Fatal(err)
		}
		config, err := arch.ParseConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		a, err := arch.Find(config)
		if err != nil {
			t.Fatal(err)
		}
		r, err := a.Resolve(t.Context(), config, newSource(complete(t, a, config, arch.HF)))
		if err != nil {
			t.Fatal(err)
		}
		complain(t, r)
	}
}
