package staging

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/interrupt"
)

// maxExtras and maxExtra bound what is copied next to the weights.
const (
	maxExtras = 1000
	maxExtra  = 1 << 30 // bytes of one file
)

// Extra is a file to copy.
type Extra struct {
	Name   string
	Size   int64
	Digest string // declared of it, "" where nobody does
}

// Extras lists the files to copy, sorted. A link that leads out of the folder, or
// anything but a file, is refused: it would be missing from the output silently.
func Extras(ctx context.Context, d files.Files) ([]Extra, error) {
	entries, err := d.List(ctx)
	if err != nil {
		return nil, err
	}
	var out []Extra
	for _, e := range entries {
		name := e.Name()
		if !folder.Beside(name) {
			continue
		}
		info, err := d.Stat(e)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", name)
		}
		if info.Size() > maxExtra {
			return nil, fmt.Errorf("%s: %d bytes exceed the %d that a file copied with the weights may have", name, info.Size(), maxExtra)
		}
		if reserved(name) {
			return nil, fmt.Errorf("%s: would be copied, but the export itself writes a file of that name; rename it in the source, or take it out", name)
		}
		if i := slices.IndexFunc(out, func(x Extra) bool { return strings.EqualFold(x.Name, name) }); i >= 0 {
			return nil, fmt.Errorf("%s and %s differ only in case; many file systems cannot hold both: remove one from the source", out[i].Name, name)
		}
		if err := d.Intact(name, false); err != nil {
			return nil, err
		}
		out = append(out, Extra{name, info.Size(), files.Digest(e)})
		if len(out) > maxExtras {
			return nil, fmt.Errorf("more than %d files to copy", maxExtras)
		}
	}
	return out, nil
}

// Copy copies one file and gives its bytes to also.
func Copy(ctx context.Context, dst *os.Root, src files.Files, x Extra, also io.Writer, sync bool) error {
	in, _, err := src.Open(ctx, x.Name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := dst.OpenFile(x.Name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.MultiWriter(out, also), io.NewSectionReader(interrupt.Reader(ctx, in), 0, x.Size+1))
	if err == nil && n != x.Size {
		err = fmt.Errorf("%s: has %d bytes, had %d when the export was planned", x.Name, n, x.Size)
	}
	if err == nil && sync {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}
