package arch_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/registry/arch"
	"wreg/registry/arch/declare"
	"wreg/registry/expr"
	"wreg/registry/tensor"
)

// textCases are files that do not parse, or do not apply to the config beside them;
// they seed the fuzzer.
var textCases = []struct {
	text, config string
	line, column int
	message      string
}{
	{"arch x\ntensor a.weight [n", `{}`, 2, 19, `unexpected end, expected "]"`},
	{"arch x\ntensor [n]", `{}`, 2, 11, "unexpected end, expected \"[\""},
	{"arch x\nlet = 3", `{}`, 2, 5, `unexpected "="`},
	{"arch x\nfor i in 0..3 at l.{i} {\n  tensor w [4]\n", `{}`, 4, 1, "unexpected end"},
	{"arch x\ntensor w [4] from a < b < c", `{}`, 2, 25, "comparisons do not chain"},
	{"arch x\ntensor w [n]", `{}`, 2, 11, "n is missing"},
	{"arch x\ntensor w [n]", `{"n": 2.5}`, 2, 11, "n is 2.5, not a whole number"},
	{"arch x\ntensor w [n]", `{"n": -1}`, 2, 11, "a dimension is never negative"},
	{"arch x\ntensor w [n, n, n]", `{"n": 9000000000}`, 2, 1, "overflows 64 bits"},
	{"arch x\ntensor w [n * n]", `{"n": 9000000000}`, 2, 13, "overflows 64 bits"},
	{"arch x\nfor i in 0..n { tensor w.{i} [1] }", `{"n": 1000000000000}`, 2, 11, "a loop starts at 0 or above"},
	{"arch x\nfor i in 0..n { tensor w.{i} [1] }", `{"n": -1}`, 2, 11, "a loop starts at 0 or above"},
	{"arch x\nfor i in 0..n { for j in 0..n { for k in 0..n { tensor w.{i}.{j}.{k} [1] } } }", `{"n": 60000}`, 2, 0, "ask for more than 524288 names"},
	{"arch x\nuse nothing(1)", `{}`, 2, 1, "no block or architecture has this name"},
	{"arch x\nuse gqa(1)", `{}`, 2, 1, "parameter heads is missing"},
	{"arch x\nuse swiglu(1, 2, size = 3)", `{}`, 2, 23, "has no parameter"},
	{"arch x\nblock b() { use b() }\nuse b()", `{}`, 2, 13, "blocks nest more than 32 deep"},
	{"arch x\nlet a = b\nlet b = 1 / z\ntensor w [a]", `{"z": 0}`, 2, 9, "b is missing"},
	{"arch x\nlet a = heads * dim\ntensor w [a]", `{"heads": 4, "dim": "x"}`, 2, 15, `4 * "x": not defined for an integer and a string; heads is 4, dim is "x"`},
	{"arch x\nlet a = heads * dim\ntensor w [a]", `{"heads": 4, "dim": null}`, 3, 11, "a is null, not a whole number; heads is 4, dim is null"},
	{"arch x\nblock b(n) { tensor w [n] }\nuse b(heads)", `{"heads": 2.5}`, 2, 24, "n is 2.5, not a whole number; heads is 2.5"},
	{"arch x\nlet a = b1 + b2 + b3 + b4 + b5\ntensor w [a]", `{"b1": 1, "b2": 1, "b3": 1, "b4": 1, "b5": 0.5}`, 3, 11, "a is 4.5, not a whole number; b1 is 1, b2 is 1, b3 is 1, b4 is 1, and 1 more"},
	{"arch x\nlet b = 1 / z\ntensor w [b]", `{"z": 0}`, 2, 11, "division by zero"},
	{"arch x\nrefuse when n > 3 because \"too many\"", `{"n": 4}`, 2, 1, "too many"},
	{"arch x\ndrop a.*", `{}`, 2, 1, "say why"},
	{"arch x\nfor i in 0..2 { tensor a.{j}.w [1] }", `{}`, 2, 17, "{j}: j is missing"},
	{"arch x\nwhen shape(v) = [4] { tensor w [4] }", `{}`, 2, 15, "the tensor is missing; say with ?? what to assume then"},
	{"arch x\nlet n = size(3)\ntensor w [n]", `{}`, 2, 9, "unknown function size"},
	{"arch x\ntensor a.weight [4] from s.weight\ntensor b.weight [5] from s.weight", `{}`, 0, 0, "s.weight must have shape [5] here and [4] by "},
	{"arch x\nquant a.*", `{}`, 2, 1, "say how"},
	{"arch x\nread a.weight as zip(x = y)", `{}`, 2, 1, "unknown stored form zip"},
	{"arch x\nread a.weight as fp8(block = 128)", `{}`, 2, 1, "needs scale = NAME"},
	{"arch x\ntensor w [4] from blend(a, b)", `{}`, 2, 19, "unknown tensor function blend"},
	{"arch x\ntensor w [4] from permute(a, 0, 2)", `{}`, 2, 19, "each axis once"},
	{"arch x\ntensor w [4] as b16", `{}`, 2, 1, "unknown dtype b16"},
	{"arch x\ntensor w.{p in a:b, c} [4]", `{}`, 2, 1, "does not give 1 words"},
	{"arch x\nwith text_config { tensor w [4] }", `{"text_config": 3}`, 2, 1, "config.json has no object text_config"},
	{"arch x\ntensor {name}.w [4]", `{"name": "{name}"}`, 2, 1, "names nest"},
	{"tensor w [4]", `{}`, 0, 0, "the file begins with arch NAME"},
}

func TestTextErrors(t *testing.T) {
	for _, c := range textCases {
		err := apply(c.text, c.config)
		line, column := 0, 0
		var syntax *expr.SyntaxError
		var fault *arch.Error
		switch {
		case errors.As(err, &syntax):
			line, column = syntax.Line, syntax.Column
		case errors.As(err, &fault):
			line, column = fault.Line, fault.Column
		}
		if err == nil || !strings.Contains(err.Error(), c.message) || line != c.line || c.column != 0 && column != c.column {
			t.Errorf("%q with %s:\ngot  %v (%d:%d)\nwant %d:%d %s", c.text, c.config, err, line, column, c.line, c.column, c.message)
		}
		refused := fault != nil && fault.Refused
		if err != nil && line > 0 && !refused && !strings.HasSuffix(err.Error(), "^") && !strings.Contains(err.Error(), "unexpected end") {
			t.Errorf("%q: no caret: %v", c.text, err)
		}
	}
}

// What is wrong whatever the config is told at once, all of it, before there is one.
func TestStaticErrors(t *testing.T) {
	_, err := arch.Parse("x.arch", "arch x\nuse nothing()\nwhen n = 1 {\n  read a.weight as zip(x = y)\n  drop a.*\n}\nblock b() { tensor w [4] as b16 }\nuse swiglu(1, 2)")
	if err == nil {
		t.Fatal("no error")
	}
	want := []string{"x.arch:2:1: use nothing", "\n  use nothing()\n  ^", "x.arch:4:3: read: unknown stored form zip", "x.arch:5:3: drop a.*: say why", "x.arch:7:13: tensor w: unknown dtype b16"}
	at := 0
	for _, w := range want {
		i := strings.Index(err.Error()[at:], w)
		if i < 0 {
			t.Fatalf("%q is not told, or out of order:\n%v", w, err)
		}
		at += i
	}
}

// apply parses an architecture and applies it to a config and a small checkpoint.
func apply(text, config string) error {
	a, err := arch.Parse("x.arch", text)
	if err != nil {
		return err
	}
	c, err := arch.ParseConfig([]byte(config))
	if err != nil {
		return err
	}
	src := newSource([]tensor.Info{
		{Path: "w", DType: tensor.F32, Shape: tensor.Shape{4}},
		{Path: "a", DType: tensor.BF16, Shape: tensor.Shape{4, 2}},
		{Path: "a.0.weight", DType: tensor.F8E4M3, Shape: tensor.Shape{}},
	})
	for _, layout := range []string{arch.HF, arch.MLX} {
		if _, err := a.Expect(context.Background(), c, layout, nil); err != nil {
			return err
		}
		if _, err := a.Against(context.Background(), c, layout, src); err != nil {
			return err
		}
	}
	if _, err := a.Resolve(context.Background(), c, src); err != nil {
		return err
	}
	_, err = a.Invert(context.Background(), c, src)
	return err
}

func FuzzText(f *testing.F) {
	for _, c := range textCases {
		f.Add(c.text, c.config)
	}
	files, err := filepath.Glob("archs/*.arch")
	if err != nil {
		f.Fatal(err)
	}
	for i, file := range files {
		if i%8 != 0 {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text), `{"vocab_size": 4, "hidden_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1, "num_key_value_heads": 1, "intermediate_size": 4, "head_dim": 2}`)
	}
	for _, c := range hostile {
		if len(c.text)+len(c.config) < 512 {
			f.Add("arch x\n"+c.text, c.config)
		}
	}
	f.Cleanup(declare.LimitSteps(1 << 16))
	f.Fuzz(func(t *testing.T, text, config string) {
		if len(text)+len(config) > 4096 {
			return
		}
		_ = apply(text, config) // must neither panic nor hang
	})
}

func TestConfigErrors(t *testing.T) {
	for _, c := range []struct{ config, message string }{
		{``, "unexpected EOF"},
		{`[]`, "want an object"},
		{`{"a": 1} x`, "something follows"},
		{`{"a": ` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`, "nests deeper than 64"},
		{"\ufeff{}", "byte order mark"},
		{`{"a": inf}`, "want a value"},
		{"<!DOCTYPE html>\n<html>", "a web page"},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n", "git lfs pull"},
	} {
		_, err := arch.ParseConfig([]byte(c.config))
		if err == nil || !strings.Contains(err.Error(), c.message) {
			t.Errorf("%.40s: %v, want %s", c.config, err, c.message)
		}
	}
	c, err := arch.ParseConfig([]byte(`{"model_type": "hunyuann", "x": {"__float__": "Infinity"}}`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = arch.Find(c)
	var unknown *arch.UnknownError
	if !errors.As(err, &unknown) || len(unknown.Nearest) == 0 || unknown.Nearest[0] != "hunyuan" {
		t.Errorf("unknown model_type: %v", err)
	}
	if fmt.Sprint(err) == "" || !strings.Contains(err.Error(), "--arch FILE") {
		t.Errorf("the error names no way out: %v", err)
	}
}
