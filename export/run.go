package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Run writes the plan and lands it: temp folder beside the target, read back,
// fsync, rename. Whatever goes wrong, nothing is left under the final name.
func (p *Plan) Run(ctx context.Context) (*Receipt, error) {
	src, err := p.source.open()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	s, err := newStream(p, src)
	if err != nil {
		return nil, err
	}
	b, err := newBerth(p.o.Out)
	if err != nil {
		return nil, err
	}
	defer b.close()
	r, err := p.fill(ctx, s, b)
	if err == nil {
		err = b.land(p.o.Out, !p.o.NoSync)
	}
	if err != nil {
		return nil, errors.Join(err, b.remove())
	}
	return r, nil
}

// fill writes everything into the berth.
func (p *Plan) fill(ctx context.Context, s *stream, b *berth) (*Receipt, error) {
	defer func() {
		for _, f := range s.files {
			f.Close()
		}
	}()
	for i, shard := range p.Shards {
		f, err := b.root.OpenFile(shard.Name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
		if err != nil {
			return nil, err
		}
		s.files = append(s.files, f)
		if err := reserve(f, shard.Bytes); err != nil {
			return nil, fmt.Errorf("%s: %d bytes: %w", shard.Name, shard.Bytes, err)
		}
		if _, err := f.WriteAt(p.headers[i], 0); err != nil {
			return nil, err
		}
	}
	if err := s.write(ctx, p.o.NoSync); err != nil {
		return nil, err
	}
	if err := s.sources(ctx); err != nil {
		return nil, err
	}
	if !p.o.NoSync {
		for _, f := range s.files {
			if err := f.Sync(); err != nil {
				return nil, err
			}
			dropCache(f)
		}
		if err := s.readBack(ctx); err != nil {
			return nil, err
		}
	}
	if err := p.headersBack(s.files); err != nil {
		return nil, err
	}
	if err := p.source.unchanged(); err != nil {
		return nil, fmt.Errorf("the source changed during the export: %w", err)
	}
	files, err := p.beside(b)
	if err != nil {
		return nil, err
	}
	r := s.receipt(files)
	data, err := r.JSON()
	if err != nil {
		return nil, err
	}
	_, err = b.writeFile(receiptFile, data, !p.o.NoSync)
	return r, err
}

// headersBack reads the shards' headers back and checks their sizes.
func (p *Plan) headersBack(files []*os.File) error {
	for i, f := range files {
		got := make([]byte, len(p.headers[i]))
		if _, err := f.ReadAt(got, 0); err != nil {
			return err
		}
		info, err := f.Stat()
		if err != nil {
			return err
		}
		if !bytes.Equal(got, p.headers[i]) || info.Size() != p.Shards[i].Bytes {
			return fmt.Errorf("%s: its header was read back changed, or it has %d bytes for %d", p.Shards[i].Name, info.Size(), p.Shards[i].Bytes)
		}
	}
	return nil
}

// beside writes every file but the shards and the receipt.
func (p *Plan) beside(b *berth) ([]ReceiptFile, error) {
	var files []ReceiptFile
	index, err := p.index()
	if err != nil {
		return nil, err
	}
	for _, f := range []struct {
		name string
		data []byte
	}{{configFile, p.config}, {indexFile, index}, {readmeFile, []byte(readme)}} {
		x, err := b.writeFile(f.name, f.data, !p.o.NoSync)
		if err != nil {
			return nil, err
		}
		files = append(files, x)
	}
	src, err := os.OpenRoot(p.source.folder())
	if err != nil {
		return nil, err
	}
	defer src.Close()
	for _, x := range p.files {
		h := sha256.New()
		if err := copyExtra(b.root, src, x, h, !p.o.NoSync); err != nil {
			return nil, err
		}
		files = append(files, ReceiptFile{x.name, x.size, hex.EncodeToString(h.Sum(nil))})
	}
	return files, nil
}

// berth is the folder an export is written to before it lands: beside the target,
// so that a rename puts it into place.
type berth struct {
	path string
	root *os.Root
	lock *os.File
}

// partial marks the name of a berth: .NAME.wreg-partial
const partial = ".wreg-partial"

func newBerth(out string) (*berth, error) {
	path := filepath.Join(filepath.Dir(out), "."+filepath.Base(out)+partial)
	if lock, err := lockFolder(path); err == nil {
		// A killed export left it; nobody holds it now.
		err := errors.Join(os.RemoveAll(path), lock.Close())
		if err != nil {
			return nil, err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w; another export is writing there", path, err)
	}
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, err
	}
	lock, err := lockFolder(path)
	if err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, errors.Join(err, lock.Close())
	}
	return &berth{path, root, lock}, nil
}

// writeFile writes a small file and reads it back.
func (b *berth) writeFile(name string, data []byte, sync bool) (ReceiptFile, error) {
	f, err := b.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return ReceiptFile{}, err
	}
	defer f.Close()
	if _, err := f.Write(data); err != nil {
		return ReceiptFile{}, err
	}
	if sync {
		if err := f.Sync(); err != nil {
			return ReceiptFile{}, err
		}
	}
	back := make([]byte, len(data))
	if _, err := f.ReadAt(back, 0); err != nil || !bytes.Equal(back, data) {
		return ReceiptFile{}, fmt.Errorf("%s: was read back changed (%v)", name, err)
	}
	sum := sha256.Sum256(data)
	return ReceiptFile{name, int64(len(data)), hex.EncodeToString(sum[:])}, nil
}

// land gives the folder its final name.
func (b *berth) land(out string, sync bool) error {
	if sync {
		if err := syncFolder(b.path); err != nil {
			return err
		}
	}
	if _, err := os.Lstat(out); err == nil {
		return fmt.Errorf("%s appeared during the export; it was left alone", out)
	}
	if err := os.Rename(b.path, out); err != nil {
		return err
	}
	b.path = ""
	if sync {
		return syncFolder(filepath.Dir(out))
	}
	return nil
}

// remove deletes what was written, unless it landed.
func (b *berth) remove() error {
	if b.path == "" {
		return nil
	}
	return os.RemoveAll(b.path)
}

func (b *berth) close() {
	b.root.Close()
	b.lock.Close()
}

// syncFolder makes the names in a folder durable.
func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
