package zipfile

import (
	"bytes"
	"compress/flate"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"wreg/registry/tensor"
)

// Record is one file in an archive.
type Record struct {
	Name     string
	Deflated bool
	CRC      uint32 // IEEE, of the uncompressed bytes; 0 says nothing
	Size     int64  // uncompressed
	Stored   int64  // as it lies in the archive
	Offset   int64  // of the first stored byte

	header int64 // offset of the local header
	flags  uint16
}

// Open gives the uncompressed bytes of a record of the archive in r. Its CRC is
// checked when all of it was read, a deflated one from front to back: indexing
// reads no data, hashing does. Who reads a part, or a deflated one in another order,
// takes Shared.
func (rec *Record) Open(r io.ReaderAt) io.ReaderAt {
	section := io.NewSectionReader(r, rec.Offset, rec.Stored)
	if rec.Deflated {
		return &inflater{rec: rec, packed: section}
	}
	if rec.CRC == 0 { // torch writes none with set_crc32_options(False)
		return section
	}
	return &checked{rec: rec, r: section}
}

// Read reads a whole record of at most limit bytes and checks its CRC.
func (rec *Record) Read(r io.ReaderAt, limit int64) ([]byte, error) {
	if rec.Size > limit {
		return nil, fmt.Errorf("record %q: %d bytes, more than the %d that are read at once from a file of this size", rec.Name, rec.Size, limit)
	}
	b := make([]byte, rec.Size)
	switch err := tensor.ReadFull(rec.Open(r), b, 0); err {
	case nil:
		return b, nil
	case io.ErrUnexpectedEOF:
		return nil, fmt.Errorf("record %q: %w", rec.Name, err)
	default:
		return nil, err
	}
}

func (rec *Record) badCRC() error {
	return fmt.Errorf("record %q at offset %d: its CRC is not the %08x of the directory; the file is damaged", rec.Name, rec.Offset, rec.CRC)
}

func unexpected(err error) error {
	if err == nil || err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// inflater reads a deflated record at random by inflating from the start again
// when it must go back: hashing and export go forward.
type inflater struct {
	rec    *Record
	packed *io.SectionReader

	mu  sync.Mutex
	z   io.Reader
	at  int64
	crc uint32
}

func (f *inflater) ReadAt(p []byte, off int64) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if off < 0 || off >= f.rec.Size {
		return 0, io.EOF
	}
	short := int64(len(p)) > f.rec.Size-off
	if short {
		p = p[:f.rec.Size-off]
	}
	if f.z == nil || off < f.at {
		f.packed.Seek(0, io.SeekStart)
		f.z, f.at, f.crc = flate.NewReader(f.packed), 0, 0
	}
	if err := f.skip(off - f.at); err != nil {
		return 0, err
	}
	n, err := io.ReadFull(f.z, p)
	f.count(p[:n])
	if err != nil {
		return n, fmt.Errorf("record %q: inflates to %d bytes, not the %d of the directory: %w", f.rec.Name, f.at, f.rec.Size, unexpected(err))
	}
	if f.at == f.rec.Size {
		switch extra, err := io.ReadFull(f.z, make([]byte, 1)); {
		case extra > 0:
			return n, fmt.Errorf("record %q: inflates to more than the %d bytes of the directory", f.rec.Name, f.rec.Size)
		case err != io.EOF:
			return n, fmt.Errorf("record %q: after its %d bytes: %w", f.rec.Name, f.rec.Size, err)
		}
		if f.rec.CRC != 0 && f.crc != f.rec.CRC {
			return n, f.rec.badCRC()
		}
	}
	if short {
		return n, io.EOF
	}
	return n, nil
}

func (f *inflater) count(p []byte) {
	f.at += int64(len(p))
	f.crc = crc32.Update(f.crc, crc32.IEEETable, p)
}

func (f *inflater) skip(n int64) error {
	var b bytes.Buffer
	for n > 0 {
		b.Reset()
		k, err := io.CopyN(&b, f.z, min(n, 1<<16))
		f.count(b.Bytes())
		if n -= k; err != nil {
			return fmt.Errorf("record %q: inflates to %d bytes, not the %d of the directory: %w", f.rec.Name, f.at, f.rec.Size, unexpected(err))
		}
	}
	return nil
}
