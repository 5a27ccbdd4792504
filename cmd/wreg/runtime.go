package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// runtimeScript is what the consumer's Python runs.
//
//go:embed runtime.py
var runtimeScript string

// runtimeLimit is how long loading and one forward pass may take.
const runtimeLimit = 30 * time.Minute

// runtimeResult is what the script says about a checkpoint.
type runtimeResult struct {
	MLX         string `json:"mlx"`
	MLXLM       string `json:"mlx_lm"`
	Logits      []int  `json:"logits"`
	Finite      bool   `json:"finite"`
	Error       string `json:"error"`
	Unavailable string `json:"unavailable"`

	Tokenizer      *string `json:"tokenizer"` // its class, "" when there is none; nil when it was not asked
	TokenizerFile  string  `json:"tokenizer_file"`
	TokenizerError string  `json:"tokenizer_error"`
}

// verifyRuntime loads dir in the installed mlx_lm and runs one forward pass. An
// error means that it did not run. Nothing of dir is executed unless trust says so:
// Python is isolated (-I) from the working folder and PYTHON* variables, and works
// in an empty folder.
func verifyRuntime(ctx context.Context, dir string, trust bool) (_ *runtimeResult, err error) {
	python, err := runtimePython(ctx, dir, trust)
	if err != nil {
		return nil, err
	}
	empty, err := temporary("wreg-runtime-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(empty)) }()
	limited, cancel := context.WithTimeout(ctx, runtimeLimit)
	defer cancel()
	args := []string{"-I", "-B", "-c", runtimeScript, dir}
	if trust {
		args = append(args, "--trust-remote-code")
	}
	cmd := exec.CommandContext(limited, python, args...)
	cmd.Dir = empty
	cmd.WaitDelay = time.Second
	for _, v := range os.Environ() {
		if !strings.HasPrefix(strings.ToUpper(v), "PYTHON") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "HF_HUB_OFFLINE=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	var res runtimeResult
	if jsonErr := json.Unmarshal([]byte(lastLine(stdout.String())), &res); err != nil || jsonErr != nil {
		return nil, fmt.Errorf("%s: the runtime check did not run (%v): %s", python, errors.Join(err, jsonErr), lastLine(stderr.String()))
	}
	if res.Unavailable != "" {
		return nil, fmt.Errorf("%s: mlx_lm cannot be used there (%s); install mlx-lm, or name another Python in WREG_PYTHON", python, res.Unavailable)
	}
	return &res, nil
}

// runtimePython gives the Python to load dir in, unless dir brings code that may
// not run.
func runtimePython(ctx context.Context, dir string, trust bool) (string, error) {
	if !trust {
		code, err := remoteCode(ctx, dir)
		if err == nil && code != "" {
			err = fmt.Errorf("%s, and --runtime runs no code of a checkpoint; "+
				"--trust-remote-code lets it run, with all the rights that you have", code)
		}
		if err != nil {
			return "", err
		}
	}
	return findPython(dir)
}

// findPython gives the Python to ask, as the user chose it: WREG_PYTHON, the active
// VIRTUAL_ENV, the first python3 on PATH. What depends on the working folder, or
// lies in the checkpoint's, was not chosen.
func findPython(dir string) (string, error) {
	if p := os.Getenv("WREG_PYTHON"); p != "" {
		switch {
		case filepath.Base(p) == p:
			return onPath(dir, p)
		case !filepath.IsAbs(p):
			return "", fmt.Errorf("WREG_PYTHON %s is another file in every folder: give an absolute path, or a name on PATH", p)
		case !exists(p):
			return "", fmt.Errorf("WREG_PYTHON %s does not exist; name an executable, without arguments", p)
		case within(p, dir):
			return "", fmt.Errorf("WREG_PYTHON %s lies in the checkpoint's folder, of which nothing is run: name another", p)
		}
		return exec.LookPath(p)
	}
	if env := os.Getenv("VIRTUAL_ENV"); filepath.IsAbs(env) {
		for _, p := range []string{"bin/python", "Scripts/python.exe"} {
			if p, err := exec.LookPath(filepath.Join(env, filepath.FromSlash(p))); err == nil && !within(p, dir) {
				return p, nil
			}
		}
	}
	return onPath(dir, "python3", "python")
}

// onPath finds the first of the names in PATH's absolute folders outside dir.
func onPath(dir string, names ...string) (string, error) {
	for _, name := range names {
		for _, in := range filepath.SplitList(os.Getenv("PATH")) {
			if !filepath.IsAbs(in) {
				continue
			}
			if p, err := exec.LookPath(filepath.Join(in, name)); err == nil && !within(p, dir) {
				return p, nil
			}
		}
	}
	return "", fmt.Errorf("no %s to run mlx_lm with in the absolute folders of PATH; name a Python in WREG_PYTHON", strings.Join(names, " or "))
}

// within says that a file lies in dir, by its name, by its folder or by what it
// links to; what cannot be told does.
func within(file, dir string) bool {
	root, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return true
	}
	if st, err := os.Stat(root); err != nil || !st.IsDir() {
		root = filepath.Dir(root)
	}
	folder, err1 := filepath.EvalSymlinks(filepath.Dir(file))
	target, err2 := filepath.EvalSymlinks(file)
	if err1 != nil || err2 != nil {
		return true
	}
	for _, p := range []string{folder, target} {
		if rel, err := filepath.Rel(root, p); err != nil || filepath.IsLocal(rel) {
			return true
		}
	}
	return false
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, os.ErrNotExist)
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
