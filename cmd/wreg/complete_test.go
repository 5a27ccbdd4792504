package main

import (
	"context"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wreg/registry"
	"wreg/synth"
)

// offered is what a shell is offered for the last of the words, and cobra's directive.
func offered(t *testing.T, words ...string) (list []string, directive string) {
	t.Helper()
	var out strings.Builder
	if got := run(t.Context(), append([]string{"__complete"}, words...), strings.NewReader(""), &out, io.Discard); got != exitFine {
		t.Fatalf("%q: exit status %d", words, got)
	}
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if d, ok := strings.CutPrefix(line, ":"); ok {
			directive = d
		} else if line != "" {
			list = append(list, line)
		}
	}
	return list, directive
}

// Every flag that takes a word offers some, or files where it takes a file, or a name that
// only its user knows; and no argument offers files that takes none.
func TestEveryFlagCompletes(t *testing.T) {
	twoModels(t)
	free := []string{"max-shard-size", "memory", "message", "name", "part", "strip", "add", "q-override", "set", "without", "jobs", "q-bits", "q-group-size"}
	var walk func(c *cobra.Command)
	walk = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			walk(sub)
		}
		path := strings.Fields(c.CommandPath())[1:]
		if !c.Runnable() || c.HasSubCommands() || len(path) > 0 && path[0] == "completion" {
			return
		}
		c.LocalFlags().VisitAll(func(f *pflag.Flag) {
			if f.Value.Type() == "bool" {
				return
			}
			list, directive := offered(t, append(path, "--"+f.Name, "")...)
			kind, _ := pflag.UnquoteUsage(f)
			files := kind == "FILE" || kind == "DIR" || directive == "16"
			known := kind == "NAME" || f.Value.Type() != "string"
			for _, name := range free {
				known = known || f.Name == name
			}
			switch {
			case files && directive != "0" && directive != "16", !files && directive != "4":
				t.Errorf("%s --%s: directive %s", c.CommandPath(), f.Name, directive)
			case !files && !known && len(list) == 0:
				t.Errorf("%s --%s offers nothing", c.CommandPath(), f.Name)
			}
		})
		_, directive := offered(t, append(path, "")...)
		if takes := strings.Contains(c.Use, "FILE") || strings.Contains(c.Use, "PATH") || strings.Contains(c.Use+" ", "DIR ") && !strings.Contains(c.Use, "--out DIR") || strings.Contains(c.Use, "|PATH"); takes != (directive == "0" || directive == "16") {
			t.Errorf("%s: files are taken: %v, directive %s", c.CommandPath(), takes, directive)
		}
	}
	walk((&app{}).root())
}

func TestWhatIsOffered(t *testing.T) {
	twoModels(t)
	for words, want := range map[string]string{
		"show h":                              "hy\t94 tensors, layout hf",
		"show hy@":                            "hy@1\t94 tensors, layout hf",
		"show hy mod":                         "model.\t94 tensors",
		"show hy model.layers.2.mlp.experts.": "model.layers.2.mlp.experts.0.\t3 tensors|model.layers.2.mlp.experts.1.\t3 tensors|model.layers.2.mlp.experts.2.\t3 tensors|model.layers.2.mlp.experts.3.\t3 tensors",
		"show hy model.norm":                  "model.norm.\t1 tensor",
		"show hy model.norm.":                 "model.norm.weight",
		"show hy model.norm.weight ":          "",
		"show nosuch mod":                     "",
		"diff hy l":                           "ll\t21 tensors, layout hf",
		"diff hy ll ":                         "",
		"rm hy l":                             "ll\t21 tensors, layout hf",
		"ls l":                                "ll\t21 tensors, layout hf",
		"version ":                            "",
		"export hy --target m":                "mlx\twhat mlx_lm loads, experts stacked|mlx-vlm\twhat mlx_vlm loads: the same, and what sees and hears",
		"export hy --dtype b":                 "bfloat16\tthe range of float32, 8 bits of precision",
		"export hy --prove s":                 "sha256\tslower, also against intent",
		"export hy --device c":                "cpu\tthis processor",
		"arch show llam --layout m":           "mlx\twhat mlx_lm loads, experts stacked|mlx-vlm\twhat mlx_vlm loads: the same, and what sees and hears",
		"synth --arch hunyuan_v1":             "hunyuan_v1_dense",
		"query -m l":                          "ll\t21 tensors, layout hf",
		"shell -m ll@":                        "ll@1\t21 tensors, layout hf",
	} {
		list, _ := offered(t, strings.Split(words, " ")...)
		var begun []string
		for _, l := range list {
			if strings.HasPrefix(l, words[strings.LastIndexByte(words, ' ')+1:]) {
				begun = append(begun, l)
			}
		}
		if got := strings.Join(begun, "|"); got != want {
			t.Errorf("%s: %q, want %q", words, got, want)
		}
	}
}

// What is nearly right is guessed: flags, dtypes, tensors.
func TestGuesses(t *testing.T) {
	twoModels(t)
	for words, want := range map[string]string{
		"ls --formt json":                          "unknown flag: --formt; did you mean --format? see wreg ls --help",
		"export hy --dry --out x":                  "unknown flag: --dry; see",
		"export hy --dryrun --out x":               "did you mean --dry-run?",
		"query --exitcode find":                    "did you mean --exit-code?",
		"ls --xyzzy":                               "unknown flag: --xyzzy; see wreg ls --help",
		"export hy --dtype fp16 --out x":           `dtype "fp16" is unknown; did you mean float16?`,
		"export hy --dtype torch.bfloat16 --out x": `did you mean bfloat16?`,
		"export hy --dtype half --out x":           "did you mean float16?",
		"synth --arch llama --out y --dtype fp8":   "did you mean f8_e4m3?",
		"query find|*|where|dtype=fp16":            `did you mean "f16"?`,
		"query find|*|where|dtype=float32":         `did you mean "f32"?`,
		"show hy model.embed_token.weight":         "did you mean model.embed_tokens.weight?",
		"show hy norm.weight":                      "did you mean model.norm.weight?",
		"show hy model.norm":                       "did you mean model.norm.weight?",
		"show hy nothing.like.it":                  `no tensor "nothing.like.it"; wreg query 'find * in hy@1' lists them`,
	} {
		args := strings.Fields(words)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "|", " ")
		}
		var talk strings.Builder
		if got := run(t.Context(), args, strings.NewReader(""), io.Discard, &talk); got != exitTrouble || !strings.Contains(talk.String(), want) {
			t.Errorf("%s: exit status %d, %s, want %s", words, got, talk.String(), want)
		}
	}
}

// A registry that is being written is not waited for at each key.
func TestGlancesLeaveABusyRegistryAlone(t *testing.T) {
	twoModels(t)
	path, err := (&app{}).registryPath()
	if err != nil {
		t.Fatal(err)
	}
	r, err := registry.Open(path, registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	glance := (&app{}).glances(func() time.Time { return at })
	first := glance(func(*registry.Snapshot) error { return nil })
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if second := glance(func(*registry.Snapshot) error { return nil }); first == nil || second != first {
		t.Errorf("first %v, then %v", first, second)
	}
	at = at.Add(time.Minute)
	if err := glance(func(*registry.Snapshot) error { return nil }); err != nil {
		t.Errorf("once it is free: %v", err)
	}
}

// twoModels makes a registry with hunyuan as hy and llama as ll in a folder of its own.
func twoModels(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("WREG_REGISTRY", filepath.Join(dir, "r.db"))
	t.Setenv("XDG_DATA_HOME", filepath.Join(dir, "data"))
	t.Setenv("TERM", "xterm")
	t.Setenv("NO_COLOR", "")
	home, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, golden := range map[string]string{"hy": "hunyuan", "ll": "llama"} {
		c, err := synth.Golden(filepath.Join(goldensAt, golden+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Write(filepath.Join(home, name), synth.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	var out strings.Builder
	for _, name := range []string{"hy", "ll"} {
		if got := run(context.Background(), []string{"ingest", name, "--quiet"}, strings.NewReader(""), io.Discard, &out); got != exitFine {
			t.Fatal(out.String())
		}
	}
}

// goldensAt is where the goldens are, from any folder.
var goldensAt, _ = filepath.Abs(goldens)
