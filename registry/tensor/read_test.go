package tensor

import (
	"errors"
	"io"
	"testing"
)

// readerAt answers every read with the same number of bytes and error.
type readerAt struct {
	n   int
	err error
}

func (r readerAt) ReadAt([]byte, int64) (int, error) { return r.n, r.err }

func TestReadFull(t *testing.T) {
	damaged := errors.New("damaged")
	for _, c := range []struct {
		n    int
		err  error
		want error
	}{
		{4, nil, nil},
		{4, io.EOF, nil},
		{4, damaged, damaged},
		{3, damaged, damaged},
		{3, nil, io.ErrUnexpectedEOF},
		{3, io.EOF, io.ErrUnexpectedEOF},
		{4, io.ErrUnexpectedEOF, io.ErrUnexpectedEOF},
	} {
		if err := ReadFull(readerAt{c.n, c.err}, make([]byte, 4), 0); err != c.want {
			t.Errorf("%d bytes of 4 and %v: %v, want %v", c.n, c.err, err, c.want)
		}
	}
}
