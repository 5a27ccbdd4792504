package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"

	"wreg/ingest/regular"
)

// codeKeys are the keys of a *config.json by which mlx_lm and transformers are told
// to import a file of the folder; codeNames, the endings of what Python imports.
var (
	codeKeys  = []string{"model_file", "auto_map", "custom_pipelines"}
	codeNames = []string{".py", ".pyc", ".pyd", ".pyw", ".so"}
)

const (
	maxConfig = 64 << 20 // bytes of a *config.json that is searched for codeKeys
	maxKey    = 128      // bytes of a key of codeKeys, every character escaped
)

// remoteCode says where a folder holds code of its own, or asks for it: "" where
// it does not.
func remoteCode(ctx context.Context, dir string) (found string, err error) {
	if dir, err = filepath.EvalSymlinks(dir); err != nil { // WalkDir would not go into a link
		return "", err
	}
	err = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || e.IsDir() {
			return err
		}
		switch name := strings.ToLower(e.Name()); {
		case slices.Contains(codeNames, filepath.Ext(name)):
			found = fmt.Sprintf("%s: is code", path)
		case strings.HasSuffix(name, "config.json"):
			key, err := codeKey(path)
			if err != nil {
				return err
			}
			if key != "" {
				found = fmt.Sprintf("%s: key %q names code", path, key)
			}
		}
		if found != "" {
			return filepath.SkipAll
		}
		return nil
	})
	return found, err
}

// codeKey gives the first of codeKeys that a JSON file has at any depth. Only its
// strings are read, as every JSON reader reads them: what one reader takes and
// another refuses (NaN, a key twice) hides none.
func codeKey(path string) (string, error) {
	data, err := regular.Read(path, maxConfig)
	if err != nil {
		return "", err
	}
	for i := 0; i < len(data); i++ {
		if data[i] != '"' {
			continue
		}
		end := i + 1
		for end < len(data) && data[end] != '"' {
			if data[end] == '\\' {
				end++
			}
			end++
		}
		if end >= len(data) {
			break
		}
		var text string
		if end-i < maxKey && json.Unmarshal(data[i:end+1], &text) == nil && slices.Contains(codeKeys, text) {
			if rest := strings.TrimLeft(string(data[end+1:min(len(data), end+1+1<<10)]), " \t\r\n"); rest == "" || rest[0] == ':' {
				return text, nil
			}
		}
		i = end
	}
	return "", nil
}
