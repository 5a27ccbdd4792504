package artifact

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"
)

// maxMembers bounds the files of one archive.
const maxMembers = 10_000

// members finds the files of an archive: of each its header is read, and where its bytes lie follows.
func members(r io.ReaderAt, l Layer) ([]File, error) {
	var files []File
	section := io.NewSectionReader(r, 0, l.Size)
	t := tar.NewReader(section)
	for n := 0; ; n++ {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, fmt.Errorf("its archive cannot be read after %d files: %w; pack it again", len(files), err)
		}
		if n == maxMembers {
			return nil, fmt.Errorf("its archive holds more than %d files; unpack it, and ingest the folder that is meant", maxMembers)
		}
		name := path.Clean(h.Name)
		switch {
		case h.Typeflag == tar.TypeDir, h.Typeflag == tar.TypeXGlobalHeader:
			continue
		case h.Typeflag == tar.TypeSymlink, h.Typeflag == tar.TypeLink:
			return nil, fmt.Errorf("%.100q in its archive is a link, which is not followed; pack the file itself", name)
		case sparse(h):
			return nil, fmt.Errorf("%.100q in its archive is stored with holes, so that its bytes do not lie in one piece; pack it again without --sparse", name)
		case h.Typeflag != tar.TypeReg:
			return nil, fmt.Errorf("%.100q in its archive is not a file (type %q); pack it again", name, h.Typeflag)
		}
		at, err := section.Seek(0, io.SeekCurrent) // tar reads headers by blocks: the file begins here
		if err != nil {
			return nil, err
		}
		if h.Size < 0 || h.Size > l.Size-at {
			return nil, fmt.Errorf("%.100q in its archive has %d bytes at %d, and the archive %d: it is cut short", name, h.Size, at, l.Size)
		}
		files = append(files, File{Name: name, Size: h.Size, Layer: l, Offset: at})
	}
}

// sparse reports a file of which only some stretches are stored.
func sparse(h *tar.Header) bool {
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return true
		}
	}
	return h.Typeflag == tar.TypeGNUSparse
}
