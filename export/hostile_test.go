//go:build linux || darwin

package export_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"wreg/export"
	"wreg/export/receipt"
	"wreg/registry"
	"wreg/registry/tensor"
)

// A disk too small for the output can be planned for, and is said before the first byte,
// with both sizes. The tensors of this model exist in the registry alone: no disk holds
// them.
func TestDiskSpaceForetold(t *testing.T) {
	const rows = 1 << 50
	config := []byte(`{"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 0, "intermediate_size": 96, "num_attention_heads": 4,
		"rms_norm_eps": 1e-5, "vocab_size": 1125899906842624, "tie_word_embeddings": true}`)
	r, err := registry.Open(filepath.Join(t.TempDir(), "r.db"), registry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	v, err := r.Put(context.Background(), registry.Revision{Model: "m", Root: t.TempDir(), Config: config}, []tensor.Info{
		{Path: "model.embed_tokens.weight", DType: tensor.BF16, Shape: tensor.Shape{rows, 64}, Bytes: rows * 64 * 2},
		{Path: "model.norm.weight", DType: tensor.BF16, Shape: tensor.Shape{64}, Bytes: 128},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	var p *export.Plan
	err = r.View(func(s *registry.Snapshot) (err error) {
		p, err = export.New(t.Context(), s, v, export.Options{Out: filepath.Join(dir, "out")})
		return err
	})
	if err != nil || p.Disk < rows*64*2 {
		t.Fatal(p, err)
	}
	_, err = p.Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "bytes free, the export needs 144115188") {
		t.Error(err)
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("left %v", left)
	}
}

// Files beside the weights that many a disk would make one of are refused.
func TestCopiesThatDifferInCase(t *testing.T) {
	src := written(t, "llama")
	must(t, os.WriteFile(filepath.Join(src, "tokenizer.model"), []byte("a"), 0o644), os.WriteFile(filepath.Join(src, "Tokenizer.model"), []byte("b"), 0o644))
	if both, _ := filepath.Glob(filepath.Join(src, "?okenizer.model")); len(both) < 2 {
		return // this disk is one of them
	}
	_, err := plan(t, src, export.Options{Out: filepath.Join(t.TempDir(), "out")})
	if err == nil || !strings.Contains(err.Error(), "Tokenizer.model and tokenizer.model differ only in case") {
		t.Error(err)
	}
}

// What lies in the way of the partial folder is neither written through nor landed.
func TestStrangersInTheBerth(t *testing.T) {
	src := written(t, "llama")
	for name, c := range map[string]struct {
		lay  func(t *testing.T, berth, elsewhere string)
		want string // "": the export lands
	}{
		"a link": {func(t *testing.T, berth, elsewhere string) { must(t, os.Symlink(elsewhere, berth)) }, "in the way and is not a folder"},
		"a file": {func(t *testing.T, berth, _ string) { must(t, os.WriteFile(berth, nil, 0o644)) }, "in the way and is not a folder"},
		"a stray shard": {func(t *testing.T, berth, _ string) {
			must(t, os.Mkdir(berth, 0o755), os.WriteFile(filepath.Join(berth, "model-old.safetensors"), nil, 0o644))
		}, `"model-old.safetensors", which is not part of this export`},
		"a folder": {func(t *testing.T, berth, _ string) {
			must(t, os.MkdirAll(filepath.Join(berth, "sub"), 0o755))
		}, `"sub", which is not a regular file`},
		"a linked shard": {func(t *testing.T, berth, _ string) {
			must(t, os.Mkdir(berth, 0o755), os.Symlink("other", filepath.Join(berth, "model.safetensors")))
		}, "which is not a regular file"},
		"a shard linked outside": {func(t *testing.T, berth, elsewhere string) {
			must(t, os.Mkdir(berth, 0o755), os.Symlink(filepath.Join(elsewhere, "x"), filepath.Join(berth, "model.safetensors")))
		}, "model.safetensors"},
		"a pipe for a receipt": {func(t *testing.T, berth, _ string) {
			must(t, os.Mkdir(berth, 0o755), syscall.Mkfifo(filepath.Join(berth, "wreg-receipt.json"), 0o644))
		}, `"wreg-receipt.json", which is not a regular file`},
		"a pipe for a journal": {func(t *testing.T, berth, _ string) {
			must(t, os.Mkdir(berth, 0o755), syscall.Mkfifo(filepath.Join(berth, "wreg-journal"), 0o644))
		}, `"wreg-journal", which is not a regular file`},
		"a shard that is too long": {func(t *testing.T, berth, _ string) {
			must(t, os.Mkdir(berth, 0o755), os.WriteFile(filepath.Join(berth, "model.safetensors"), make([]byte, 1<<20), 0o644))
		}, ""},
		"an empty journal": {func(t *testing.T, berth, _ string) {
			must(t, os.Mkdir(berth, 0o755), os.WriteFile(filepath.Join(berth, "wreg-journal"), nil, 0o644))
		}, ""},
		"another's journal": {func(t *testing.T, berth, _ string) {
			must(t, os.Mkdir(berth, 0o755), os.WriteFile(filepath.Join(berth, "wreg-journal"), []byte("{}\n"), 0o644))
		}, "is not a journal that this wreg knows"},
	} {
		t.Run(name, func(t *testing.T) {
			dir, elsewhere := t.TempDir(), t.TempDir()
			out := filepath.Join(dir, "out")
			c.lay(t, filepath.Join(dir, ".out.wreg-partial"), elsewhere)
			p, err := plan(t, src, export.Options{Out: out, Resume: true, NoSync: true})
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Run(context.Background())
			switch {
			case c.want == "" && err != nil:
				t.Error(err)
			case c.want == "":
				if f := verify(t, out); f != nil {
					t.Error(f)
				}
			case err == nil || !strings.Contains(err.Error(), c.want):
				t.Errorf("%v, want … %s …", err, c.want)
			}
			if _, err := os.Lstat(out); c.want != "" && err == nil {
				t.Error("it landed")
			}
			if left, _ := os.ReadDir(elsewhere); len(left) > 0 {
				t.Errorf("wrote elsewhere: %v", left)
			}
		})
	}
}

// Verify names a file that became a named pipe, and does not wait for its writer.
func TestVerifyWaitsForNoPipe(t *testing.T) {
	src := written(t, "llama")
	for _, name := range []string{"wreg-receipt.json", "config.json", "model.safetensors.index.json", "model.safetensors"} {
		out, _ := exported(t, src, export.Options{NoSync: true})
		file := filepath.Join(out, name)
		must(t, os.Remove(file), syscall.Mkfifo(file, 0o644))
		v, err := receipt.Verify(context.Background(), out, receipt.Options{})
		if err == nil {
			err = errors.New(fmt.Sprint(v.Faults))
		}
		if !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "is not a regular file") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A journal whose lines are damaged, or name what does not exist, costs work and
// nothing else.
func TestDamagedJournal(t *testing.T) {
	src := written(t, "hunyuan")
	want, _ := exported(t, src, export.Options{NoSync: true})
	for name, damage := range map[string]func(lines [][]byte){
		"garbage":           func(l [][]byte) { l[3] = []byte("\x00\x00garbage") },
		"no such unit":      func(l [][]byte) { l[3] = bytes.Replace(l[3], []byte(`"unit":`), []byte(`"unit":9999`), 1) },
		"a negative part":   func(l [][]byte) { l[3] = bytes.Replace(l[3], []byte(`"part":`), []byte(`"part":-1`), 1) },
		"a checksum of z":   func(l [][]byte) { l[3] = bytes.Replace(l[3], []byte(`xxh3:`), []byte(`xxh3:z`), 1) },
		"another checksum":  func(l [][]byte) { copy(l[3][bytes.Index(l[3], []byte("xxh3:"))+5:], "00000000") },
		"too many digests":  func(l [][]byte) { l[3] = bytes.Replace(l[3], []byte(`[["`), []byte(`[["",""],["`), 1) },
		"no digest":         func(l [][]byte) { l[3] = []byte(`{"unit":0,"part":0}`) },
		"lines that repeat": func(l [][]byte) { l[3] = l[4] },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			out := filepath.Join(dir, "out")
			for k := 1; k <= 2; k++ { // two shares, never finished
				p, err := plan(t, src, export.Options{Out: out, NoSync: true, Part: k, Parts: 2})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := p.Run(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			file := filepath.Join(dir, ".out.wreg-partial", "wreg-journal-1-of-2")
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			lines := bytes.Split(data, []byte("\n"))
			damage(lines)
			must(t, os.WriteFile(file, bytes.Join(lines, []byte("\n")), 0o644))
			p, err := plan(t, src, export.Options{Out: out, NoSync: true, Finish: true})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := p.Run(context.Background()); err == nil {
				t.Fatal("a share whose journal is damaged was landed")
			}
			exported(t, src, export.Options{Out: out, NoSync: true, Resume: true})
			sameFolder(t, out, want)
		})
	}
}

// A source that is cut or moved while it is read is named as what went wrong,
// whatever error it shows as; the output folder does not appear.
func TestSourceChangesMeanwhile(t *testing.T) {
	for name, change := range map[string]func(file string) error{
		"cut":         func(file string) error { return os.Truncate(file, 2000) },
		"grown":       func(file string) error { return os.Truncate(file, 10_000_000) },
		"moved":       func(file string) error { return os.Rename(file, file+".old") },
		"overwritten": func(file string) error { return os.WriteFile(file, make([]byte, 5000), 0o644) },
	} {
		t.Run(name, func(t *testing.T) {
			src, dir := written(t, "hunyuan"), t.TempDir()
			shards, err := filepath.Glob(filepath.Join(src, "*.safetensors"))
			if err != nil || len(shards) < 2 {
				t.Fatal(shards, err)
			}
			var once sync.Once
			p, err := plan(t, src, export.Options{Out: filepath.Join(dir, "out"), Jobs: 1, Progress: func(int64, int64) {
				once.Do(func() { must(t, change(shards[len(shards)-1])) })
			}})
			if err != nil {
				t.Fatal(err)
			}
			_, err = p.Run(context.Background())
			if err == nil || !strings.Contains(err.Error(), "the source changed during the export") || !strings.Contains(err.Error(), filepath.Base(shards[len(shards)-1])) {
				t.Error(err)
			}
			if left, _ := os.ReadDir(dir); len(left) > 0 {
				t.Errorf("left %v", left)
			}
		})
	}
}

// Two exports to one place at once: one is refused, the other is unharmed.
func TestTwoExportsAtOnce(t *testing.T) {
	src, out := written(t, "llama"), filepath.Join(t.TempDir(), "out")
	second, err := plan(t, src, export.Options{Out: out, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	var refused error
	exported(t, src, export.Options{Out: out, NoSync: true, Progress: func(int64, int64) {
		once.Do(func() { _, refused = second.Run(context.Background()) })
	}})
	if refused == nil || !strings.Contains(refused.Error(), "another export is writing there") {
		t.Error(refused)
	}
	if f := verify(t, out); f != nil {
		t.Error(f)
	}
	if _, err := second.Run(context.Background()); err == nil || !strings.Contains(err.Error(), "out") {
		t.Error(err) // planned before the other landed
	}
	if f := verify(t, out); f != nil {
		t.Error(f)
	}
}

// A model whose folder is gone says so, and what to do.
func TestMovedSource(t *testing.T) {
	src := written(t, "llama")
	register(t, src, func(s *registry.Snapshot, v *registry.Revision) {
		must(t, os.Rename(src, src+"-elsewhere"))
		_, err := export.New(t.Context(), s, v, export.Options{Out: filepath.Join(t.TempDir(), "out")})
		if err == nil || !strings.Contains(err.Error(), "m@1 is not where it was ingested") {
			t.Error(err)
		}
	})
}
