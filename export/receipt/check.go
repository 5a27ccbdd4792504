package receipt

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"slices"

	"wreg/ingest/folder"
	"wreg/ingest/sums"
)

// Check holds a file of an export against its receipt while the bytes pass by, in order.
type Check struct {
	Bytes int64
	spans []span
	at    int64 // in the file
	to    io.Writer
	sum   func() []byte // of what was written to it
	fault error
}

// span is a stretch of a file that has a checksum of its own.
type span struct {
	what   string
	end    int64
	want   []byte
	sha256 bool // else XXH3
}

// Checks reads a folder's receipt, refuses one that was changed, and gives a Check for each file that it lists.
func Checks(root *folder.Folder) (map[string]*Check, error) {
	data, err := root.ReadFile(Name, MaxBytes)
	if err != nil {
		return nil, err
	}
	r, err := Parse(data)
	switch {
	case err != nil:
		return nil, err
	case !Sealed(data):
		return nil, fmt.Errorf("was changed after it was written: its last line is not the sha256 of the rest")
	case r.Format != Format:
		return nil, fmt.Errorf("version %d is not known to this wreg (it knows %d)", r.Format, Format)
	}
	return r.checks()
}

func (r *Receipt) checks() (map[string]*Check, error) {
	out := make(map[string]*Check, len(r.Files)+len(r.Shards))
	add := func(name string, c *Check) error {
		if out[name] != nil {
			return fmt.Errorf("lists %q twice", name)
		}
		out[name] = c
		return nil
	}
	for _, f := range r.Files {
		want, err := hex.DecodeString(f.SHA256)
		if err != nil || len(want) != sha256.Size || f.Bytes < 0 {
			return nil, fmt.Errorf("file %q: %w", f.Name, errNoSum)
		}
		if err := add(f.Name, &Check{Bytes: f.Bytes, spans: []span{{"it", f.Bytes, want, true}}}); err != nil {
			return nil, err
		}
	}
	for _, s := range r.Shards {
		want, err := hex.DecodeString(s.SHA256)
		if err != nil || len(want) != sha256.Size || s.Header < 0 {
			return nil, fmt.Errorf("shard %q: %w", s.Name, errNoSum)
		}
		if err := add(s.Name, &Check{Bytes: s.Bytes, spans: []span{{"its header", s.Header, want, true}}}); err != nil {
			return nil, err
		}
	}
	tensors := slices.Clone(r.Tensors)
	slices.SortStableFunc(tensors, func(a, b Tensor) int { return cmp.Compare(a.Offset, b.Offset) })
	for _, t := range tensors {
		c := out[t.File]
		d, err := ParseDigest(t.XXH3, "")
		if err != nil {
			return nil, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		if c == nil {
			return nil, fmt.Errorf("tensor %q lies in %q, which is not listed", t.Path, t.File)
		}
		if at := c.spans[len(c.spans)-1].end; t.Offset != at || t.Bytes < 0 || t.Bytes > c.Bytes-at {
			return nil, fmt.Errorf("tensor %q: lies at %d with %d bytes, and should begin at %d of the %d bytes of %s", t.Path, t.Offset, t.Bytes, at, c.Bytes, t.File)
		}
		c.spans = append(c.spans, span{fmt.Sprintf("tensor %q", t.Path), t.Offset + t.Bytes, d.Sum[:], false})
	}
	for name, c := range out {
		if end := c.spans[len(c.spans)-1].end; end != c.Bytes {
			return nil, fmt.Errorf("nothing is known of bytes %d to %d of %s", end, c.Bytes, name)
		}
	}
	return out, nil
}

// Write takes the next bytes of the file; it never fails.
func (c *Check) Write(p []byte) (int, error) {
	n := len(p)
	for c.settle(); len(p) > 0 && len(c.spans) > 0; c.settle() {
		c.begin()
		k := min(int64(len(p)), c.spans[0].end-c.at)
		c.to.Write(p[:k])
		c.at += k
		p = p[k:]
	}
	return n, nil
}

// begin takes the checksum of the first span that is left, unless it is being taken.
func (c *Check) begin() {
	switch {
	case c.to != nil:
	case c.spans[0].sha256:
		h := sha256.New()
		c.to, c.sum = h, func() []byte { return h.Sum(nil) }
	default:
		h := sums.NewSummer()
		c.to, c.sum = h, func() []byte { s := h.Sum(); return s[:] }
	}
}

// settle compares the spans that have ended.
func (c *Check) settle() {
	for len(c.spans) > 0 && c.at == c.spans[0].end {
		c.begin()
		if s := c.spans[0]; c.fault == nil && !bytes.Equal(c.sum(), s.want) {
			c.fault = fmt.Errorf("%s is not what was exported", s.what)
		}
		c.spans, c.to = c.spans[1:], nil
	}
}

// Done says whether the file that passed is the one that was exported.
func (c *Check) Done() error {
	c.settle()
	if c.fault == nil && len(c.spans) > 0 {
		return fmt.Errorf("%s is not what was exported: the file ends at byte %d", c.spans[0].what, c.at)
	}
	return c.fault
}
