// Package codec reads and writes what every value of a registry file is made of:
// numbers of variable length, texts, tables of texts and checksums.
//
// Most users need a [Reader], [AppendText] and [Checksum].
//
// Invariants: nothing is allocated for what cannot be in the bytes at hand; the first
// thing wrong sticks in Reader.Err and all that is read after it is zero.
package codec

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// castagnoli is the CRC with an instruction on amd64 and arm64, so a column is
// verified at about the speed it is read.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Checksum is the CRC-32C of where a value lies, when that counts, and of the value.
func Checksum(place string, value []byte) uint32 {
	return crc32.Update(crc32.Checksum([]byte(place), castagnoli), castagnoli, value)
}

// Seal appends the checksum that Unseal verifies: of where the value lies and the
// value, so that a value under another key is found out too.
func Seal(place string, value []byte) []byte {
	return binary.LittleEndian.AppendUint32(value, Checksum(place, value))
}

// Unseal gives the value without its checksum; wrong says what is wrong, "" nothing.
func Unseal(place string, sealed []byte) (value []byte, wrong string) {
	n := len(sealed) - 4
	switch {
	case sealed == nil:
		return nil, "the key is absent"
	case n < 0:
		return nil, fmt.Sprintf("%d bytes are too few for a value", len(sealed))
	case Checksum(place, sealed[:n]) != binary.LittleEndian.Uint32(sealed[n:]):
		return nil, fmt.Sprintf("%d bytes do not match their checksum", n)
	}
	return sealed[:n:n], ""
}

// Reader takes values off the front of bytes from the file. The first thing
// wrong sticks and everything after it reads as zero, so callers check once.
type Reader struct {
	b   []byte
	off int
	Err string // what was wrong first, "" nothing
}

// NewReader reads b, which must stay unchanged meanwhile.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Fail notes what is wrong where the reader is.
func (d *Reader) Fail(message string) {
	if d.Err == "" {
		d.Err = fmt.Sprintf("byte %d: %s", d.off, message)
	}
}

// Offset is how much was read.
func (d *Reader) Offset() int { return d.off }

// Left is how much there is still to read.
func (d *Reader) Left() int { return len(d.b) - d.off }

// Byte takes one byte.
func (d *Reader) Byte() byte {
	if s := d.Bytes(1); s != nil {
		return s[0]
	}
	return 0
}

// Bytes takes n bytes, nil when there are fewer.
func (d *Reader) Bytes(n int) []byte {
	if d.Err != "" {
		return nil
	}
	if n < 0 || n > d.Left() {
		d.Fail(fmt.Sprintf("%d bytes wanted, %d left", n, d.Left()))
		return nil
	}
	s := d.b[d.off : d.off+n : d.off+n]
	d.off += n
	return s
}

// Uvarint takes an unsigned number.
func (d *Reader) Uvarint() uint64 {
	if d.Err != "" {
		return 0
	}
	v, n := binary.Uvarint(d.b[d.off:])
	if n <= 0 {
		d.Fail("a number does not end")
		return 0
	}
	d.off += n
	return v
}

// Varint takes a signed number.
func (d *Reader) Varint() int64 {
	if d.Err != "" {
		return 0
	}
	v, n := binary.Varint(d.b[d.off:])
	if n <= 0 {
		d.Fail("a number does not end")
		return 0
	}
	d.off += n
	return v
}

// Count reads a number of things that take at least each bytes apiece, so that
// nothing is allocated for things that cannot be there.
func (d *Reader) Count(each int) int {
	v := d.Uvarint()
	if d.Err == "" && v > uint64(d.Left()/max(each, 1)) {
		d.Fail(fmt.Sprintf("%d entries in %d bytes", v, d.Left()))
		return 0
	}
	return int(v)
}

// Text reads a length and that many bytes.
func (d *Reader) Text() []byte { return d.Bytes(d.Count(1)) }

// AppendText writes what Text reads.
func AppendText[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

// AppendTable writes what Table reads.
func AppendTable(b []byte, names []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(names)))
	for _, s := range names {
		b = AppendText(b, s)
	}
	return b
}

// Table reads what AppendTable wrote, nil when it has more than most names.
func (d *Reader) Table(most int) []string {
	n := d.Count(1)
	if n > most {
		d.Fail(fmt.Sprintf("%d names, at most %d are kept", n, most))
		return nil
	}
	names := make([]string, n)
	for i := range names {
		names[i] = string(d.Text())
	}
	return names
}
