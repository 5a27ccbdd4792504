package push

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"unicode/utf8"

	"wreg/export/receipt"
	"wreg/ingest/folder"
	"wreg/ingest/interrupt"
	"wreg/ingest/shards"
)

// Folder is a folder that is to be published.
type Folder struct {
	Path    string
	Files   []File   // in the order in which they become visible, where that is one
	LeftOut []string // what lies in it and is not published: folders, and what is hidden
	Proven  bool     // it has the receipt of an export, which every file agrees with; known after Hash

	root  *folder.Folder
	infos map[string]fs.FileInfo // as it was when it was hashed
}

// MaxFiles bounds what is published at once, and maxName the bytes of a name, as file systems do.
const (
	MaxFiles = 10_000
	maxName  = 255
)

// OpenFolder lists the files of a folder.
func OpenFolder(dir string) (f *Folder, err error) {
	root, err := folder.Open(dir)
	if err != nil {
		return nil, err
	}
	f = &Folder{Path: dir, root: root, infos: map[string]fs.FileInfo{}}
	if err := f.list(); err != nil {
		root.Close()
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	return f, nil
}

// Close closes the folder.
func (f *Folder) Close() error { return f.root.Close() }

func (f *Folder) list() error {
	entries, err := f.root.List()
	if err != nil {
		return err
	}
	twins := map[string]string{}
	weights := 0
	for _, e := range entries {
		name := e.Name()
		if err := CheckName(name); err != nil {
			return err
		}
		if strings.HasPrefix(name, ".") || e.IsDir() {
			if e.IsDir() {
				name += "/"
			}
			f.LeftOut = append(f.LeftOut, name)
			continue
		}
		info, err := f.root.Stat(name)
		if err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file; take it out of the folder", name)
		}
		if first := twins[strings.ToLower(name)]; first != "" {
			return fmt.Errorf("%s and %s differ only in case; many file systems cannot hold both: rename one", first, name)
		}
		twins[strings.ToLower(name)] = name
		if isWeights(name) {
			weights++
		}
		f.infos[name] = info
		if f.Files = append(f.Files, File{Name: name, Size: info.Size()}); len(f.Files) > MaxFiles {
			return fmt.Errorf("has more than %d files; is it the folder of one model?", MaxFiles)
		}
	}
	if weights == 0 {
		return fmt.Errorf("holds no weights; name the folder of a checkpoint")
	}
	Sort(f.Files)
	return nil
}

// CheckName refuses a file's name that a store or a file system may not take.
func CheckName(name string) error {
	switch {
	case name == "" || name == "." || name == "..":
		return fmt.Errorf("%q is not the name of a file", name)
	case len(name) > maxName:
		return fmt.Errorf("the name %.60q… has %d bytes, more than the %d that file systems take", name, len(name), maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f || strings.ContainsRune(`/\:*?"<>|`, r) }):
		return fmt.Errorf("the name %.200q holds what not every file system takes; rename the file", name)
	}
	return nil
}

func isWeights(name string) bool { return shards.FamilyOf(name) != nil && !shards.OfTraining(name) }

// Sort puts files in the order in which readers may see them: weights first, then what lies beside them, then what
// tells readers that there is a model: its index, config.json and the receipt.
func Sort(files []File) {
	rank := func(name string) int {
		switch {
		case name == receipt.Name:
			return 4
		case name == "config.json":
			return 3
		case strings.HasSuffix(name, ".index.json"):
			return 2
		case isWeights(name):
			return 0
		}
		return 1
	}
	slices.SortFunc(files, func(a, b File) int {
		return cmp.Or(cmp.Compare(rank(a.Name), rank(b.Name)), cmp.Compare(a.Name, b.Name))
	})
}

// Bytes is how much there is to hash, and at most to send.
func (f *Folder) Bytes() (n int64) {
	for _, file := range f.Files {
		n += file.Size
	}
	return n
}

// readBytes is how much of a file is read at a time.
const readBytes = 1 << 20

// Hash reads every file once and fills in SHA256 and Head. Where the folder has the receipt of an export, every file is
// held against it on the way: what does not agree with it is refused.
func (f *Folder) Hash(ctx context.Context, jobs int, read func(int64)) error {
	checks, err := f.receipt()
	if err != nil {
		return err
	}
	order := make([]int, len(f.Files))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(f.Files[b].Size, f.Files[a].Size) })
	err = interrupt.Each(ctx, jobs, order, func() func(context.Context, int) error {
		buf := make([]byte, readBytes)
		return func(ctx context.Context, i int) error {
			return f.hash(ctx, &f.Files[i], checks[f.Files[i].Name], buf, read)
		}
	})
	f.Proven = err == nil && checks != nil
	return err
}

func (f *Folder) hash(ctx context.Context, file *File, check *receipt.Check, buf []byte, read func(int64)) error {
	in, err := f.root.Open(file.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	sum, at := sha256.New(), int64(0)
	for at < file.Size {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := in.Read(buf[:min(int64(len(buf)), file.Size-at)])
		if at == 0 {
			file.Head = bytes.Clone(buf[:min(n, HeadBytes)])
		}
		at += int64(n)
		sum.Write(buf[:n])
		if check != nil {
			check.Write(buf[:n])
		}
		if read != nil {
			read(int64(n))
		}
		if err == io.EOF && at < file.Size {
			return f.changed(file.Name)
		} else if err != nil && err != io.EOF {
			return folder.Named(file.Name, err)
		}
	}
	file.SHA256 = hex.EncodeToString(sum.Sum(nil))
	if check != nil {
		if err := check.Done(); err != nil {
			return fmt.Errorf("%s: %w; wreg verify %s says all that differs; without %s the files are published as they are", path.Join(f.Path, file.Name), err, f.Path, receipt.Name)
		}
	}
	return f.unchanged(file.Name)
}

// receipt gives what each file has to be, nil where the folder has no receipt.
func (f *Folder) receipt() (map[string]*receipt.Check, error) {
	if _, there := f.infos[receipt.Name]; !there {
		return nil, nil
	}
	checks, err := receipt.Checks(f.root)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; nothing was sent", path.Join(f.Path, receipt.Name), err)
	}
	for _, file := range f.Files {
		if checks[file.Name] == nil && isWeights(file.Name) {
			return nil, fmt.Errorf("%s: %s does not list it, and readers take every shard that they find; remove it", path.Join(f.Path, file.Name), receipt.Name)
		}
	}
	for name, c := range checks {
		if info := f.infos[name]; info == nil {
			return nil, fmt.Errorf("%s: is missing, and %s lists it", path.Join(f.Path, name), receipt.Name)
		} else if info.Size() != c.Bytes {
			return nil, fmt.Errorf("%s: has %d bytes, and %d when it was exported; wreg verify %s says all that differs", path.Join(f.Path, name), info.Size(), c.Bytes, f.Path)
		}
	}
	return checks, nil
}

// unchanged compares a file with what it was when it was listed.
func (f *Folder) unchanged(name string) error {
	now, err := f.root.Stat(name)
	if err != nil {
		return err
	}
	if was := f.infos[name]; now.Size() != was.Size() || !now.ModTime().Equal(was.ModTime()) || folder.Inode(now) != folder.Inode(was) {
		return f.changed(name)
	}
	return nil
}

func (f *Folder) changed(name string) error {
	return fmt.Errorf("%s: the file changed while it was read; begin again when nobody writes it", path.Join(f.Path, name))
}
