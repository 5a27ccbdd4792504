package export_test

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/export"
	"wreg/synth"
)

// reconfigured writes a golden's checkpoint with more at the end of its config.json.
func reconfigured(t *testing.T, name, more string) string {
	t.Helper()
	c, err := synth.Golden(filepath.Join(goldens, name+".json"))
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), name)
	if err := c.Write(dir, synth.Options{}); err != nil {
		t.Fatal(err)
	}
	config := bytes.TrimSuffix(bytes.TrimSpace(c.Config), []byte("}"))
	write(t, filepath.Join(dir, "config.json"), string(config)+more+"}")
	return dir
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestConfigAsPythonReadsIt: what mlx_lm 0.32.2's load_config and save_config make
// of the same keys, byte by byte.
func TestConfigAsPythonReadsIt(t *testing.T) {
	src := reconfigured(t, "mamba2", `, "zz": 1, "time_step_limit": [0.0, Infinity], "a": -Infinity, "b": NaN, "c": 1e999, "big": 123456789012345678901234567890,`+
		"\r\n"+` "lone": "\ud83d", "f": 1e-7, "g": 0.10, "zz": 2`)
	write(t, filepath.Join(src, "generation_config.json"), `{"eos_token_id": [1, 2, 3], "max_new_tokens": Infinity}`)
	out, _ := exported(t, src, export.Options{NoSync: true})
	got, err := os.ReadFile(filepath.Join(out, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	infinity := "{\n        \"__float__\": \"%Infinity\"\n    }"
	for _, want := range []string{
		"\"time_step_limit\": [\n        0.0,\n        {\n            \"__float__\": \"Infinity\"\n        }\n    ]",
		"\"a\": " + strings.Replace(infinity, "%", "-", 1), "\"c\": " + strings.Replace(infinity, "%", "", 1), "\"b\": {\n        \"__float__\": \"NaN\"\n    }",
		"\"big\": 123456789012345678901234567890,", `"lone": "\ud83d"`, "\"f\": 1e-07,", "\"g\": 0.1,", "\"zz\": 2\n", "\"eos_token_id\": [\n        1,\n        2,\n        3\n    ]",
	} {
		if !strings.Contains(string(got), want) {
			t.Errorf("config.json lacks %s:\n%s", want, got)
		}
	}
}

// TestFilesBeside: what lies beside the weights and is not what its name says is
// refused with what it is; what is there and cannot be read is never passed over.
func TestFilesBeside(t *testing.T) {
	const pointer, page = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 17000000\n", "<!DOCTYPE html>\n<html><body>Sign in</body></html>"
	for _, c := range []struct{ file, text, fails string }{
		{"generation_config.json", `{"eos_token_id": [1, 2], "x": }`, "generation_config.json"},
		{"generation_config.json", "\ufeff{}", "byte order mark"},
		{"generation_config.json", `[]`, "want an object"},
		{"generation_config.json", `{"eos_token_id": 7, "temperature": NaN}`, ""},
		{"generation_config.json", pointer, "git lfs pull"},
		{"tokenizer.json", pointer, "tokenizer.json: a Git LFS pointer"},
		{"tokenizer.json", page, "tokenizer.json: a web page"},
		{"tokenizer.json", `{"version": "1.0", "model": {"vocab": {"a": 1, `, "tokenizer.json: is not JSON"},
		{"tokenizer.json", `{"version": "1.0", "lone": "\ud83d"}`, ""},
		{"tokenizer_config.json", "", "tokenizer_config.json: is not JSON"},
		{"tokenizer.model", pointer, "tokenizer.model: a Git LFS pointer"},
		{"merges.txt", page, "merges.txt: a web page"},
		{"merges.txt", "#version: 0.2\na b\n", ""},
		{"merges.txt", "\ufeff#version: 0.2\na b\n", "merges.txt: begins with a byte order mark"},
		{"merges.txt", "<h tml\n<ht ml>\n", ""},
		{"vocab.txt", "<html>\n<s>\n</s>\nthe\n##ing\n", ""},
		{"vocab.txt", "<html>\n<head>\n<title>\n<body>\n</html>\n</body>\n[UNK]\n", ""},
		{"vocab.txt", "<!DOCTYPE>\r\n<html>\r\n<unk>\r\n", ""},
		{"vocab.txt", "<?xml\n<unk>\n", ""},
		{"vocab.txt", "<HTML>\n" + strings.Repeat("token\n", 1000), ""},
		{"vocab.txt", "<html>\n<head><title>404 Not Found</title></head>\n<body>\n", "vocab.txt: a web page"},
		{"vocab.txt", "<html lang=en>\n<head>\n", "vocab.txt: a web page"},
		{"vocab.txt", "<!doctype html>\n<html>\n<head>\n<meta charset=\"utf-8\">\n", "vocab.txt: a web page"},
		{"vocab.txt", "\n<html>\n<body>\nmoved\n</body>\n</html>\n", "vocab.txt: a web page"},
		{"vocab.txt", "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error>", "vocab.txt: a web page"},
		{"vocab.txt", "\xff\xfe[\x00P\x00", "vocab.txt: is UTF-16"},
		{"vocab.txt", "\xff\xfe\x00\x00", "vocab.txt: is UTF-32"},
		{"vocab.txt", "\ufeff[PAD]\n[UNK]\n", "vocab.txt: begins with a byte order mark"},
		{"vocab.txt", "Entry not found", "vocab.txt: holds a server's answer"},
		{"vocab.txt", "entry\nnot\nfound\n", ""},
		{"vocab.txt", pointer, "git lfs pull"},
		{"tokenizer.json", "\xff\xfe{\x00", "tokenizer.json: is not JSON: is UTF-16"},
		{"tokenizer.json", "\ufeff{}", "tokenizer.json: is not JSON: begins with a byte order mark"},
		{"chat_template.jinja", "<html>\n{{ messages }}\n", ""},
		{"chat_template.jinja", "<!DOCTYPE html>\n<html><head>", "chat_template.jinja: a web page"},
		{"chat_template.jinja", "<|im_start|>{{ x }}", ""},
	} {
		src := written(t, "llama")
		write(t, filepath.Join(src, c.file), c.text)
		_, err := plan(t, src, export.Options{Out: filepath.Join(t.TempDir(), "out")})
		if (err == nil) != (c.fails == "") || err != nil && !strings.Contains(err.Error(), c.fails) {
			t.Errorf("%s %.30q: %v, want %q", c.file, c.text, err, c.fails)
		}
	}
}

// A quantization block that is null is none, which is said; one that is no object stops
// mlx_lm and transformers, and so stops the export, and gaps as well.
func TestQuantizationBlocksOfOtherTypes(t *testing.T) {
	for _, key := range []string{"quantization_config", "quantization", "text_config"} {
		for _, value := range []string{"null", `"fp8"`, "[]", `["fp8", {"bits": 4}]`, "true", "false", "8"} {
			more := fmt.Sprintf(`, %q: %s`, key, value)
			name := key
			if key == "text_config" {
				more = fmt.Sprintf(`, "text_config": {"quantization_config": %s}`, value)
				name = "text_config.quantization_config"
			}
			src := reconfigured(t, "llama", more)
			if value != "null" {
				_, err := plan(t, src, export.Options{Out: filepath.Join(t.TempDir(), "out")})
				if err == nil || !strings.Contains(err.Error(), "config.json: "+name+" is a") {
					t.Errorf("%s: %v", more, err)
				}
				continue
			}
			p, err := plan(t, src, export.Options{Out: filepath.Join(t.TempDir(), "out")})
			if err != nil || !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, name+" is null") }) {
				t.Errorf("%s: nothing is said: %v, %v", more, p, err)
			}
			out, _ := exported(t, src, export.Options{NoSync: true})
			config, err := os.ReadFile(filepath.Join(out, "config.json"))
			if err != nil || bytes.Contains(config, []byte("quantization")) {
				t.Errorf("%s: %v\n%s", more, err, config)
			}
		}
	}
}

// Groups of another size than mlx_lm's loader assumes are told from the scales, and
// config.json says the size that they have.
func TestGroupsOfScales(t *testing.T) {
	c, err := synth.Golden(filepath.Join(goldens, "deepseek_v3-int4.json"))
	if err != nil {
		t.Fatal(err)
	}
	c.Config = bytes.Replace(c.Config, []byte(`"moe_intermediate_size":160`), []byte(`"moe_intermediate_size":192`), 1)
	wider := map[int64]int64{160: 192, 20: 24, 5: 6} // 160 is no multiple of 64
	for i := range c.Source {
		s := &c.Source[i]
		s.Shape = slices.Clone(s.Shape)
		for k, d := range s.Shape {
			s.Shape[k] = cmp.Or(wider[d], d)
		}
		if strings.HasSuffix(s.Path, ".weight_scale") {
			s.Shape[1] /= 2
		}
		s.Bytes, _ = s.Shape.Bytes(s.DType)
	}
	src := filepath.Join(t.TempDir(), "m")
	if err := c.Write(src, synth.Options{}); err != nil {
		t.Fatal(err)
	}
	out, _ := exported(t, src, export.Options{NoSync: true})
	config, err := os.ReadFile(filepath.Join(out, "config.json"))
	if err != nil || !bytes.Contains(config, []byte(`"group_size": 64`)) || bytes.Contains(config, []byte(`"group_size": 32`)) {
		t.Errorf("%v\n%s", err, config)
	}
}
