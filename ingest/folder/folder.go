// Package folder opens the files of one model, wherever they lie: in a folder, or in a
// snapshot of the local hf cache.
//
// Most users need [Open], [Folder.Open], [Folder.ReadFile] and, for a repository by its
// name, [FindCached].
//
// Invariants: names never become paths except through os.Root; a link that leads out
// of the folder, or of the snapshot and its blobs, is never followed; only regular
// files are opened, and looking comes before opening; nothing asks the network.
package folder

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"wreg/ingest/place"
	"wreg/ingest/regular"
)

// Folder is where the files of one model lie, and the only way to open them: a
// link that leads out of it is never followed, whatever a name or the link says.
// In a snapshot of the hf cache, which consists of links, they may lead to the
// blobs of its own repository and to the store that all repositories share.
type Folder struct {
	root   *os.Root
	prefix string   // of names inside root, "" or ending in /
	blobs  []string // in the hf cache: where links may lead, each ending in /; the last is the shared store, if there is one
	shared bool
}

// The store of blobs that the repositories of one hf cache share, since
// huggingface_hub 2: HUB/blobs, when its marker says so.
const (
	sharedMarker  = ".huggingface-shared-blobs"
	sharedVersion = "1"
)

// Of is the folder at path; of a file, the one it lies in.
func Of(path string) string {
	if info, err := os.Stat(path); err == nil && !info.IsDir() {
		return filepath.Dir(path)
	}
	return path
}

// Open opens the folder at abs. For one of the hf cache the root is the
// repository's cache folder, or the whole cache where blobs are shared.
func Open(abs string) (*Folder, error) {
	real, err := filepath.EvalSymlinks(abs)
	if err != nil {
		return nil, err
	}
	repo, inside, ok := cachedRepo(real)
	if !ok {
		root, err := os.OpenRoot(real)
		return &Folder{root: root}, err
	}
	hub, name := filepath.Split(repo)
	if sharesBlobs(hub) && repoFolder(name) {
		root, err := os.OpenRoot(hub)
		return &Folder{root, name + "/" + inside, []string{name + "/blobs/", "blobs/"}, true}, err
	}
	root, err := os.OpenRoot(repo)
	return &Folder{root, inside, []string{"blobs/"}, false}, err
}

// cachedRepo finds the repository of the hf cache that a snapshot, or a folder
// inside one, belongs to, and the folder's path in it, which ends in /.
func cachedRepo(real string) (repo, inside string, ok bool) {
	for at := real; ; at = filepath.Dir(at) {
		snapshots := filepath.Dir(at)
		if snapshots == at {
			return "", "", false
		}
		if filepath.Base(snapshots) != "snapshots" {
			continue
		}
		repo = filepath.Dir(snapshots)
		if blobs, err := os.Lstat(filepath.Join(repo, "blobs")); err == nil && blobs.IsDir() {
			rest, err := filepath.Rel(repo, real)
			return repo, filepath.ToSlash(rest) + "/", err == nil
		}
	}
}

// repoFolder reports a name such as models--org--name.
func repoFolder(name string) bool {
	kind, rest, ok := strings.Cut(name, "--")
	return ok && kind != "" && rest != ""
}

// sharesBlobs reports that hub/blobs is the shared store, by its marker.
func sharesBlobs(hub string) bool {
	store := filepath.Join(hub, "blobs")
	if info, err := os.Lstat(store); err != nil || !info.IsDir() {
		return false
	}
	marker := filepath.Join(store, sharedMarker)
	if info, err := os.Lstat(marker); err != nil || !info.Mode().IsRegular() {
		return false
	}
	text, err := regular.Read(marker, maxRef)
	return err == nil && strings.TrimSpace(string(text)) == sharedVersion
}

// Close releases the folder; files opened from it stay open.
func (d *Folder) Close() error { return d.root.Close() }

// List names what the folder holds, sorted. Folders are not descended into.
func (d *Folder) List() ([]fs.DirEntry, error) {
	dir, err := d.root.Open("./" + d.prefix)
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(MaxEntries + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(entries) > MaxEntries {
		return nil, fmt.Errorf("%s holds more than %d files; name one of them", dir.Name(), MaxEntries)
	}
	slices.SortFunc(entries, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}

// MaxEntries bounds the files of one folder.
const MaxEntries = 100_000

// sha256Name is what the hf cache calls the blob of a file in LFS.
var sha256Name = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Digest is what the hf cache says is the SHA-256 of a file, by the name of the blob that it leads to; "" where
// nothing says so. Whether it is, only reading tells.
func (d *Folder) Digest(name string) string {
	if len(d.blobs) == 0 {
		return ""
	}
	at := d.prefix + name
	target, err := d.root.Readlink(at)
	if err != nil {
		return ""
	}
	blob, inside := strings.CutPrefix(path.Join(path.Dir(at), filepath.ToSlash(target)), d.blobs[0])
	if !inside || !sha256Name.MatchString(blob) {
		return ""
	}
	return "sha256:" + blob
}

// Stat describes a file of the folder; a link is followed as Open follows it.
func (d *Folder) Stat(name string) (fs.FileInfo, error) {
	_, info, err := d.find(name)
	return info, err
}

// Open opens a regular file of the folder. It looks before it opens: opening a
// named pipe would wait for a writer.
func (d *Folder) Open(name string) (*os.File, error) {
	inside, info, err := d.find(name)
	if err != nil {
		return nil, err
	}
	f, err := regular.OpenFound(d.root, inside, info)
	if err != nil {
		return nil, Named(name, err)
	}
	return f, nil
}

// ReadFile reads a file of at most so many bytes.
func (d *Folder) ReadFile(name string, most int64) ([]byte, error) {
	f, err := d.Open(name)
	if err != nil {
		return nil, err
	}
	data, err := regular.ReadAll(f, name, most)
	if err != nil {
		err = Named(name, err)
	}
	return data, err
}

// maxLinks is how many links lead to a blob: one into the repository's blobs, one
// from there into the shared store, one to spare.
const maxLinks = 3

// find follows the links from a name to what it is, and says where that lies in
// the root.
func (d *Folder) find(name string) (inside string, info fs.FileInfo, err error) {
	inside = d.prefix + name
	if info, err = d.root.Lstat(inside); err != nil {
		return "", nil, Named(name, err)
	}
	if info.Mode()&fs.ModeSymlink == 0 {
		return inside, info, nil
	}
	first, err := d.root.Readlink(inside)
	if err != nil {
		return "", nil, Named(name, err)
	}
	nowhere := func(err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return absent(err, "%s: symbolic link to %q leads nowhere: that does not exist; download the file again", name, first)
		}
		return fmt.Errorf("%s: symbolic link to %q is not followed: %w; copy the file into the folder", name, first, Cause(err))
	}
	if d.blobs == nil { // os.Root keeps every link inside
		if info, err = d.root.Stat(inside); err != nil {
			return "", nil, nowhere(err)
		}
		return inside, info, nil
	}
	target := first
	for range maxLinks {
		to := path.Join(path.Dir(inside), filepath.ToSlash(target))
		if filepath.IsAbs(target) || path.IsAbs(filepath.ToSlash(target)) || !d.mayLead(inside, to) {
			if strings.HasPrefix(inside, d.blobs[0]) {
				return "", nil, fmt.Errorf("%s: symbolic link to %q leads out of the snapshot and its blobs; it is not followed: that blob is a link to %q, and only one into a shared store is followed, whose %s says %s; download the file again",
					name, first, target, sharedMarker, sharedVersion)
			}
			return "", nil, fmt.Errorf("%s: symbolic link to %q leads out of the snapshot and its blobs; it is not followed%s", name, first, d.stray(target))
		}
		if err := d.straight(to); err != nil {
			return "", nil, nowhere(err)
		}
		inside = to
		if info, err = d.root.Lstat(inside); err != nil {
			return "", nil, nowhere(err)
		}
		if info.Mode()&fs.ModeSymlink == 0 {
			return inside, info, nil
		}
		if target, err = d.root.Readlink(inside); err != nil {
			return "", nil, nowhere(err)
		}
	}
	return "", nil, fmt.Errorf("%s: symbolic link to %q is one of more than %d in a row; it is not followed", name, first, maxLinks)
}

// Has reports whether there is something of a name, a link that leads nowhere included.
func (d *Folder) Has(name string) bool {
	_, err := d.root.Lstat(d.prefix + name)
	return err == nil
}

// mayLead reports whether a link at from may lead to a place: from the snapshot
// into it and its blobs, from a repository's blobs into the shared store only, and
// the shared store holds files alone.
func (d *Folder) mayLead(from, to string) bool {
	under := func(dirs []string, p string) bool {
		return slices.ContainsFunc(dirs, func(dir string) bool { return strings.HasPrefix(p, dir) })
	}
	if !under(d.blobs, from) {
		return under(d.blobs, to) || strings.HasPrefix(to, d.prefix)
	}
	return d.shared && under(d.blobs[:1], from) && under(d.blobs[1:], to)
}

// straight fails when a folder on the way to a blob is itself a link: it could
// lead into another repository.
func (d *Folder) straight(to string) error {
	for i, c := range to {
		if c != '/' {
			continue
		}
		switch info, err := d.root.Lstat(to[:i]); {
		case err != nil:
			return err
		case !info.IsDir():
			return fmt.Errorf("%s is %s, not a folder", to[:i], regular.Kind(info.Mode()))
		}
	}
	return nil
}

// stray says what is known of a link that leads elsewhere: that there is nothing,
// and that the blob it means is here.
func (d *Folder) stray(target string) string {
	text := ""
	if filepath.IsAbs(target) {
		if _, err := os.Lstat(target); errors.Is(err, fs.ErrNotExist) {
			text = ", and its target does not exist"
		}
	}
	blob := d.blobs[0] + path.Base(filepath.ToSlash(target))
	if info, err := d.root.Lstat(blob); err == nil && info.Mode().IsRegular() {
		text += fmt.Sprintf("; a blob of that name is in %s: make the link lead there, or download the file again", strings.TrimSuffix(d.blobs[0], "/"))
	}
	return text
}

// Replace writes a file beside name and renames it over it.
func (d *Folder) Replace(name string, text []byte) (err error) {
	temp := d.prefix + "." + name + ".wreg"
	f, err := d.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return fmt.Errorf("%s: %w; another wreg may be writing it, else remove it", "."+name+".wreg", Cause(err))
	}
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = d.root.Rename(temp, d.prefix+name)
	}
	if err != nil {
		return errors.Join(Named(name, err), d.root.Remove(temp))
	}
	return nil
}

// Named makes an error of the file system name the file once, without the path of
// the folder.
func Named(name string, err error) error {
	if far, ok := errors.AsType[*place.Error](err); ok {
		return far // which says where it was read
	}
	return fmt.Errorf("%s: %w", name, Cause(err))
}

// Cause is what an error of the file system says, without the path.
func Cause(err error) error {
	if p, ok := errors.AsType[*fs.PathError](err); ok {
		return p.Err
	}
	return err
}
