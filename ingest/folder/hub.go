package folder

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
	"syscall"

	"wreg/ingest/regular"
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
// network: the folder to Open. The cache is $HF_HUB_CACHE, else $HUGGINGFACE_HUB_CACHE, else
// $HF_HOME/hub, else $XDG_CACHE_HOME/huggingface/hub, else ~/.cache/huggingface/hub. The revision is
// what follows an @ (a branch, tag, pull request or commit, whose first digits
// suffice), else main, else the only one there is. Errors wrap fs.ErrNotExist when
// the repository or revision is not cached.
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
		return "", absent(err, "%s: not in the hf cache at %s; download it with hf download %s", id, hub, name)
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

// hubCache follows the environment as huggingface_hub does: $NAMES and a leading ~
// in the variables stand for what they mean in a shell.
func hubCache() (string, error) {
	if dir := cmp.Or(os.Getenv("HF_HUB_CACHE"), os.Getenv("HUGGINGFACE_HUB_CACHE")); dir != "" {
		return Expanded(dir)
	}
	home, err := HubHome()
	return filepath.Join(home, "hub"), err
}

// HubHome is the folder of hf's own files, its cache and the token: $HF_HOME, else
// $XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface.
func HubHome() (string, error) {
	home := os.Getenv("HF_HOME")
	if home == "" {
		home = filepath.Join(cmp.Or(os.Getenv("XDG_CACHE_HOME"), "~/.cache"), "huggingface")
	}
	return Expanded(home)
}

// Expanded is the absolute path that hf makes of one in its variables.
func Expanded(dir string) (string, error) {
	if dir == "~" || len(dir) > 1 && dir[0] == '~' && os.IsPathSeparator(dir[1]) { // on Windows filepath.Join makes it ~\
		user, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("no hf cache: set HF_HUB_CACHE: %w", err)
		}
		dir = user + dir[1:]
	}
	dir = os.Expand(dir, func(name string) string {
		if v, ok := os.LookupEnv(name); ok {
			return v
		}
		return "$" + name // as Python leaves it
	})
	return filepath.Abs(dir)
}

// maxRef bounds the text of a ref: a commit has 40 digits.
const maxRef = 256

// absentError says in full what is not there: that its cause is fs.ErrNotExist is not
// said once more.
type absentError string

func (e absentError) Error() string { return string(e) }

func (absentError) Unwrap() error { return fs.ErrNotExist }

// absent says that something is missing, or why that cannot be known.
func absent(err error, format string, args ...any) error {
	said := fmt.Errorf(format, args...)
	if errors.Is(err, fs.ErrNotExist) {
		return absentError(said.Error())
	}
	return fmt.Errorf("%w: %w", said, Cause(err))
}

// minPrefix is how many digits of a commit must be given at least.
const minPrefix = 4

// cachedCommit resolves a revision of a cached repository to a snapshot's name: a
// commit or the first digits of one, or a branch, tag or pull request of refs.
func cachedCommit(root *os.Root, revision string) (string, error) {
	entries, err := fs.ReadDir(root.FS(), "snapshots")
	if err != nil {
		return "", absent(err, "its cache folder has no snapshots; download it again")
	}
	var names []string
	for _, e := range entries {
		if e.IsDir() {
			names = append(names, e.Name())
		}
	}
	if slices.Contains(names, revision) {
		return revision, nil
	}
	ref := cmp.Or(revision, "main")
	if !filepath.IsLocal(ref) {
		return "", fmt.Errorf("revision %q is not the name of a branch, tag or commit", ref)
	}
	there := cachedRevisions(root, names)
	for _, name := range []string{ref, "refs/" + ref} { // refs/pr/1 is kept as refs/refs/pr/1
		commit, err := readRef(root, name)
		switch {
		case err == nil && slices.Contains(names, commit):
			return commit, nil
		case err == nil:
			return "", absent(fs.ErrNotExist, "refs/%s names snapshot %.40q, which is not there; cached are: %s; name one of them, or download it again", name, commit, there)
		case !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR):
			return "", err
		}
	}
	if revision == "" && len(names) == 1 {
		return names[0], nil
	}
	var short []string
	for _, name := range names {
		if len(revision) >= minPrefix && strings.HasPrefix(name, revision) {
			short = append(short, name)
		}
	}
	switch len(short) {
	case 1:
		return short[0], nil
	case 0:
		return "", absent(fs.ErrNotExist, "revision %q is not cached; cached are: %s", ref, there)
	}
	return "", fmt.Errorf("revision %q begins several commits: %s; give more digits", ref, strings.Join(short, ", "))
}

// MaxShown bounds the snapshots that an error lists, and the refs that are read for it.
const MaxShown = 20

// cachedRevisions lists the snapshots that are there, each with the refs that lead
// to it.
func cachedRevisions(root *os.Root, snapshots []string) string {
	refs, seen := map[string][]string{}, 0
	// What cannot be read is not listed: this only helps to choose.
	_ = fs.WalkDir(root.FS(), "refs", func(name string, e fs.DirEntry, err error) error {
		if seen++; err != nil || seen > 10*MaxShown {
			return fs.SkipAll
		}
		if ref := strings.TrimPrefix(name, "refs/"); e.Type().IsRegular() {
			if commit, err := readRef(root, ref); err == nil {
				refs[commit] = append(refs[commit], ref)
			}
		}
		return nil
	})
	var list []string
	for _, name := range snapshots[:min(len(snapshots), MaxShown)] {
		if of := refs[name]; len(of) > 0 {
			name += " (" + strings.Join(of, ", ") + ")"
		}
		list = append(list, name)
	}
	if more := len(snapshots) - len(list); more > 0 {
		list = append(list, fmt.Sprintf("%d more", more))
	}
	return cmp.Or(strings.Join(list, ", "), "none")
}

func readRef(root *os.Root, ref string) (string, error) {
	text, err := regular.ReadIn(root, "refs/"+ref, maxRef)
	if err != nil {
		return "", fmt.Errorf("refs/%s is not a ref: %w", ref, Cause(err))
	}
	return strings.TrimSpace(string(text)), nil
}
