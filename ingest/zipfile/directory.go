package zipfile

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"unicode"

	"wreg/ingest/interrupt"
	"wreg/registry/tensor"
)

// Signatures and fixed sizes, from APPNOTE.TXT 6.3.10, sections 4.3 and 4.5.
const (
	sigLocal      = 0x04034b50
	sigCentral    = 0x02014b50
	sigEnd        = 0x06054b50
	sigEnd64      = 0x06064b50
	sigLocator    = 0x07064b50
	sigDescriptor = 0x08074b50

	lenLocal   = 30
	lenCentral = 46
	lenEnd     = 22
	lenEnd64   = 56
	lenLocator = 20

	extra64    = 1
	maxComment = math.MaxUint16

	flagDescriptor = 1 << 3
	flagUTF8       = 1 << 11
	// flagsRefused are encryption, patches, strong encryption and a masked directory.
	flagsRefused = 1 | 1<<5 | 1<<6 | 1<<13
)

// recordMemory is what a record takes, besides what it takes in the directory.
const recordMemory = 256

// maxName bounds the name of a record.
const maxName = 4096

// directory is where the central directory lies and how many entries it has.
type directory struct {
	offset, size int64
	count        uint64
}

// findDirectory reads the end record. Its comment may hold something that looks
// like one, so the end record is the one whose comment ends with the file and
// whose directory ends where it begins; two such are an archive with two meanings.
func findDirectory(r io.ReaderAt, size int64) (directory, error) {
	tail := make([]byte, min(size, lenEnd+maxComment+lenLocator+lenEnd64))
	if err := readFull(r, tail, size-int64(len(tail))); err != nil {
		return directory{}, err
	}
	base := size - int64(len(tail))
	var found []directory
	var first error
	for at := len(tail) - lenEnd; at >= 0; at-- {
		if binary.LittleEndian.Uint32(tail[at:]) != sigEnd {
			continue
		}
		if comment := int(binary.LittleEndian.Uint16(tail[at+20:])); at+lenEnd+comment != len(tail) {
			continue
		}
		d, err := endRecord(tail, at, base)
		if err == nil {
			found = append(found, d)
		} else if first == nil {
			first = err
		}
	}
	switch {
	case len(found) > 1:
		return directory{}, errors.New("two end records fit the file, so it is unclear which directory is meant")
	case len(found) == 1:
		return found[0], nil
	case first != nil:
		return directory{}, joined(r, tail, base, first)
	}
	return directory{}, errors.New("no end of a zip directory: the file is cut off, or not a zip archive")
}

// joined says of a file whose end record does not fit it when that is because another
// file lies before the zip it ends: cat makes no archive of two.
func joined(r io.ReaderAt, tail []byte, base int64, err error) error {
	le := binary.LittleEndian
	at := len(tail) - lenEnd
	if at < 0 || le.Uint32(tail[at:]) != sigEnd {
		return err
	}
	size, offset, end := uint64(le.Uint32(tail[at+12:])), uint64(le.Uint32(tail[at+16:])), at
	if z := at - lenLocator - lenEnd64; z >= 0 && le.Uint32(tail[z:]) == sigEnd64 {
		size, offset, end = le.Uint64(tail[z+40:]), le.Uint64(tail[z+48:]), z
	}
	ends := uint64(base) + uint64(end)
	var magic [4]byte
	if size >= ends || offset >= ends-size || readFull(r, magic[:], int64(ends-size-offset)) != nil || le.Uint32(magic[:]) != sigLocal {
		return err
	}
	return fmt.Errorf("%w; another zip begins at offset %d, as when cat joins two: the first %[2]d bytes are one file, the rest another", err, ends-size-offset)
}

// endRecord reads the end record at tail[at:] and the ZIP64 one before it.
func endRecord(tail []byte, at int, base int64) (directory, error) {
	le := binary.LittleEndian
	e := tail[at:]
	disk, dirDisk := le.Uint16(e[4:]), le.Uint16(e[6:])
	here, total := uint64(le.Uint16(e[8:])), uint64(le.Uint16(e[10:]))
	size, offset := uint64(le.Uint32(e[12:])), uint64(le.Uint32(e[16:]))
	end := base + int64(at)

	if at >= lenLocator && le.Uint32(tail[at-lenLocator:]) == sigLocator {
		l := tail[at-lenLocator:]
		at64 := le.Uint64(l[8:])
		if at64 < uint64(base) || at64 > uint64(base)+uint64(at-lenLocator) || uint64(at-lenLocator)-(at64-uint64(base)) < lenEnd64 {
			return directory{}, fmt.Errorf("its ZIP64 end record, said to be at %d, is not before its locator at %d", at64, end-lenLocator)
		}
		z := tail[at64-uint64(base):]
		if le.Uint32(z) != sigEnd64 {
			return directory{}, fmt.Errorf("no ZIP64 end record at %d", at64)
		}
		if n := le.Uint64(z[4:]); n != uint64(end)-lenLocator-at64-12 {
			return directory{}, fmt.Errorf("its ZIP64 end record at %d has %d bytes, but there are %d up to its locator", at64, n, uint64(end)-lenLocator-at64-12)
		}
		here64, total64, size64, offset64 := le.Uint64(z[24:]), le.Uint64(z[32:]), le.Uint64(z[40:]), le.Uint64(z[48:])
		for _, c := range []struct {
			name              string
			small, mask, wide uint64
		}{
			{"count", here, math.MaxUint16, here64}, {"total count", total, math.MaxUint16, total64},
			{"directory size", size, math.MaxUint32, size64}, {"directory offset", offset, math.MaxUint32, offset64},
		} {
			if c.small != c.mask && c.small != c.wide {
				return directory{}, fmt.Errorf("its two end records disagree: %s %d and %d", c.name, c.small, c.wide)
			}
		}
		if le.Uint32(z[16:]) != 0 || le.Uint32(z[20:]) != 0 || le.Uint32(l[4:]) != 0 {
			return directory{}, errors.New("is one part of an archive in several files")
		}
		here, total, size, offset = here64, total64, size64, offset64
		end = int64(at64)
	} else if disk != 0 || dirDisk != 0 {
		return directory{}, errors.New("is one part of an archive in several files")
	}
	if here != total {
		return directory{}, fmt.Errorf("its end record counts %d records here and %d in all", here, total)
	}
	if offset > uint64(end) || size != uint64(end)-offset {
		return directory{}, fmt.Errorf("its directory, %d bytes at %d, does not end where the end record begins, at %d", size, offset, end)
	}
	if total > size/lenCentral {
		return directory{}, fmt.Errorf("its end record counts %d records, its directory of %d bytes holds at most %d", total, size, size/lenCentral)
	}
	return directory{offset: int64(offset), size: int64(size), count: total}, nil
}

// readDirectory parses the central entries.
func readDirectory(ctx context.Context, r io.ReaderAt, d directory) ([]Record, error) {
	raw := make([]byte, d.size)
	if err := readFull(r, raw, d.offset); err != nil {
		return nil, fmt.Errorf("zip directory: %w", err)
	}
	records := make([]Record, 0, d.count)
	steps := interrupt.Steps{Context: ctx}
	pos := 0
	for range d.count {
		if err := steps.Next(); err != nil {
			return nil, err
		}
		rec, n, err := centralEntry(raw[pos:], d.offset)
		if err != nil {
			return nil, fmt.Errorf("entry %d of the zip directory, at %d: record %q %w", len(records), d.offset+int64(pos), rec.Name, err)
		}
		records = append(records, rec)
		pos += n
	}
	if pos != len(raw) {
		return nil, fmt.Errorf("zip directory: %d bytes follow the last of the %d records that its end record counts", len(raw)-pos, d.count)
	}
	return records, nil
}

// centralEntry parses one entry and says how long it is.
func centralEntry(b []byte, dirOffset int64) (Record, int, error) {
	le := binary.LittleEndian
	var rec Record
	if len(b) < lenCentral || le.Uint32(b) != sigCentral {
		return rec, 0, errors.New("is cut off, or is not a record")
	}
	nameLen, extraLen, commentLen := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	n := lenCentral + nameLen + extraLen + commentLen
	if n > len(b) {
		return rec, 0, fmt.Errorf("needs %d bytes, %d are left", n, len(b))
	}
	rec.Name = string(b[lenCentral : lenCentral+nameLen])
	rec.flags = le.Uint16(b[8:])
	method := le.Uint16(b[10:])
	rec.CRC = le.Uint32(b[16:])
	stored, size, header := uint64(le.Uint32(b[20:])), uint64(le.Uint32(b[24:])), uint64(le.Uint32(b[42:]))
	disk := uint64(le.Uint16(b[34:]))
	wide, err := zip64(b[lenCentral+nameLen:lenCentral+nameLen+extraLen], []*uint64{&size, &stored, &header})
	if err != nil {
		return rec, n, err
	}
	switch {
	case rec.flags&flagsRefused != 0:
		return rec, n, fmt.Errorf("is encrypted, masked or a patch (flags %#x): unpack it first", rec.flags)
	case method != 0 && method != 8:
		return rec, n, fmt.Errorf("is compressed by method %d: only stored and deflated records are read", method)
	case disk != 0 && !(wide && disk == math.MaxUint16):
		return rec, n, fmt.Errorf("lies in part %d of an archive in several files", disk)
	case method == 0 && size != stored:
		return rec, n, fmt.Errorf("is stored in %d bytes and has %d", stored, size)
	case header > uint64(dirOffset) || stored > uint64(dirOffset)-header:
		return rec, n, fmt.Errorf("its %d bytes at %d reach past the directory at %d", stored, header, dirOffset)
	case size > math.MaxInt64/2 || method == 8 && size > maxInflated(stored):
		return rec, n, fmt.Errorf("cannot inflate from %d bytes to %d", stored, size)
	case method == 8 && stored > maxDeflated(size):
		return rec, n, fmt.Errorf("says it has %d bytes, but takes %d deflated", size, stored)
	}
	rec.Deflated = method == 8
	rec.Size, rec.Stored, rec.header = int64(size), int64(stored), int64(header)
	return rec, n, checkName(rec.Name)
}

// maxInflated is the most that n deflated bytes can hold: a match of 258 bytes
// takes two bits at least.
func maxInflated(n uint64) uint64 { return n*1032 + 64 }

// maxDeflated is the most that n bytes take in any encoder that knows stored
// blocks, with room for many small ones.
func maxDeflated(n uint64) uint64 { return n + n/8 + 1024 }

// checkName refuses what another reader might understand as another name. It need
// not be UTF-8: names are compared byte by byte.
func checkName(name string) error {
	switch {
	case name == "" || len(name) > maxName:
		return fmt.Errorf("its name has %d bytes", len(name))
	case strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("its name holds control characters")
	case strings.ContainsRune(name, '\\'):
		return errors.New("its name holds backslashes")
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(name, "/"), "/") {
		if part == "" || part == "." || part == ".." {
			return errors.New("its name has an empty part or dots for one")
		}
	}
	return nil
}

// zip64 fills in the values that the fixed fields could not hold, in the order of
// the extra field 1; wide reports that it was there.
func zip64(extra []byte, values []*uint64) (wide bool, err error) {
	le := binary.LittleEndian
	for len(extra) >= 4 {
		id, n := le.Uint16(extra), int(le.Uint16(extra[2:]))
		extra = extra[4:]
		if n > len(extra) {
			return wide, fmt.Errorf("its extra field %#x of %d bytes is cut off", id, n)
		}
		field := extra[:n]
		extra = extra[n:]
		if id != extra64 {
			continue
		}
		if wide {
			return wide, errors.New("has two ZIP64 fields")
		}
		wide = true
		for _, v := range values {
			if *v != math.MaxUint32 {
				continue
			}
			if len(field) < 8 {
				return wide, errors.New("its ZIP64 field is too short")
			}
			*v = le.Uint64(field)
			field = field[8:]
		}
	}
	// Up to three bytes that are not a field: some writers pad so.
	if len(bytes.Trim(extra, "\x00")) > 0 {
		return wide, errors.New("its extra fields end in stray bytes")
	}
	return wide, nil
}

func readFull(r io.ReaderAt, p []byte, off int64) error {
	if err := tensor.ReadFull(r, p, off); err != nil {
		return fmt.Errorf("reading %d bytes at %d: %w", len(p), off, err)
	}
	return nil
}
