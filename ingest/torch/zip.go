package torch

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"
)

// The parts of a zip file, by PKWARE's APPNOTE 6.3.10.
const (
	endSize     = 22 // end of central directory, without its comment
	locatorSize = 20 // zip64 end of central directory locator
	end64Size   = 56
	entrySize   = 46 // central directory entry, without its names
	localSize   = 30 // local header, without its names
	maxComment  = 1<<16 - 1
	maxRecords  = 4 << 20
	max32       = 1<<32 - 1
	zip64Extra  = 1

	flagEncrypted  = 0x1 | 0x40 | 0x2000
	flagPatch      = 0x20
	flagDescriptor = 0x8

	stored   = 0
	deflated = 8
)

// record is one entry of a zip file, checked against its local header.
type record struct {
	name       string
	method     uint16
	flags      uint16
	crc        uint32
	packed     int64 // bytes in the file
	size       int64 // bytes once inflated
	header     int64 // offset of the local header
	data       int64 // offset of the data: only the local header tells it
	descriptor bool
}

// readZip reads a zip file's directory and every local header. What archive/zip
// overlooks is an error here: entries that overlap, that are there twice, that
// their local header contradicts, that are encrypted or reach past the directory.
func readZip(r io.ReaderAt, size int64) ([]record, error) {
	at, count, dirSize, err := findDirectory(r, size)
	if err != nil {
		return nil, err
	}
	dir := make([]byte, dirSize)
	if _, err := r.ReadAt(dir, at); err != nil {
		return nil, fmt.Errorf("zip directory at offset %d: %w", at, err)
	}
	records := make([]record, 0, count)
	names := make(map[string]bool, count)
	for pos := int64(0); pos < dirSize; {
		rec, n, err := directoryEntry(dir[pos:])
		if err != nil {
			return nil, fmt.Errorf("zip directory entry %d at offset %d: %w", len(records), at+pos, err)
		}
		if names[rec.name] {
			return nil, fmt.Errorf("zip directory: record %q is there twice", rec.name)
		}
		names[rec.name] = true
		records = append(records, rec)
		pos += n
	}
	if int64(len(records)) != count {
		return nil, fmt.Errorf("zip directory: its end says %d records, it has %d", count, len(records))
	}
	for i := range records {
		if err := records[i].local(r, at); err != nil {
			return nil, fmt.Errorf("record %q: %w", records[i].name, err)
		}
	}
	return records, disjoint(records)
}

// findDirectory finds the end record whose comment reaches exactly to the end of
// the file and whose directory ends exactly where it begins.
func findDirectory(r io.ReaderAt, size int64) (at, count, dirSize int64, err error) {
	n := min(size, endSize+maxComment+locatorSize+end64Size)
	tail := make([]byte, n)
	if _, err := r.ReadAt(tail, size-n); err != nil && err != io.EOF {
		return 0, 0, 0, err
	}
	err = errors.New("no end of a zip directory; the file is cut or no zip file")
	for i := len(tail) - endSize; i >= 0; i-- {
		if !bytes.HasPrefix(tail[i:], []byte("PK\x05\x06")) {
			continue
		}
		e := tail[i:]
		if int(binary.LittleEndian.Uint16(e[20:]))+endSize != len(e) {
			continue // a signature inside a comment
		}
		end := size - n + int64(i)
		if binary.LittleEndian.Uint16(e[4:]) != 0 || binary.LittleEndian.Uint16(e[6:]) != 0 {
			return 0, 0, 0, fmt.Errorf("zip directory end at offset %d: a part of several disks", end)
		}
		count, dirSize, at = int64(binary.LittleEndian.Uint16(e[10:])), int64(binary.LittleEndian.Uint32(e[12:])), int64(binary.LittleEndian.Uint32(e[16:]))
		if i >= locatorSize && bytes.HasPrefix(tail[i-locatorSize:], []byte("PK\x06\x07")) {
			if at, count, dirSize, end, err = zip64End(r, binary.LittleEndian.Uint64(tail[i-locatorSize+8:]), end-locatorSize); err != nil {
				return 0, 0, 0, err
			}
		}
		switch {
		case count > maxRecords:
			return 0, 0, 0, fmt.Errorf("zip directory end at offset %d: %d records, more than %d", end, count, maxRecords)
		case at < 0 || dirSize < 0 || at > end || dirSize != end-at:
			return 0, 0, 0, fmt.Errorf("zip directory end at offset %d: a directory of %d bytes at offset %d does not end there", end, dirSize, at)
		case count > dirSize/entrySize:
			return 0, 0, 0, fmt.Errorf("zip directory end at offset %d: %d records do not fit a directory of %d bytes", end, count, dirSize)
		}
		return at, count, dirSize, nil
	}
	return 0, 0, 0, err
}

func zip64End(r io.ReaderAt, claimed uint64, locator int64) (at, count, dirSize, end int64, err error) {
	if locator < end64Size || claimed > uint64(locator-end64Size) {
		return 0, 0, 0, 0, fmt.Errorf("zip64 directory end: offset %d is beyond its locator at %d", claimed, locator)
	}
	end = int64(claimed)
	b := make([]byte, end64Size)
	if _, err := r.ReadAt(b, end); err != nil {
		return 0, 0, 0, 0, fmt.Errorf("zip64 directory end at offset %d: %w", end, err)
	}
	if !bytes.HasPrefix(b, []byte("PK\x06\x06")) || binary.LittleEndian.Uint64(b[4:]) != uint64(locator-end-12) {
		return 0, 0, 0, 0, fmt.Errorf("zip64 directory end at offset %d is none", end)
	}
	return int64(binary.LittleEndian.Uint64(b[48:])), int64(binary.LittleEndian.Uint64(b[32:])), int64(binary.LittleEndian.Uint64(b[40:])), end, nil
}

// directoryEntry reads one entry and how long it is.
func directoryEntry(b []byte) (rec record, n int64, err error) {
	if len(b) < entrySize || !bytes.HasPrefix(b, []byte("PK\x01\x02")) {
		return rec, 0, errors.New("no entry stands there")
	}
	le := binary.LittleEndian
	name, extra, comment := int(le.Uint16(b[28:])), int(le.Uint16(b[30:])), int(le.Uint16(b[32:]))
	if entrySize+name+extra+comment > len(b) {
		return rec, 0, errors.New("it reaches past the directory")
	}
	rec = record{
		flags: le.Uint16(b[8:]), method: le.Uint16(b[10:]), crc: le.Uint32(b[16:]),
		packed: int64(le.Uint32(b[20:])), size: int64(le.Uint32(b[24:])), header: int64(le.Uint32(b[42:])),
		name: string(b[entrySize : entrySize+name]),
	}
	rec.descriptor = rec.flags&flagDescriptor != 0
	if err := zip64(b[entrySize+name:entrySize+name+extra], &rec.size, &rec.packed, &rec.header); err != nil {
		return rec, 0, err
	}
	return rec, int64(entrySize + name + extra + comment), rec.plausible()
}

// zip64 replaces the fields that are 2^32-1 by those of the zip64 extra field,
// which holds them in this order.
func zip64(extra []byte, fields ...*int64) error {
	for len(extra) >= 4 {
		id, n := binary.LittleEndian.Uint16(extra), int(binary.LittleEndian.Uint16(extra[2:]))
		if 4+n > len(extra) {
			return nil // padding that only looks like a field
		}
		if id == zip64Extra {
			body := extra[4 : 4+n]
			for _, f := range fields {
				if *f != max32 {
					continue
				}
				if len(body) < 8 {
					return errors.New("its zip64 field is too short")
				}
				v := binary.LittleEndian.Uint64(body)
				if v > 1<<62 {
					return fmt.Errorf("its zip64 field says %d", v)
				}
				*f, body = int64(v), body[8:]
			}
			return nil
		}
		extra = extra[4+n:]
	}
	return nil
}

// plausible refuses what no writer of checkpoints makes.
func (rec *record) plausible() error {
	switch {
	case rec.flags&(flagEncrypted|flagPatch) != 0:
		return fmt.Errorf("record %q is encrypted or a patch (flags %#x)", rec.name, rec.flags)
	case rec.method != stored && rec.method != deflated:
		return fmt.Errorf("record %q: compression method %d; only stored and deflated records are read", rec.name, rec.method)
	case rec.method == stored && rec.packed != rec.size:
		return fmt.Errorf("record %q is stored, but %d bytes hold its %d", rec.name, rec.packed, rec.size)
	case rec.name == "" || strings.ContainsAny(rec.name, "\x00\\"):
		return fmt.Errorf("record name %q", rec.name)
	}
	return nil
}

// local reads the local header, which must agree, and finds the data.
func (rec *record) local(r io.ReaderAt, directory int64) error {
	if rec.header < 0 || rec.header > directory-localSize {
		return fmt.Errorf("its local header at offset %d is beyond the directory at %d", rec.header, directory)
	}
	b := make([]byte, localSize+len(rec.name))
	if int64(len(b)) > directory-rec.header {
		return fmt.Errorf("its local header at offset %d reaches past the directory at %d", rec.header, directory)
	}
	if _, err := r.ReadAt(b, rec.header); err != nil {
		return fmt.Errorf("local header at offset %d: %w", rec.header, err)
	}
	le := binary.LittleEndian
	name, extra := int(le.Uint16(b[26:])), int64(le.Uint16(b[28:]))
	switch {
	case !bytes.HasPrefix(b, []byte("PK\x03\x04")):
		return fmt.Errorf("no local header at offset %d", rec.header)
	case name != len(rec.name) || string(b[localSize:]) != rec.name:
		return fmt.Errorf("its local header at offset %d has another name", rec.header)
	case le.Uint16(b[8:]) != rec.method || le.Uint16(b[6:])&(flagEncrypted|flagPatch) != 0:
		return fmt.Errorf("its local header at offset %d has another method or flags", rec.header)
	}
	rec.data = rec.header + int64(len(b)) + extra
	if rec.packed < 0 || rec.size < 0 || rec.data > directory || rec.packed > directory-rec.data {
		return fmt.Errorf("%d bytes at offset %d reach past the directory at %d", rec.packed, rec.data, directory)
	}
	size, packed := int64(le.Uint32(b[22:])), int64(le.Uint32(b[18:]))
	if extra > 0 && (size == max32 || packed == max32) {
		field := make([]byte, extra)
		if _, err := r.ReadAt(field, rec.data-extra); err != nil {
			return fmt.Errorf("local header at offset %d: %w", rec.header, err)
		}
		if err := zip64(field, &size, &packed); err != nil {
			return fmt.Errorf("local header at offset %d: %w", rec.header, err)
		}
	}
	later := le.Uint16(b[6:])&flagDescriptor != 0 // sizes may follow the data instead
	if (size != rec.size || packed != rec.packed) && !(later && size == 0 && packed == 0) {
		return fmt.Errorf("its local header at offset %d says %d bytes (%d packed), the directory %d (%d)", rec.header, size, packed, rec.size, rec.packed)
	}
	return nil
}

// disjoint refuses entries that share bytes.
func disjoint(records []record) error {
	order := make([]*record, len(records))
	for i := range records {
		order[i] = &records[i]
	}
	slices.SortFunc(order, func(a, b *record) int { return cmp.Compare(a.header, b.header) })
	for i := 1; i < len(order); i++ {
		if before, rec := order[i-1], order[i]; before.data+before.packed > rec.header {
			return fmt.Errorf("record %q: bytes %d:%d overlap those of %q from %d on",
				before.name, before.header, before.data+before.packed, rec.name, rec.header)
		}
	}
	return nil
}

// text is a record name for messages and paths: names need not be UTF-8.
func text(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return fmt.Sprintf("%+q", s)
}
