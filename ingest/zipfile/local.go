package zipfile

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
)

// The sizes of a data descriptor with its signature.
const (
	lenDescriptor   = 16
	lenDescriptor64 = 24
)

// localBytes is one read for the header, its name and, as a rule, its padding.
func (rec *Record) localBytes() int64 { return int64(lenLocal + len(rec.Name) + 192) }

// checkLocal reads the local header of rec and sets rec.Offset. next is where
// another header or the directory begins.
func (rec *Record) checkLocal(r io.ReaderAt, next int64) error {
	le := binary.LittleEndian
	buf := make([]byte, min(next-rec.header, rec.localBytes()))
	if err := readFull(r, buf, rec.header); err != nil {
		return fmt.Errorf("its header: %w", err)
	}
	if len(buf) < lenLocal || le.Uint32(buf) != sigLocal {
		return fmt.Errorf("no local header at %d", rec.header)
	}
	nameLen, extraLen := int(le.Uint16(buf[26:])), int(le.Uint16(buf[28:]))
	head := int64(lenLocal + nameLen + extraLen)
	if next-rec.header < head || next-rec.header-head < rec.Stored {
		return fmt.Errorf("its %d bytes at %d reach into the next record or the directory at %d", rec.Stored, rec.header+head, next)
	}
	if int64(len(buf)) < head {
		buf = make([]byte, head)
		if err := readFull(r, buf, rec.header); err != nil {
			return fmt.Errorf("its header: %w", err)
		}
	}
	if local := string(buf[lenLocal : lenLocal+nameLen]); local != rec.Name {
		return fmt.Errorf("its local header at %d has another name, %.200q", rec.header, local)
	}
	flags, method, crc := le.Uint16(buf[6:]), le.Uint16(buf[8:]), le.Uint32(buf[14:])
	stored, size := uint64(le.Uint32(buf[18:])), uint64(le.Uint32(buf[22:]))
	if _, err := zip64(buf[lenLocal+nameLen:head], []*uint64{&size, &stored}); err != nil {
		return fmt.Errorf("its local header at %d: %w", rec.header, err)
	}
	// The values behind the data may stand for those in the header: then 0, or
	// the mark of ZIP64, is not a disagreement.
	later := rec.flags&flagDescriptor != 0
	agree := func(local, central uint64) bool {
		return local == central || later && (local == 0 || local == math.MaxUint32)
	}
	const meaning = ^uint16(flagUTF8 | 6) // all but name coding and compression effort
	switch {
	case flags&meaning != rec.flags&meaning || (method == 8) != rec.Deflated || method != 0 && method != 8:
		return fmt.Errorf("its local header at %d disagrees with the directory about flags or method", rec.header)
	case !agree(stored, uint64(rec.Stored)) || !agree(size, uint64(rec.Size)):
		return fmt.Errorf("its local header says %d bytes stored of %d, the directory %d of %d", stored, size, rec.Stored, rec.Size)
	case !agree(uint64(crc), uint64(rec.CRC)):
		return fmt.Errorf("its local header has CRC %08x, the directory %08x", crc, rec.CRC)
	}
	rec.Offset = rec.header + head
	if !later {
		return nil
	}
	return rec.checkDescriptor(r, next)
}

// checkDescriptor compares the data descriptor behind the data, when it is there:
// CRC and sizes of four or eight bytes each, after a signature that is optional.
// Without the signature it cannot be told from other bytes.
func (rec *Record) checkDescriptor(r io.ReaderAt, next int64) error {
	end := rec.Offset + rec.Stored
	buf := make([]byte, min(next-end, lenDescriptor64))
	if err := readFull(r, buf, end); err != nil {
		return fmt.Errorf("its data descriptor: %w", err)
	}
	if len(buf) < lenDescriptor || binary.LittleEndian.Uint32(buf) != sigDescriptor {
		return nil
	}
	if rec.matches(buf[4:], 4) || len(buf) == lenDescriptor64 && rec.matches(buf[4:], 8) {
		return nil
	}
	return fmt.Errorf("its data descriptor at %d disagrees with the directory", end)
}

// matches compares a data descriptor with the directory.
func (rec *Record) matches(b []byte, width int) bool {
	le := binary.LittleEndian
	if le.Uint32(b) != rec.CRC {
		return false
	}
	if width == 8 {
		return le.Uint64(b[4:]) == uint64(rec.Stored) && le.Uint64(b[12:]) == uint64(rec.Size)
	}
	return uint64(le.Uint32(b[4:])) == uint64(rec.Stored)&math.MaxUint32 && uint64(le.Uint32(b[8:])) == uint64(rec.Size)&math.MaxUint32
}
