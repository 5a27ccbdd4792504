package zipfile

import (
	"context"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"wreg/registry/tensor"
)

// maxSpans bounds the stretches of a record whose CRC is kept until they meet. What
// is read beyond them is read once more by Prove.
const maxSpans = 1024

// checked gives the bytes of a stored record and takes their CRC as they are read, in
// any order and by anyone. Once every byte was read it is compared: from then on a
// damaged record gives an error with every read.
type checked struct {
	rec *Record
	r   io.ReaderAt

	mu    sync.Mutex
	spans []span // that were read: sorted, apart, none touching the next
	done  bool   // all of it was
	err   error  // and its CRC is wrong

	proving sync.Mutex
}

// span is a stretch of a record and its CRC.
type span struct {
	from, to int64
	crc      uint32
}

func (c *checked) ReadAt(p []byte, off int64) (int, error) {
	if done, err := c.state(); done && err != nil {
		return 0, err
	} else if done {
		return c.r.ReadAt(p, off)
	}
	n, err := c.r.ReadAt(p, off)
	if n > 0 {
		if damaged := c.add(span{off, off + int64(n), crc32.ChecksumIEEE(p[:n])}); damaged != nil {
			return n, damaged
		}
	}
	return n, err
}

func (c *checked) state() (done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.done, c.err
}

// add counts a span as read, unless some of it was before.
func (c *checked) add(s span) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done {
		return c.err
	}
	i, _ := slices.BinarySearchFunc(c.spans, s.from, func(s span, from int64) int {
		if s.to <= from {
			return -1
		}
		return 1
	})
	if i < len(c.spans) && c.spans[i].from < s.to {
		return nil
	}
	before, after := i > 0 && c.spans[i-1].to == s.from, i < len(c.spans) && c.spans[i].from == s.to
	switch {
	case before && after:
		c.spans[i-1] = c.spans[i-1].join(s).join(c.spans[i])
		c.spans = slices.Delete(c.spans, i, i+1)
	case before:
		c.spans[i-1] = c.spans[i-1].join(s)
	case after:
		c.spans[i] = s.join(c.spans[i])
	case len(c.spans) < maxSpans || s.from == 0: // else Prove, which begins there, would never end
		c.spans = slices.Insert(c.spans, i, s)
	}
	if s := c.spans[0]; s.from == 0 && s.to == c.rec.Size {
		if c.done, c.spans = true, nil; s.crc != c.rec.CRC {
			c.err = c.rec.badCRC()
		}
	}
	return c.err
}

// gap is the first stretch that was not read.
func (c *checked) gap() (from, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.from > from {
			return from, s.from
		}
		from = s.to
	}
	return from, c.rec.Size
}

// prove reads what nobody has.
func (c *checked) prove(ctx context.Context) error {
	c.proving.Lock()
	defer c.proving.Unlock()
	var buf []byte
	for {
		if done, err := c.state(); done {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		from, to := c.gap()
		if buf == nil {
			buf = make([]byte, min(proofBuffer, c.rec.Size))
		}
		if err := tensor.ReadFull(c, buf[:min(int64(len(buf)), to-from)], from); err != nil {
			return err
		}
	}
}

// join is s and the span that begins where it ends.
func (s span) join(next span) span {
	return span{s.from, next.to, multiply(power(8*uint64(next.to-next.from)), s.crc) ^ next.crc}
}

// A CRC is a polynomial over two elements modulo one of degree 32, its highest
// coefficient in bit 0. To append n bits is to multiply by x to the n.

// multiply is a times b.
func multiply(a, b uint32) (product uint32) {
	for ; a != 0; a <<= 1 {
		if a>>31 == 1 {
			product ^= b
		}
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}

// power is x to the n.
func power(n uint64) uint32 {
	p, square := uint32(1)<<31, uint32(1)<<30 // 1 and x
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			p = multiply(p, square)
		}
		square = multiply(square, square)
	}
	return p
}
