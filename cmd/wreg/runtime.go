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
}

// verifyRuntime loads dir in the installed mlx_lm and runs one forward pass. An
// error means that it did not run.
func verifyRuntime(ctx context.Context, dir string) (*runtimeResult, error) {
	python, err := findPython()
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, runtimeLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, python, "-c", runtimeScript, dir)
	cmd.Env = append(os.Environ(), "HF_HUB_OFFLINE=1", "PYTHONDONTWRITEBYTECODE=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	var res runtimeResult
	if jsonErr := json.Unmarshal([]byte(lines[len(lines)-1]), &res); err != nil || jsonErr != nil {
		return nil, fmt.Errorf("%s: the runtime check did not run (%v): %s", python, errors.Join(err, jsonErr), lastLine(stderr.String()))
	}
	if res.Unavailable != "" {
		return nil, fmt.Errorf("%s: mlx_lm cannot be used there (%s); install mlx-lm, or name another Python in WREG_PYTHON", python, res.Unavailable)
	}
	return &res, nil
}

// findPython gives the Python to ask: WREG_PYTHON, a .venv here or above, the
// first python3 on PATH.
func findPython() (string, error) {
	if p := os.Getenv("WREG_PYTHON"); p != "" {
		return exec.LookPath(p)
	}
	dir, err := os.Getwd()
	for err == nil {
		for _, p := range []string{".venv/bin/python", ".venv/Scripts/python.exe"} {
			p = filepath.Join(dir, filepath.FromSlash(p))
			if _, err := os.Stat(p); err == nil {
				return p, nil
			}
		}
		if filepath.Dir(dir) == dir {
			break
		}
		dir = filepath.Dir(dir)
	}
	for _, p := range []string{"python3", "python"} {
		if p, err := exec.LookPath(p); err == nil {
			return p, nil
		}
	}
	return "", errors.New("no Python is found to run mlx_lm with; name one in WREG_PYTHON")
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}
