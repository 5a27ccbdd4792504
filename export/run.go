package export

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"

	"wreg/export/consumer"
	"wreg/export/receipt"
	"wreg/export/staging"
	"wreg/ingest/files"
	"wreg/ingest/remote"
	"wreg/ingest/spool"
	"wreg/registry/arch"
)

// Run checks that the target does not exist and has room, writes the plan and lands it:
// temp folder next to the target, read back, fsync, rename. Whatever goes wrong, nothing is left under the final name. With
// Options.Parts it writes one share and returns no receipt; with Options.Finish it
// lands what the shares wrote.
func (p *Plan) Run(ctx context.Context) (*receipt.Receipt, error) {
	if err := p.place(); err != nil {
		return nil, err
	}
	src, err := p.source.open(ctx)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	if p.o.Parts == 0 || p.o.Finish {
		if err := p.compareHeads(ctx, src); err != nil {
			return nil, err
		}
	}
	s, err := newWriter(p, src)
	if err != nil {
		return nil, err
	}
	if p.o.Finish {
		if err := staging.Exists(p.o.Out); err != nil {
			return nil, err
		}
	}
	share := p.o.Parts > 0
	b, err := staging.Open(p.o.Out, p.o.Resume || p.o.Finish || share, share)
	if err != nil {
		return nil, err
	}
	defer b.Close()
	away, write := p.o.Sink != nil, p.fill
	if away {
		write = p.send
	}
	r, err := write(ctx, s, b)
	for lie, ok := errors.AsType[*spool.Mismatch](err); ok; lie, ok = errors.AsType[*spool.Mismatch](err) {
		p.source.spool.Doubt(lie.Name) // it is read once more, or refused
		if s, err = newWriter(p, src); err == nil {
			r, err = write(ctx, s, b)
		}
	}
	if err != nil && (p.source.far() || away) {
		b.Keep()
		err = &KeptError{b.Path, err}
	}
	if err != nil && ctx.Err() == nil {
		// A source cut short or overwritten shows as all kinds of errors; this is the cause.
		if changed := p.source.unchanged(); changed != nil {
			err = fmt.Errorf("the source changed during the export: %w", changed)
		}
	}
	switch {
	case err != nil || share:
	case away:
		err = b.Clear()
	default:
		if err = b.Strangers(p.names(r)); err == nil {
			err = b.Land(p.o.Out, !p.o.NoSync)
		}
	}
	if err != nil {
		return nil, errors.Join(err, b.Remove())
	}
	return r, nil
}

// KeptError is why an export from elsewhere, or to there, failed. What was done by then stays.
type KeptError struct {
	Path string // of the folder where it lies
	Err  error
}

func (e *KeptError) Error() string { return e.Err.Error() + "; " + e.What() }

// What says what stays, and what for.
func (e *KeptError) What() string {
	return fmt.Sprintf("what came so far is in %s, and --resume goes on from there", e.Path)
}

func (e *KeptError) Unwrap() error { return e.Err }

// names are those of all files of the output.
func (p *Plan) names(r *receipt.Receipt) []string {
	names := []string{receipt.Name}
	for _, s := range p.Shards {
		names = append(names, s.Name)
	}
	for _, f := range r.Files {
		names = append(names, f.Name)
	}
	return names
}

// fill writes everything into the staging folder.
func (p *Plan) fill(ctx context.Context, s *writer, b *staging.Folder) (*receipt.Receipt, error) {
	defer s.close()
	jobs, err := s.remaining(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := s.write(ctx, jobs); err != nil {
		return nil, errors.Join(err, s.disown(err))
	}
	if s.proven == nil { // what has a receipt was compared
		if err := p.compareStreamed(ctx); err != nil {
			return nil, err
		}
	}
	if !p.o.NoSync {
		if err := s.sync(); err != nil {
			return nil, err
		}
	}
	if p.o.Parts > 0 {
		return nil, nil // a share is proven by now; --finish reads all of it again
	}
	if err := s.readBack(ctx); err != nil {
		return nil, err
	}
	if err := s.sources(ctx); err != nil {
		return nil, err
	}
	if err := p.headersBack(s.files); err != nil {
		return nil, err
	}
	if err := p.source.unchanged(); err != nil {
		return nil, err // said by Run
	}
	files, err := p.beside(ctx, b)
	if err != nil {
		return nil, err
	}
	r := s.receipt(files)
	data, err := r.JSON()
	if err != nil {
		return nil, err
	}
	_, err = b.Write(receipt.Name, data, !p.o.NoSync)
	return r, err
}

// headersBack reads the shards' headers back and checks their sizes.
func (p *Plan) headersBack(files []*os.File) error {
	for i, f := range files {
		if err := p.headerBack(i, f); err != nil {
			return err
		}
	}
	return nil
}

func (p *Plan) headerBack(i int, f *os.File) error {
	got := make([]byte, len(p.headers[i]))
	if _, err := f.ReadAt(got, 0); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if !bytes.Equal(got, p.headers[i]) || info.Size() != p.Shards[i].Bytes {
		return fmt.Errorf("%s: its header was changed when read back, or it has %d bytes instead of %d", p.Shards[i].Name, info.Size(), p.Shards[i].Bytes)
	}
	return nil
}

// beside writes every file but the shards and the receipt.
func (p *Plan) beside(ctx context.Context, b *staging.Folder) ([]receipt.File, error) {
	var files []receipt.File
	index, err := p.index()
	if err != nil {
		return nil, err
	}
	type file struct {
		name string
		data []byte
	}
	written := []file{{staging.Config, p.config}, {staging.Index, index}, {staging.Readme, []byte(consumer.Of(p.Target).Readme)}}
	if p.Target == arch.HF { // transformers wants an index only for several shards
		written = written[:1]
		if len(p.Shards) > 1 {
			written = append(written, file{staging.Index, index})
		}
	}
	for _, f := range written {
		x, err := b.Write(f.name, f.data, !p.o.NoSync)
		if err != nil {
			return nil, err
		}
		files = append(files, x)
	}
	src, err := p.source.beside()
	if err != nil {
		return nil, err
	}
	defer src.Close()
	for _, x := range p.files {
		got, err := p.copy(ctx, b, src, x)
		if err != nil {
			return nil, err
		}
		files = append(files, receipt.File{Name: x.Name, Bytes: x.Size, SHA256: got})
	}
	return files, nil
}

// copy copies a file that lies beside the weights and gives its SHA-256. One that is not
// what is declared of it is read once more.
func (p *Plan) copy(ctx context.Context, b *staging.Folder, src files.Files, x staging.Extra) (got string, err error) {
	want, declared := strings.CutPrefix(x.Digest, "sha256:")
	for range 2 {
		h := sha256.New()
		if err := staging.Copy(ctx, b.Root, src, x, h, !p.o.NoSync); err != nil {
			return "", err
		}
		if got = hex.EncodeToString(h.Sum(nil)); !declared || got == want {
			return got, nil
		}
	}
	return "", &remote.DigestError{Name: x.Name, Want: want, Got: got}
}
