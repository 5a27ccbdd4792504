package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wreg/export"
	"wreg/registry/arch"
	"wreg/registry/expr"
	"wreg/registry/tensor"
	"wreg/synth"
)

// Lines end where errors are joined, and nowhere else.
func TestErrorText(t *testing.T) {
	name := "x\n::error::pwned\n  wreg: fine\u202e"
	shown := `x\n::error::pwned\n  wreg: fine\u202e`
	two := errors.Join(errors.New("one "+name), errors.New("two"))
	for _, c := range []struct {
		err  error
		want string
	}{
		{errors.New("plain"), "plain"},
		{errors.New("::error::x"), `\x3a:error::x`},
		{fmt.Errorf("%s: %w", name, os.ErrNotExist), shown + ": file does not exist"},
		{two, "one " + shown + "\ntwo"},
		{fmt.Errorf("%s: %w; %s", name, two, name), shown + ": one " + shown + "\ntwo; " + shown},
		{fmt.Errorf("%w after %w", two, errors.New(name)), "one " + shown + "\ntwo after " + shown},
		{errors.Join(fmt.Errorf("%s: %w", name, two), two), shown + ": one " + shown + "\ntwo\none " + shown + "\ntwo"},
		{fmt.Errorf("%s: %w", two.Error(), two), "one " + shown + `\ntwo: one ` + shown + "\ntwo"},
		{errors.Join(context.Canceled, errors.New("disk full"), fmt.Errorf("b: %w", context.Canceled)), "disk full"},
		{fmt.Errorf("m: %w", errors.Join(context.Canceled, errors.New("disk full"))), "m: disk full"},
		{errors.Join(context.Canceled, context.Canceled), "context canceled"},
		{&export.GapError{Model: name, Gaps: []arch.Gap{{Status: arch.Extra, Unless: arch.AllowUnused, Want: arch.Want{Path: name}, Reason: "no rule"}}},
			shown + " cannot be exported: no rule uses or drops these tensors; --allow-unused leaves them out\n  extra " + shown + ": no rule"},
		{fmt.Errorf("a: %w", &expr.SyntaxError{File: name, Line: 1, Column: 2, Text: "ab", Message: name}), "a: " + shown + ":1:2: " + shown + "\n  ab\n   ^"},
	} {
		if got := errorText(c.err); got != c.want {
			t.Errorf("%q\nprints\n%s\nwant\n%s", c.err, got, c.want)
		}
	}
}

// Whatever a file, a folder or a tensor is called, it begins no line of its own,
// on stdout or stderr, in any format.
func TestNamesBeginNoLine(t *testing.T) {
	dir := t.TempDir()
	name := "n\nPWN::error::x\r\u2028PWN\u3164##[add-mask]"
	c, err := synth.Golden(filepath.Join(goldens, "llama.json"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range c.Source {
		c.Source[i].Path = strings.Replace(c.Source[i].Path, "layers.0.mlp", name, 1)
	}
	odd := filepath.Join(dir, "m"+name)
	if err := c.Write(odd, synth.Options{}); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(dir, "b"+name)
	if err := errors.Join(os.Mkdir(broken, 0o777),
		os.WriteFile(filepath.Join(broken, "a"+name+".safetensors"), make([]byte, 20), 0o666),
		os.WriteFile(filepath.Join(broken, "b"+name+".gguf"), make([]byte, 20), 0o666),
		os.WriteFile(filepath.Join(broken, "c"+name+".npz"), make([]byte, 20), 0o666),
		os.WriteFile(filepath.Join(broken, "d"+name+".bin"), make([]byte, 20), 0o666)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "r.db"))
	t.Setenv("HOME", dir)
	checks := filepath.Join(dir, "c"+name)
	if err := os.WriteFile(checks, []byte("check ::error::x\u202e nothing\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"ingest", odd, "--name", "m"}, {"ingest", broken}, {"ingest", odd}, {"ingest", odd, broken}, {"lint", odd}, {"lint", broken}, {"ls"}, {"show", "m"},
		{"query", "find * in m"}, {"query", "missing **", "-m", "m"}, {"explain", "find ** in m"}, {"explain", "find '" + name + "' in m"},
		{"export", "m", "--target", "mlx", "--out", filepath.Join(dir, "o"+name)}, {"export", "m", "--target", "mlx", "--allow-unused", "--out", filepath.Join(dir, "o"+name)},
		{"verify", odd}, {"verify", broken}, {"verify", name}, {"verify", "m"}, {"coverage", "m"}, {"show", "m", name}, {"rm", name}, {name}, {"ls", "--" + name}, {"help", name},
		{"query", "--file", checks, "-m", "m"}, {"test", checks}, {"arch", "check", checks}, {"arch", "show", name}, {"reindex", broken}, {"reindex", odd}, {"merge", checks},
		{"backup", filepath.Join(broken, "a"+name+".safetensors")}, {"synth", "--arch", name, "--out", filepath.Join(dir, "x")},
	} {
		for _, format := range append([]string{"auto"}, formats...) {
			if f := args[0]; f != "query" && f != "lint" && f != "verify" && format != "auto" && format != "table" && format != "github" {
				continue
			}
			var out, talk strings.Builder
			run(t.Context(), append([]string{"--format", format}, args...), strings.NewReader(""), &out, &talk)
			for line := range strings.SplitSeq(out.String()+talk.String(), "\n") {
				if strings.Contains(line, "##[") || strings.HasPrefix(strings.TrimSpace(line), "PWN") || strings.HasPrefix(line, "::") && format != "github" {
					t.Fatalf("wreg %q in %s:\n%q", args, format, line)
				}
				if i := strings.IndexFunc(line, func(r rune) bool { return r != '\t' && !safe(r) }); i >= 0 {
					t.Fatalf("wreg %q in %s: %q holds %q", args, format, line, line[i:min(len(line), i+4)])
				}
			}
		}
	}
}

// A signal is told once, whatever runs.
func TestInterruptedOnce(t *testing.T) {
	c, err := synth.Golden(filepath.Join(goldens, "llama.json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := c.Write(filepath.Join(dir, "m"), synth.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "r.db"))
	t.Chdir(dir)
	var out strings.Builder
	if got := run(t.Context(), []string{"ingest", "m"}, strings.NewReader(""), &out, &out); got != exitFine {
		t.Fatal(out.String())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, args := range [][]string{{"demo"}, {"demo", "--remote"}, {"ingest", "m", "m", "--rehash"}, {"export", "m", "--out", "o"}, {"verify", "m"}, {"lint", "m"}, {"reindex", "m"}, {"query", "missing **"}} {
		out.Reset()
		got := run(ctx, args, strings.NewReader(""), &out, &out)
		if got == exitFine {
			continue // done before it looked
		}
		if s := out.String(); got != exitTrouble || strings.Count(s, "interrupted") != 1 || strings.Contains(s, "context canceled") {
			t.Errorf("%q: exit status %d, %s", args, got, s)
		}
	}
}

// A format that is none stops a command before it does anything.
func TestFormatIsCheckedFirst(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "r.db"))
	for _, args := range [][]string{{"synth", "--arch", "llama", "--out", "m"}, {"ingest", "m"}, {"export", "m", "--out", "o"}, {"reindex", "m"}, {"backup", "b"}, {"rm", "m"}, {"demo"}, {"demo", "--remote"}} {
		var out, talk strings.Builder
		if got := run(t.Context(), append(args, "--format", "yaml"), strings.NewReader(""), &out, &talk); got != exitTrouble || out.Len() > 0 || !strings.Contains(talk.String(), "yaml") {
			t.Errorf("%q: exit status %d, %s %s", args, got, out.String(), talk.String())
		}
	}
	if there, err := os.ReadDir(dir); err != nil || len(there) > 0 {
		t.Errorf("%v is there, %v", there, err)
	}
}

// Of several folders each error says which; a model without config.json is told so.
func TestErrorsNameTheFolder(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("WREG_REGISTRY", "r.db")
	const header = `{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}`
	for dir, data := range map[string]string{"a": header + "x", "b": "{}", "c": header} {
		data = string([]byte{byte(len(header))}) + strings.Repeat("\x00", 7) + data
		if err := errors.Join(os.Mkdir(dir, 0o777), os.WriteFile(filepath.Join(dir, "model.safetensors"), []byte(data), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	if got := run(t.Context(), []string{"ingest", "a", "b", "c"}, strings.NewReader(""), &out, &out); got != exitTrouble ||
		!strings.Contains(out.String(), "b: model.safetensors") || !strings.Contains(out.String(), "c: model.safetensors") || !strings.Contains(out.String(), "a@1") {
		t.Errorf("exit status %d, %s", got, out.String())
	}
	for _, args := range [][]string{{"coverage", "a"}, {"arch", "show", "a"}} {
		out.Reset()
		if got := run(t.Context(), args, strings.NewReader(""), &out, &out); got != exitTrouble || !strings.Contains(out.String(), "a@1: no config.json") {
			t.Errorf("%q: exit status %d, %s", args, got, out.String())
		}
	}
}

// What holds no tensor is named once.
func TestNoTensor(t *testing.T) {
	for _, c := range []struct{ path, message, want string }{
		{"a/b.safetensors", "b.safetensors: holds no tensors", "a/b.safetensors: no tensor in it: holds no tensors"},
		{"a", "model.safetensors: missing", "a: no tensor in it: model.safetensors: missing"},
	} {
		if got := noTensor(c.path, []tensor.Finding{{Message: c.message}}).Error(); got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}
