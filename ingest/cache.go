package ingest

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// repoID is org/name or name, as the Hub has them; a revision may follow an @.
var repoID = regexp.MustCompile(`^([A-Za-z0-9][\w.-]{0,95})(/[A-Za-z0-9][\w.-]{0,95})?(@[\w./-]{1,255})?$`)

// IsRepoID reports whether text could be the name of a repository in the hf cache:
// org/name, with @REVISION or without.
func IsRepoID(text string) bool {
	return repoID.MatchString(text) && !strings.Contains(text, "--") && !strings.Contains(text, "..") &&
		!strings.HasSuffix(text, ".git") && (strings.Contains(text, "/") || strings.Contains(text, "@"))
}

// FindCached finds the snapshot of a repository in the local hf cache, without
// network: the folder to Open. The cache is $HF_HUB_CACHE, else $HF_HOME/hub, else
// $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. The revision is
// what follows an @ (a branch, tag or commit), else main, else the only one there
// is. Errors wrap fs.ErrNotExist when the repository or revision is not cached.
func FindCached(id string) (string, error) {
	if !IsRepoID(id) {
		return "", fmt.Errorf("%q is not the name of a repository: want org/name or org/name@revision", id)
	}
	hub, err := hubCache()
	if err != nil {
		return "", err
	}
	name, revision, _ := strings.Cut(id, "@")
	repo := filepath.Join(hub, "models--"+strings.ReplaceAll(name, "/", "--"))
	if _, err := os.Stat(repo); err != nil {
		return "", fmt.Errorf("%s: not in the hf cache at %s; download it with hf download %s: %w", id, hub, name, cause(err))
	}
	root, err := os.OpenRoot(repo)
	if err != nil {
		return "", err
	}
	defer root.Close()
	commit, err := cachedCommit(root, revision)
	if err != nil {
		return "", fmt.Errorf("%s: %w", id, err)
	}
	return filepath.Join(repo, "snapshots", commit), nil
}

func hubCache() (string, error) {
	if dir := cmp.Or(os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE")); dir != "" {
		return filepath.Abs(dir)
	}
	home := os.Getenv("HF_HOME")
	if home == "" {
		cache := os.Getenv("XDG_CACHE_HOME")
		if cache == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("no hf cache: set HF_HUB_CACHE: %w", err)
			}
			cache = filepath.Join(user, ".cache")
		}
		home = filepath.Join(cache, "huggingface")
	}
	return filepath.Abs(filepath.Join(home, "hub"))
}

// maxRef bounds the text of a ref: a commit has 40 digits.
const maxRef = 256

// cachedCommit resolves a revision of a cached repository to a snapshot's name.
func cachedCommit(root *os.Root, revision string) (string, error) {
	snapshots, err := fs.ReadDir(root.FS(), "snapshots")
	if err != nil {
		return "", fmt.Errorf("its cache folder has no snapshots; download it again: %w", cause(err))
	}
	names := make([]string, len(snapshots))
	for i, s := range snapshots {
		names[i] = s.Name()
	}
	if slices.Contains(names, revision) {
		return revision, nil
	}
	ref := cmp.Or(revision, "main")
	if !filepath.IsLocal(ref) {
		return "", fmt.Errorf("revision %q is not the name of a branch, tag or commit", ref)
	}
	commit, err := readRef(root, ref)
	switch {
	case err == nil && slices.Contains(names, commit):
		return commit, nil
	case err == nil:
		return "", fmt.Errorf("refs/%s names snapshot %.40q, which is not there; download it again: %w", ref, commit, fs.ErrNotExist)
	case !errors.Is(err, fs.ErrNotExist):
		return "", err
	case revision == "" && len(names) == 1:
		return names[0], nil
	}
	return "", fmt.Errorf("revision %q is not cached; cached are: %s: %w", ref, strings.Join(names, ", "), fs.ErrNotExist)
}

func readRef(root *os.Root, ref string) (string, error) {
	info, err := root.Stat("refs/" + ref)
	if err != nil {
		return "", cause(err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxRef {
		return "", fmt.Errorf("refs/%s is no ref: %s of %d bytes", ref, kind(info.Mode()), info.Size())
	}
	text, err := root.ReadFile("refs/" + ref)
	return strings.TrimSpace(string(text)), err
}
