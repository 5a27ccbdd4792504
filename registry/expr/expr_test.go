package expr

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"wreg/registry/tensor"
)

type names map[string]Value

func (n names) Lookup(name string) (Value, bool) { v, ok := n[name]; return v, ok }

var env = names{
	"layer": Int(7), "hidden": Int(64), "heads": Int(6), "scale": Float(2.5), "tied": Bool(true),
	"dtype": String("bf16"), "nothing": Null, "list": List(Int(3), Int(5)), "a.b": Int(1),
	"big": Int(1<<63 - 1), "whole": Float(4),
}

// evalCases seed the fuzzer too.
var evalCases = []struct{ text, tree, value string }{
	{"layer<64", "(layer < 64)", "true"},
	{"layer % 2 = 1 and hidden > 5", "(((layer % 2) = 1) and (hidden > 5))", "true"},
	{"not tied or tied and layer = 7", "((not tied) or (tied and (layer = 7)))", "true"},
	{"not layer = 8", "(not (layer = 8))", "true"},
	{"1 + 2 * 3 - 4", "((1 + (2 * 3)) - 4)", "3"},
	{"2 * (3 + 4)", "(2 * (3 + 4))", "14"},
	{"absent ?? hidden/8", "(absent ?? (hidden / 8))", "8"},
	{"nothing ?? absent ?? 3", "((nothing ?? absent) ?? 3)", "3"},
	{"absent ?? 1 > 0", "((absent ?? 1) > 0)", "true"},
	{"(absent[2] + 1) ?? 9", "((absent[2] + 1) ?? 9)", "9"},
	{"hidden / 4", "(hidden / 4)", "16"},
	{"hidden / heads", "(hidden / heads)", "10.666666666666666"},
	{"hidden // heads", "(hidden // heads)", "10"},
	{"-7 // 2", "(-7 // 2)", "-4"},
	{"-7 % 4", "(-7 % 4)", "1"},
	{"-hidden + - - 1", "((-hidden) + 1)", "-63"},
	{"1 if tied else 2", "(1 if tied else 2)", "1"},
	{"1 if layer = 1 else 2 if layer = 2 else 3", "(1 if (layer = 1) else (2 if (layer = 2) else 3))", "3"},
	{"layer in [1, 7]", "(layer in [1, 7])", "true"},
	{"layer in (1, 2)", "(layer in [1, 2])", "false"},
	{"layer in 0..7", "(layer in 0..7)", "true"},
	{"layer in 0..layer-1", "(layer in 0..(layer - 1))", "false"},
	{"layer not in 8..9", "(layer not in 8..9)", "true"},
	{"nothing in [1]", "(nothing in [1])", "false"},
	{"nothing = 1 or nothing != 1 or nothing < 1", "(((nothing = 1) or (nothing != 1)) or (nothing < 1))", "false"},
	{"nothing = null and layer != null", "((nothing = null) and (layer != null))", "true"},
	{"nothing + 1", "(nothing + 1)", "null"},
	{"dtype == 'bf16'", `(dtype = "bf16")`, "true"},
	{"dtype ~ *16", "(dtype ~ *16)", "true"},
	{"dtype ~ /^b.*6$/", "(dtype ~ /^b.*6$/)", "true"},
	{`dtype ~ /a\/b/`, `(dtype ~ /a\/b/)`, "false"},
	{"dtype[0]", "dtype[0]", `"b"`},
	{"list[1] + list[-1]", "(list[1] + list[-1])", "10"},
	{"each(list, 0) + each(layer, 99)", "(each(list, 0) + each(layer, 99))", "10"},
	{"max(list) + min(1, 2)", "(max(list) + min(1, 2))", "6"},
	{"256 * round(int(8 * 100 / 3) / 256)", "(256 * round((int(((8 * 100) / 3)) / 256)))", "256"},
	{"int(scale * 3) + ceil(2.1) + floor(log2(1000))", "((int((scale * 3)) + ceil(2.1)) + floor(log2(1000)))", "19"},
	{"len(dtype) + len([])", "(len(dtype) + len([]))", "4"},
	{`len(split("1,2, 3", ","))`, `len(split("1,2, 3", ","))`, "3"},
	{"sum(list) + count(list, 3)", "(sum(list) + count(list, 3))", "9"},
	{"whole = 4 and 4 in [whole]", "((whole = 4) and (4 in [whole]))", "true"},
	{"9007199254740993 = 9007199254740992.0", "(9007199254740993 = 9.007199254740992e+15)", "false"},
	{"1GiB + 5e6 + 1.5KiB + 0x10 + 1_000", "((((1073741824 + 5000000) + 1536) + 16) + 1000)", "1078744376"},
	{"(-big - 1) % -1 + (big // -1)", "((((-big) - 1) % -1) + (big // -1))", "-9223372036854775807"},
	{"(-big - 1) * 1", "(((-big) - 1) * 1)", "-9223372036854775808"},
	{"-7.5 // 2", "(-7.5 // 2)", "-4"},
	{`len("héé") + len("héé"[2])`, `(len("héé") + len("héé"[2]))`, "4"},
	{"a.b = 1 # the rest is silence", "(a.b = 1)", "true"},
	{"x[:, 0:n, ::2, k:]", "x[:, 0:n, ::2, k:]", ""},
	{"stack(/m.{e}.{p in gate, up}.w for e in 0..n)", "stack(/m.{e}.{p in gate, up}.w for e in 0..n)", ""},
	{"x/y", "(x / y)", ""},
	{"f(/y) / {p}.w", "(f(/y) / {p}.w)", ""},
}

func TestEval(t *testing.T) {
	for _, c := range evalCases {
		n, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if n.String() != c.tree {
			t.Errorf("%s: tree %s, want %s", c.text, n, c.tree)
		}
		if again, err := Parse(n.String()); err != nil || again.String() != c.tree {
			t.Errorf("%s: %s parses as %v, %v", c.text, n, again, err)
		}
		if c.value == "" {
			continue
		}
		if v, err := Eval(n, env); err != nil || v.String() != c.value {
			t.Errorf("%s: %v, %v; want %s", c.text, v, err, c.value)
		}
	}
}

func TestEvalErrors(t *testing.T) {
	for _, c := range []struct{ text, message string }{
		{"missing + 1", "missing is not defined here"},
		{"big + 1", "9223372036854775807 + 1 overflows 64 bits"},
		{"big * 2", "9223372036854775807 * 2 overflows 64 bits"},
		{"(-big - 1) * -1", "-9223372036854775808 * -1 overflows 64 bits"},
		{"(-big - 1) // -1", "-9223372036854775808 // -1 overflows 64 bits"},
		{"abs(-big - 1)", "abs: -(-9223372036854775808) overflows 64 bits"},
		{"-big - 2", "-9223372036854775807 - 2 overflows 64 bits"},
		{"1 / 0", "division by zero"},
		{"1 % 0", "division by zero"},
		{"layer < dtype", `7 < "bf16": an integer does not compare with a string`},
		{"list[2]", "the index 2 is outside 2 elements"},
		{"each(list, 5)", "each: the index 5 is outside 2 elements"},
		{"nofunc(1)", "unknown function nofunc"},
		{"len(1, 2)", "len takes 1 arguments, not 2"},
		{"layer in 5", "in needs a list or a range, not an integer"},
		{"int(1e300)", "int: 1e+300 does not fit in 64 bits"},
		{"dtype ~ /(/", "error parsing regexp: missing closing ): `(`"},
	} {
		n, err := Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		_, err = Eval(n, env)
		var fault *EvalError
		if !errors.As(err, &fault) || fault.Message != c.message {
			t.Errorf("%s: %v, want %s", c.text, err, c.message)
		}
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, c := range []struct {
		text     string
		line     int
		column   int
		contains string
	}{
		{"1 +", 1, 4, "unexpected end, expected an expression\n  1 +\n     ^"},
		{"layer <\n  and 3", 2, 3, `unexpected "and", expected an expression` + "\n    and 3\n    ^"},
		{"a b", 1, 3, `unexpected "b", expected an operator or the end`},
		{"a < b < c", 1, 7, "comparisons do not chain"},
		{"(1", 1, 3, "unexpected end"},
		{"1)", 1, 2, `unexpected ")"`},
		{"x = 'a", 1, 5, "unterminated string"},
		{"x ~ /a", 1, 5, "unterminated regular expression: / is missing"},
		{"12zz", 1, 1, `unknown unit "zz"`},
		{"1.2.3", 1, 1, "is not a number"},
		{"99999999999999999999", 1, 1, "exceeds 64 bits"},
		{"a $ b", 1, 3, `unexpected '$'`},
		{"é $", 1, 3, `unexpected '$'`},
		{"- not a", 1, 1, "not cannot follow -"},
		{"x[]", 1, 2, "an index is empty"},
		{strings.Repeat("1+", 9000), 1, 16_001, "more than 16000 words and signs"},
		{strings.Repeat("(", 10_000), 1, MaxNesting + 1, "brackets nest deeper than 100"},
		{strings.Repeat("a ", 1<<19), 1, 1, "1048576 bytes exceed the limit of 262144"},
	} {
		_, err := Parse(c.text)
		var e *SyntaxError
		if !errors.As(err, &e) || e.Line != c.line || e.Column != c.column || !strings.Contains(e.Error(), c.contains) {
			t.Errorf("%.40s: got %v, want %d:%d %s", c.text, err, c.line, c.column, c.contains)
		}
	}
}

// The longest texts allowed, in the shapes that hurt recursive parsers.
func TestLongTexts(t *testing.T) {
	for _, unit := range []string{"1+", "not ", "-", "a??", "a if b else ", "a.b[", "a or ", "{"} {
		text := strings.Repeat(unit, (MaxTokens-1)/(1+strings.Count(unit, " "))/2) + "1"
		n, err := Parse(text)
		if err != nil {
			continue // bounded: TestSyntaxErrors says by what
		}
		if _, err := Eval(n, names{"a": Bool(false), "b": Bool(false)}); err != nil {
			t.Errorf("%q: %v", unit, err)
		}
	}
}

func FuzzExpr(f *testing.F) {
	for _, c := range evalCases {
		f.Add(c.text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n, err := Parse(text)
		if err != nil {
			var e *SyntaxError
			if !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		if _, err := Eval(n, env); err != nil {
			var e *EvalError
			if !errors.As(err, &e) {
				t.Fatalf("%T: %v", err, err)
			}
		}
	})
}

func BenchmarkParse(b *testing.B) {
	for b.Loop() {
		if _, err := Parse("layer % 2 = 1 and (hidden ?? 4) * 3 > 5 or dtype in ['bf16', 'f16']"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEval(b *testing.B) {
	n, err := Parse("layer % 2 = 1 and hidden * 3 > 5")
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := Eval(n, env); err != nil {
			b.Fatal(err)
		}
	}
}

// Hashes and shapes are values: they sort and print, and nothing is done with them.
func TestHashesAndShapes(t *testing.T) {
	h, s := Hash(tensor.Hash{1}), Shape(tensor.Shape{8, 2})
	for _, c := range []struct {
		a, b  Value
		order int
		ok    bool
	}{
		{h, Hash(tensor.Hash{2}), -1, true}, {h, h, 0, true},
		{s, Shape(tensor.Shape{8}), 1, true}, {s, Shape(nil), 1, true}, {s, h, 0, false},
		{Float(math.NaN()), Float(1), -1, false},
	} {
		if order, ok := Compare(c.a, c.b); order != c.order || ok != c.ok {
			t.Errorf("%v and %v: %d, %v", c.a, c.b, order, ok)
		}
	}
	if n, err := Apply("len", []Value{s}); err != nil || !Equal(n, Int(2)) {
		t.Errorf("len(%v) = %v, %v", s, n, err)
	}
	if v, err := Arithmetic("+", s, s); err == nil {
		t.Errorf("%v + %v = %v", s, s, v)
	}
	if fmt.Sprint(s, h) != fmt.Sprint(s.Any(), h.Any()) {
		t.Errorf("%v and %v print otherwise than what they hold", s, h)
	}
}
