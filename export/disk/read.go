package disk

import (
	"fmt"
	"io"
	"os"

	"wreg/registry/tensor"
)

// InFile is the file that a tensor's bytes lie in, as they are, and where; not ok:
// they have to be read.
func InFile(r io.ReaderAt) (f *os.File, off int64, ok bool) {
	for {
		switch outer := r.(type) {
		case *os.File:
			return outer, off, true
		case *io.SectionReader:
			var at int64
			r, at, _ = outer.Outer()
			off += at
		default:
			return nil, 0, false
		}
	}
}

// ReadFull reads all of buf, at off; its error says where.
func ReadFull(r io.ReaderAt, buf []byte, off int64) error {
	if err := tensor.ReadFull(r, buf, off); err != nil {
		return fmt.Errorf("bytes %d:%d: %w", off, off+int64(len(buf)), err)
	}
	return nil
}
