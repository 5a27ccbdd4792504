package main

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"wreg/ingest"
	"wreg/registry/tensor"
	"wreg/synth"
)

const (
	goldens  = "../../registry/arch/testdata/goldens"
	fixtures = "../../ingest/testdata/fixtures"
)

func TestMain(m *testing.M) {
	if os.Getenv("WREG_AS_MAIN") != "" { // killed and restarted by the torture tests
		code := run(context.Background(), os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
		if file := os.Getenv("WREG_TEST_STATUS"); file != "" { // what it took, on Linux
			status, err := os.ReadFile("/proc/self/status")
			if err == nil {
				err = os.WriteFile(file, status, 0o666)
			}
			if err != nil {
				fmt.Fprintln(os.Stderr, err)
				code = 3
			}
		}
		os.Exit(code)
	}
	testscript.Main(m, map[string]func(){"wreg": main})
}

// TestScript runs testdata/script/*.txtar on the real main.
func TestScript(t *testing.T) {
	golden, err := filepath.Abs(goldens)
	if err != nil {
		t.Fatal(err)
	}
	fixture, err := filepath.Abs(fixtures)
	if err != nil {
		t.Fatal(err)
	}
	checks, err := filepath.Abs("../../docs/checks")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir: "testdata/script",
		Setup: func(e *testscript.Env) error {
			e.Setenv("WREG_REGISTRY", filepath.Join(e.WorkDir, "registry.db"))
			e.Setenv("HOME", filepath.Join(e.WorkDir, "home"))
			e.Setenv("GOLDENS", golden)
			e.Setenv("FIXTURES", fixture)
			e.Setenv("CHECKS", checks)
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"status":     statusCmd,
			"checkpoint": checkpointCmd,
			"configure":  configureCmd,
			"flip":       flipCmd,
			"copy":       copyCmd,
			"fill":       fillCmd,
			"damage":     damageCmd,
			"lines":      linesCmd,
			"hub":        hubCmd,
			"serve":      serveCmd,
		},
	})
}

// status N COMMAND... runs a command that must end with exit status N.
func statusCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N command...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

// checkpoint GOLDEN DIR [-TEXT | OLD=NEW]... writes a golden's source checkpoint
// without the tensors whose path contains TEXT, and with OLD replaced by NEW in
// the paths of the others.
func checkpointCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: checkpoint golden dir [-text | old=new]...")
	}
	c, err := synth.Golden(filepath.Join(ts.Getenv("GOLDENS"), args[0]+".json"))
	ts.Check(err)
	for _, edit := range args[2:] {
		if text, ok := strings.CutPrefix(edit, "-"); ok {
			c.Source = c.Without(text)
			continue
		}
		from, to, _ := strings.Cut(edit, "=")
		if text, err := strconv.Unquote(`"` + to + `"`); err == nil {
			to = text
		}
		for i := range c.Source {
			c.Source[i].Path = strings.ReplaceAll(c.Source[i].Path, from, to)
		}
	}
	ts.Check(c.Write(ts.MkAbs(args[1]), synth.Options{Tokenizer: 128}))
}

// configure FILE [KEY | KEY=JSON]... takes keys out of a config.json, or sets them.
func configureCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: configure file [key | key=json]...")
	}
	file := ts.MkAbs(args[0])
	data, err := os.ReadFile(file)
	ts.Check(err)
	var config map[string]json.RawMessage
	ts.Check(json.Unmarshal(data, &config))
	for _, edit := range args[1:] {
		if key, value, set := strings.Cut(edit, "="); set {
			config[key] = json.RawMessage(value)
		} else {
			delete(config, key)
		}
	}
	data, err = json.Marshal(config)
	ts.Check(err)
	ts.Check(os.WriteFile(file, data, 0o666))
}

// flip FILE TENSOR SLICE changes one byte of a tensor in a safetensors file, in
// the given slice along axis 0.
func flipCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: flip file tensor slice")
	}
	slice, err := strconv.ParseInt(args[2], 10, 64)
	ts.Check(err)
	t, err := findTensor(ts.MkAbs(args[0]), args[1])
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	at := t.Offset + t.Bytes/t.Shape[0]*slice + 1
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	ts.Check(err)
	b[0] ^= 0x10
	_, err = f.WriteAt(b, at)
	ts.Check(err)
	ts.Check(f.Close())
}

// damage FILE RECORD flips a bit in the middle of a stored record of a zip archive.
func damageCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: damage file record")
	}
	z, err := zip.OpenReader(ts.MkAbs(args[0]))
	ts.Check(err)
	defer z.Close()
	i := slices.IndexFunc(z.File, func(f *zip.File) bool { return f.Name == args[1] })
	if i < 0 {
		ts.Fatalf("no record %s", args[1])
	}
	at, err := z.File[i].DataOffset()
	ts.Check(err)
	f, err := os.OpenFile(ts.MkAbs(args[0]), os.O_RDWR, 0)
	ts.Check(err)
	at += int64(z.File[i].UncompressedSize64 / 2)
	b := make([]byte, 1)
	_, err = f.ReadAt(b, at)
	ts.Check(err)
	b[0] ^= 0x40
	_, err = f.WriteAt(b, at)
	ts.Check(err)
	ts.Check(f.Close())
}

// fill FILE TENSOR SLICE HEX writes an element over and over into one slice along axis
// 0 of a tensor in a safetensors file, or into all with "all".
func fillCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 4 {
		ts.Fatalf("usage: fill file tensor slice hex")
	}
	file := ts.MkAbs(args[0])
	t, err := findTensor(file, args[1])
	ts.Check(err)
	value, err := hex.DecodeString(args[3])
	ts.Check(err)
	from, n := int64(0), t.Bytes
	if args[2] != "all" {
		slice, err := strconv.ParseInt(args[2], 10, 64)
		ts.Check(err)
		n = t.Bytes / t.Shape[0]
		from = n * slice
	}
	data, err := os.ReadFile(file)
	ts.Check(err)
	copy(data[t.Offset+from:][:n], bytes.Repeat(value, int(n)/len(value)))
	ts.Check(os.WriteFile(file, data, 0o666))
}

// copy FILE FROM TO gives a tensor in a safetensors file the bytes of another.
func copyCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: copy file from to")
	}
	file := ts.MkAbs(args[0])
	from, err := findTensor(file, args[1])
	ts.Check(err)
	to, err := findTensor(file, args[2])
	ts.Check(err)
	if from.Bytes != to.Bytes {
		ts.Fatalf("%s has %d bytes, %s %d", args[1], from.Bytes, args[2], to.Bytes)
	}
	data, err := os.ReadFile(file)
	ts.Check(err)
	copy(data[to.Offset:to.Offset+to.Bytes], data[from.Offset:from.Offset+from.Bytes])
	ts.Check(os.WriteFile(file, data, 0o644))
}

// lines N checks how many lines the last command wrote to stdout.
func linesCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: lines N")
	}
	out := ts.ReadFile("stdout")
	if got := strings.Count(out, "\n"); strconv.Itoa(got) != args[0] {
		ts.Fatalf("%d lines on stdout, want %s:\n%s", got, args[0], out)
	}
}

// findTensor says where a tensor lies in a safetensors file.
func findTensor(file, path string) (tensor.Info, error) {
	c, err := ingest.Open(context.Background(), file, ingest.Options{})
	if err != nil {
		return tensor.Info{}, err
	}
	defer c.Close()
	t, ok := c.Lookup(path)
	if !ok {
		return t, fmt.Errorf("%s: no tensor %q", file, path)
	}
	return t, nil
}
