package tensor

import "io"

// ReadFull reads all of p from r at off, or says why not. That all bytes came is no
// proof that they are right: a reader that finds a checksum wrong says so with the
// last of them. Only the end of the file may come with them.
func ReadFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	switch {
	case n == len(p) && (err == nil || err == io.EOF):
		return nil
	case err == nil || err == io.EOF:
		return io.ErrUnexpectedEOF
	}
	return err
}
