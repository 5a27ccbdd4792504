// Package zipfile reads the directory of a zip archive strictly: it finds where
// each record's bytes lie, and refuses an archive that two readers could
// understand differently.
//
// Most users need [Read], [Record.Offset], [Record.Open] and [Record.Read].
//
// Invariants: names are matched whole and never become paths; every entry of
// the directory is compared with its local header, and no two records share a
// byte; a name that is there twice, an encrypted record, or a method other than
// stored and deflated is refused. The CRC of a record is checked while its bytes
// are read, not before; writers may leave it 0, which says nothing. A data
// descriptor may be absent although its flag is set: some writers have it so.
package zipfile

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"wreg/ingest/interrupt"
	"wreg/ingest/place"
)

// Read reads the directory of the archive of size bytes in r, and every local
// header. Records are in the order of the directory; entries that are directories
// are left out. A directory that takes more memory than that is refused; Memory is
// what it took for good. Errors name record and offset.
func Read(ctx context.Context, r io.ReaderAt, size, memory int64) ([]Record, error) {
	r = interrupt.Reader(ctx, r)
	dir, err := findDirectory(r, size)
	if err != nil {
		return nil, err
	}
	if dir.size > memory || int64(dir.count) > (memory-dir.size)/recordMemory {
		return nil, fmt.Errorf("its directory, %d records in %d bytes, takes more memory than the %d bytes allowed: %d bytes for each record, and its own", dir.count, dir.size, memory, recordMemory)
	}
	records, err := readDirectory(ctx, r, dir)
	if err != nil {
		return nil, err
	}
	if err := checkLocals(ctx, r, records, dir.offset); err != nil {
		return nil, err
	}
	names := make(map[string]bool, len(records))
	kept := records[:0]
	for _, rec := range records {
		if names[rec.Name] {
			return nil, fmt.Errorf("record %q is in the archive twice", rec.Name)
		}
		names[rec.Name] = true
		if !strings.HasSuffix(rec.Name, "/") {
			kept = append(kept, rec)
		} else if rec.Size != 0 {
			return nil, fmt.Errorf("record %q is a directory of %d bytes", rec.Name, rec.Size)
		}
	}
	return kept, nil
}

// Memory is what records take.
func Memory(records []Record) int64 {
	n := int64(len(records)) * recordMemory
	for i := range records {
		n += int64(len(records[i].Name))
	}
	return n
}

// checkLocals compares each record with its local header, finds where its bytes
// begin, and makes sure that records neither overlap nor reach into the directory.
func checkLocals(ctx context.Context, r io.ReaderAt, records []Record, dirOffset int64) error {
	far, _ := r.(place.Batched)
	order := make([]*Record, len(records))
	for i := range records {
		order[i] = &records[i]
	}
	slices.SortFunc(order, func(a, b *Record) int { return cmp.Compare(a.header, b.header) })
	for i, rec := range order {
		next := dirOffset
		if i+1 < len(order) {
			next = order[i+1].header
		}
		if far != nil && i%headersAhead == 0 {
			if err := far.ReadAhead(ctx, locals(order[i:min(i+headersAhead, len(order))])); err != nil {
				return err
			}
		}
		if err := rec.checkLocal(r, next); err != nil {
			return fmt.Errorf("record %q: %w", rec.Name, err)
		}
	}
	return nil
}

// headersAhead is how many local headers are asked for at once where reading is waiting.
const headersAhead = 1024

// locals are where the local headers of records lie, each with the data descriptor that
// may end before it.
func locals(records []*Record) [][2]int64 {
	ranges := make([][2]int64, len(records))
	for i, rec := range records {
		from := max(0, rec.header-lenDescriptor64)
		ranges[i] = [2]int64{from, rec.header - from + rec.localBytes()}
	}
	return ranges
}
