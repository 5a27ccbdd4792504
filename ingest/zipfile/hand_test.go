package zipfile

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"math"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
)

// entry is one record of an archive made by hand. Zero fields mean what a sound
// writer writes.
type entry struct {
	name, local  string // local: its name in the local header
	data         string
	flags        uint16
	localFlags   uint16
	method       uint16
	crc, size    uint32 // of the directory, added to the true ones
	localSize    uint32 // of the local header, likewise
	localStored  uint32 // of the local header, the stored size only
	disk         uint16
	extra        []byte // of the directory
	header       uint32 // added to the offset of the local header
	wide         bool   // sizes and offset in a ZIP64 field
	narrowField  bool   // cut that field off after the first value
	beforeHeader string // bytes before the local header
}

// archive writes entries, their directory and its end.
func archive(entries []entry, end func(e []byte) []byte) []byte {
	var b, dir []byte
	le := binary.LittleEndian
	for _, e := range entries {
		b = append(b, e.beforeHeader...)
		at := uint32(len(b)) + e.header
		crc, n := crc32.ChecksumIEEE([]byte(e.data)), uint32(len(e.data))
		local := e.name
		if e.local != "" {
			local = e.local
		}
		b = le.AppendUint32(b, sigLocal)
		for _, v := range []uint16{20, e.flags ^ e.localFlags, e.method, 0, 0} {
			b = le.AppendUint16(b, v)
		}
		b = le.AppendUint32(b, crc)
		b = le.AppendUint32(b, n+e.localSize+e.localStored)
		b = le.AppendUint32(b, n+e.localSize)
		b = le.AppendUint16(b, uint16(len(local)))
		b = le.AppendUint16(b, 0)
		b = append(append(b, local...), e.data...)

		extra, size, offset := e.extra, n+e.size, at
		if e.wide {
			field := le.AppendUint64(nil, uint64(size))
			if !e.narrowField {
				field = le.AppendUint64(le.AppendUint64(field, uint64(size)), uint64(at))
			}
			extra = append(le.AppendUint16(le.AppendUint16(nil, extra64), uint16(len(field))), field...)
			size, offset = math.MaxUint32, math.MaxUint32
		}
		dir = le.AppendUint32(dir, sigCentral)
		for _, v := range []uint16{20, 20, e.flags, e.method, 0, 0} {
			dir = le.AppendUint16(dir, v)
		}
		dir = le.AppendUint32(dir, crc+e.crc)
		dir = le.AppendUint32(dir, size)
		dir = le.AppendUint32(dir, size)
		for _, v := range []uint16{uint16(len(e.name)), uint16(len(extra)), 0, e.disk, 0, 0, 0} {
			dir = le.AppendUint16(dir, v)
		}
		dir = le.AppendUint32(dir, offset)
		dir = append(append(dir, e.name...), extra...)
	}
	eocd := le.AppendUint32(nil, sigEnd)
	for _, v := range []uint16{0, 0, uint16(len(entries)), uint16(len(entries))} {
		eocd = le.AppendUint16(eocd, v)
	}
	eocd = le.AppendUint32(eocd, uint32(len(dir)))
	eocd = le.AppendUint32(eocd, uint32(len(b)))
	eocd = le.AppendUint16(eocd, 0)
	b = append(b, dir...)
	if end != nil {
		eocd = end(eocd)
	}
	return append(b, eocd...)
}

// TestRead has archives made by hand, byte by byte: what is read, and what each
// refusal says.
func TestRead(t *testing.T) {
	a, b := entry{name: "m/a", data: "alpha"}, entry{name: "m/b", data: "beta"}
	with := func(change func(e *entry)) []entry {
		e := b
		change(&e)
		return []entry{a, e}
	}
	for name, c := range map[string]struct {
		entries []entry
		end     func([]byte) []byte
		want    string // part of the refusal
	}{
		"sound":            {entries: []entry{a, b}},
		"wide sizes":       {entries: with(func(e *entry) { e.wide = true })},
		"bytes before":     {entries: []entry{{name: "m/a", data: "alpha", beforeHeader: "#!/bin/sh\n"}, b}},
		"bytes between":    {entries: with(func(e *entry) { e.beforeHeader = "hole" })},
		"comment":          {entries: []entry{a, b}, end: comment("hello")},
		"no record":        {},
		"folder":           {entries: []entry{{name: "m/"}, b}},
		"twice":            {entries: []entry{a, a}, want: `"m/a" is in the archive twice`},
		"two on one":       {entries: with(func(e *entry) { e.name, e.header = "m/a", ^uint32(37) }), want: `"m/a"`},
		"local name":       {entries: with(func(e *entry) { e.local = "m/c" }), want: "has another name"},
		"local size":       {entries: with(func(e *entry) { e.localSize = 1 }), want: "local header says 5 bytes"},
		"local stored":     {entries: with(func(e *entry) { e.method, e.localStored = 8, 1 }), want: "local header says 5 bytes stored of 4"},
		"local flags":      {entries: with(func(e *entry) { e.localFlags = 1 }), want: "disagrees with the directory about flags"},
		"larger":           {entries: with(func(e *entry) { e.size = 1 }), want: "reach"},
		"much larger":      {entries: with(func(e *entry) { e.size = 1 << 30 }), want: "reach past the directory"},
		"over the next":    {entries: []entry{{name: "m/a", data: "alpha", size: 1, localSize: 1}, b}, want: "reach"},
		"over the last":    {entries: []entry{{name: "m/a", data: "alpha", size: 40, localSize: 40}, b}, want: "reach"},
		"crc":              {entries: with(func(e *entry) { e.crc = 1 }), want: "its local header has CRC"},
		"header elsewhere": {entries: with(func(e *entry) { e.header = 1 }), want: "no local header"},
		"header far away":  {entries: with(func(e *entry) { e.header = 1 << 20 }), want: "reach past the directory"},
		"encrypted":        {entries: with(func(e *entry) { e.flags = 1 }), want: "encrypted"},
		"patch":            {entries: with(func(e *entry) { e.flags = 1 << 5 }), want: "a patch"},
		"strong":           {entries: with(func(e *entry) { e.flags = 1 << 6 }), want: "encrypted"},
		"masked":           {entries: with(func(e *entry) { e.flags = 1 << 13 }), want: "masked"},
		"method":           {entries: with(func(e *entry) { e.method = 12 }), want: "method 12"},
		"second disk":      {entries: with(func(e *entry) { e.disk = 1 }), want: "part 1"},
		"ZIP64 cut":        {entries: with(func(e *entry) { e.wide, e.narrowField = true, true }), want: "too short"},
		"ZIP64 twice":      {entries: with(func(e *entry) { e.extra = []byte{1, 0, 0, 0, 1, 0, 0, 0} }), want: "two ZIP64 fields"},
		"extra cut":        {entries: with(func(e *entry) { e.extra = []byte{9, 0, 4, 0, 1} }), want: "cut off"},
		"dots":             {entries: with(func(e *entry) { e.name = "m/../b" }), want: "dots"},
		"absolute":         {entries: with(func(e *entry) { e.name = "/m/b" }), want: "empty part"},
		"backslash":        {entries: with(func(e *entry) { e.name = `m\b` }), want: "backslashes"},
		"NUL":              {entries: with(func(e *entry) { e.name = "m/b\x00" }), want: "control characters"},
		"no name":          {entries: with(func(e *entry) { e.name = "" }), want: "0 bytes"},
		"no end":           {entries: []entry{a, b}, end: func(e []byte) []byte { return e[:lenEnd-1] }, want: "no end of a zip directory"},
		"trailing":         {entries: []entry{a, b}, end: func(e []byte) []byte { return append(e, 0) }, want: "no end of a zip directory"},
		"count":            {entries: []entry{a, b}, end: func(e []byte) []byte { e[8], e[10] = 1, 1; return e }, want: "follow the last of the 1 records"},
		"count too large":  {entries: []entry{a, b}, end: func(e []byte) []byte { e[8], e[10] = 9, 9; return e }, want: "holds at most 2"},
		"parts":            {entries: []entry{a, b}, end: func(e []byte) []byte { e[4] = 1; return e }, want: "several files"},
		"end in a comment": {entries: []entry{a, b}, end: func(e []byte) []byte { return comment(string(e))(e) }},
		"two ends": {entries: []entry{a, b}, end: func(e []byte) []byte {
			second := bytes.Clone(e) // its directory ends where it begins, too
			binary.LittleEndian.PutUint32(second[12:], binary.LittleEndian.Uint32(e[12:])+lenEnd)
			return comment(string(second))(e)
		}, want: "two end records"},
	} {
		data := archive(c.entries, c.end)
		records, err := Read(t.Context(), bytes.NewReader(data), int64(len(data)), 1<<20)
		for i := 0; i < len(records) && err == nil; i++ {
			var got []byte
			if got, err = records[i].Read(bytes.NewReader(data), 1<<10); err == nil {
				if want := map[string]string{"m/a": "alpha", "m/b": "beta"}[records[i].Name]; string(got) != want {
					t.Errorf("%s: %s holds %q", name, records[i].Name, got)
				}
			}
		}
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%s: %v", name, err)
		case c.want != "" && err == nil:
			t.Errorf("%s: was read", name)
		case c.want != "" && !strings.Contains(err.Error(), c.want):
			t.Errorf("%s: refused with %q, want %q", name, err, c.want)
		}
	}
}

// comment gives the end record a comment.
func comment(text string) func([]byte) []byte {
	return func(e []byte) []byte {
		binary.LittleEndian.PutUint16(e[20:], uint16(len(text)))
		return append(e, text...)
	}
}

// TestCut cuts a sound archive everywhere: no part of it is one.
func TestCut(t *testing.T) {
	data := archive([]entry{{name: "m/a", data: "alpha"}, {name: "m/b", data: "beta"}}, nil)
	for n := range data {
		if _, err := Read(t.Context(), bytes.NewReader(data[:n]), int64(n), 1<<20); err == nil {
			t.Errorf("the first %d of %d bytes were read", n, len(data))
		}
	}
}

// large is a file of zeros that ends with data.
type large struct {
	size int64
	data []byte
}

func (l large) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if at := l.size - int64(len(l.data)) - off; at < int64(len(p)) {
		copy(p[max(at, 0):], l.data[max(-at, 0):])
	}
	return len(p), nil
}

// TestDirectoryMemory: a directory that would take too much is refused before it is read.
func TestDirectoryMemory(t *testing.T) {
	for _, c := range []struct {
		count, size, memory uint32
		want                string
	}{
		{8_000_000, 500 << 20, 320 << 20, "8000000 records in 524288000 bytes"},
		{2_000_000, 100 << 20, 320 << 20, "2000000 records"},
		{1000, 46_000, 200_000, "1000 records"},
		{1000, 46_000, 46_000 + 1000*recordMemory, "cut off, or is not a record"},
	} {
		end := make([]byte, lenEnd64+lenLocator+lenEnd)
		le := binary.LittleEndian
		le.PutUint32(end, sigEnd64)
		le.PutUint64(end[4:], lenEnd64-12)
		le.PutUint64(end[24:], uint64(c.count))
		le.PutUint64(end[32:], uint64(c.count))
		le.PutUint64(end[40:], uint64(c.size))
		locator := end[lenEnd64:]
		le.PutUint32(locator, sigLocator)
		le.PutUint64(locator[8:], uint64(c.size))
		le.PutUint32(locator[16:], 1)
		last := locator[lenLocator:]
		le.PutUint32(last, sigEnd)
		for i := 8; i < 20; i++ {
			last[i] = 0xff
		}
		file := large{int64(c.size) + int64(len(end)), end}
		ingesttest.Bounded(t, 0, func() {
			if _, err := Read(t.Context(), file, file.size, int64(c.memory)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%d records in %d bytes: %v, want %q", c.count, c.size, err, c.want)
			}
		})
	}
}
