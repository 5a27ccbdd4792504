package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
)

// repoID is what the hub calls a repository, with a branch, tag or commit.
var repoID = regexp.MustCompile(`^([A-Za-z0-9][\w.-]*)/([A-Za-z0-9][\w.-]*?)(?:@([\w./-]+))?$`)

// defaultRef is the branch that a repository without one means.
const defaultRef = "main"

// checkpointPath is a path on disk as it is, and otherwise the snapshot of a
// repository in the hub's cache. Nothing is downloaded.
func checkpointPath(arg string) (string, error) {
	if _, err := os.Lstat(arg); err == nil || !errors.Is(err, os.ErrNotExist) {
		return arg, nil
	}
	m := repoID.FindStringSubmatch(arg)
	if m == nil || strings.Contains(arg, "..") {
		return arg, nil // ingest says that it is not there
	}
	cache, err := hubCache()
	if err != nil {
		return "", err
	}
	repo := filepath.Join(cache, "models--"+m[1]+"--"+m[2])
	if _, err := os.Stat(repo); err != nil {
		return "", fmt.Errorf("%s: no such path, and no such repository in %s (HF_HUB_CACHE, HF_HOME); wreg downloads nothing", arg, cache)
	}
	ref := m[3]
	if ref == "" {
		ref = defaultRef
	}
	commit := ref
	if data, err := os.ReadFile(filepath.Join(repo, "refs", filepath.FromSlash(ref))); err == nil {
		commit = strings.TrimSpace(string(data))
	}
	snapshot := filepath.Join(repo, "snapshots", filepath.Base(commit))
	if _, err := os.Stat(snapshot); err == nil {
		return snapshot, nil
	}
	entries, err := os.ReadDir(filepath.Join(repo, "snapshots"))
	if err != nil {
		return "", fmt.Errorf("%s: %w", arg, err)
	}
	var have []string
	for _, e := range entries {
		have = append(have, e.Name())
	}
	return "", fmt.Errorf("%s: %s has no snapshot %s; it has %s", arg, repo, ref, strings.Join(have, ", "))
}

// hubCache is where huggingface_hub keeps repositories.
func hubCache() (string, error) {
	if dir := os.Getenv("HF_HUB_CACHE"); dir != "" {
		return dir, nil
	}
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return filepath.Join(dir, "hub"), nil
	}
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no place for the hub's cache: %w; set HF_HUB_CACHE", err)
		}
		cache = filepath.Join(home, ".cache")
	}
	return filepath.Join(cache, "huggingface", "hub"), nil
}
