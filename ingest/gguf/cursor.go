package gguf

import (
	"encoding/binary"
	"fmt"
	"io"
	"unicode/utf8"

	"wreg/ingest/interrupt"
	"wreg/registry/tensor"
)

// cursor reads forward through a file in a fixed buffer. Every length is held
// against what is left of the file before it is believed.
type cursor struct {
	r    io.ReaderAt
	size int64 // of the file
	end  int64 // of what the header may take of it
	pos  int64
	buf  []byte // what was read ahead, from pos on
	back [32 << 10]byte
	kept int64 // bytes of metadata that stay in memory

	steps interrupt.Steps // of loops that read nothing
}

func (c *cursor) left() int64 { return c.end - c.pos }

// cut says that n bytes are more than are left.
func (c *cursor) cut(n int64) error {
	if c.end < c.size {
		return fmt.Errorf("offset %d: %d bytes are needed, but the header may take only %d in all", c.pos, n, c.end)
	}
	return fmt.Errorf("offset %d: %d bytes are needed, but only %d are left; the file is truncated", c.pos, n, c.left())
}

// bytes are the next n, valid until the next call; n is at most len(back).
func (c *cursor) bytes(n int) ([]byte, error) {
	if int64(n) > c.left() {
		return nil, c.cut(int64(n))
	}
	if len(c.buf) < n {
		p := c.back[:min(int64(len(c.back)), c.left())]
		if err := tensor.ReadFull(c.r, p, c.pos); err != nil {
			return nil, fmt.Errorf("offset %d: %w", c.pos, err)
		}
		c.buf = p
	}
	b := c.buf[:n]
	c.buf, c.pos = c.buf[n:], c.pos+int64(n)
	return b, nil
}

// copy gives the next n, to keep.
func (c *cursor) copy(n int64) ([]byte, error) {
	b := make([]byte, 0, n)
	for int64(len(b)) < n {
		part, err := c.bytes(int(min(n-int64(len(b)), int64(len(c.back)))))
		if err != nil {
			return nil, err
		}
		b = append(b, part...)
	}
	return b, nil
}

// skip passes over n bytes.
func (c *cursor) skip(n int64) error {
	if n > c.left() {
		return c.cut(n)
	}
	c.buf = c.buf[min(n, int64(len(c.buf))):]
	c.pos += n
	return nil
}

func (c *cursor) u32() (uint32, error) {
	b, err := c.bytes(4)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint32(b), nil
}

func (c *cursor) u64() (uint64, error) {
	b, err := c.bytes(8)
	if err != nil {
		return 0, err
	}
	return binary.LittleEndian.Uint64(b), nil
}

// count reads how many things follow, each of at least size bytes, at most most.
func (c *cursor) count(what string, size, most int64) (int64, error) {
	at := c.pos
	n, err := c.u64()
	if err != nil {
		return 0, err
	}
	if n > uint64(c.left()/size) {
		if c.end < c.size {
			return 0, fmt.Errorf("offset %d: %d %s cannot fit the %d bytes that the header may take", at, n, what, c.end)
		}
		return 0, fmt.Errorf("offset %d: %d %s cannot fit the %d bytes left", at, n, what, c.left())
	}
	if most > 0 && n > uint64(most) {
		return 0, fmt.Errorf("offset %d: %d %s exceed the %d that are read", at, n, what, most)
	}
	return int64(n), nil
}

// str reads a string of UTF-8.
func (c *cursor) str(what string, limit int64) (string, error) {
	at := c.pos
	n, err := c.count("bytes of a "+what, 1, 0)
	if err != nil {
		return "", err
	}
	if n > limit {
		return "", fmt.Errorf("offset %d: %s of %d bytes exceeds %d", at, what, n, limit)
	}
	b, err := c.copy(n)
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) {
		return "", fmt.Errorf("offset %d: %s %q is not UTF-8", at, what, b[:min(len(b), 40)])
	}
	return string(b), nil
}
