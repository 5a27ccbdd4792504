package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"testing"
)

func TestReader(t *testing.T) {
	b := binary.AppendVarint(binary.AppendUvarint([]byte{7}, 300), -5)
	b = AppendTable(AppendText(b, "text"), []string{"a", "", "b"})
	d := NewReader(b)
	if got := []any{d.Byte(), d.Uvarint(), d.Varint(), string(d.Text())}; !slices.Equal(got, []any{byte(7), uint64(300), int64(-5), "text"}) {
		t.Errorf("%v", got)
	}
	if names := d.Table(3); !slices.Equal(names, []string{"a", "", "b"}) || d.Err != "" || d.Left() != 0 || d.Offset() != len(b) {
		t.Errorf("%q, %q, %d left", names, d.Err, d.Left())
	}
	if d.Byte(); d.Err == "" || d.Uvarint() != 0 || d.Varint() != 0 || d.Bytes(0) != nil {
		t.Error("reading on past the end gives values")
	}
	first := d.Err
	if d.Fail("another"); d.Err != first {
		t.Errorf("%q took the place of %q", d.Err, first)
	}
}

func TestReaderRefuses(t *testing.T) {
	huge := binary.AppendUvarint(nil, math.MaxUint64)
	for _, c := range []struct {
		name, want string
		bytes      []byte
		read       func(d *Reader)
	}{
		{"bytes", "3 bytes wanted, 2 left", []byte{1, 2}, func(d *Reader) { d.Bytes(3) }},
		{"below none", "wanted", []byte{1}, func(d *Reader) { d.Bytes(-1) }},
		{"a number", "does not end", []byte{0x80}, func(d *Reader) { d.Uvarint() }},
		{"a signed number", "does not end", []byte{0x80}, func(d *Reader) { d.Varint() }},
		{"a count", "entries in", huge, func(d *Reader) { d.Count(1) }},
		{"a count of large things", "4 entries in 8 bytes", append([]byte{4}, make([]byte, 8)...), func(d *Reader) { d.Count(3) }},
		{"a text", "entries in", []byte{5, 'a'}, func(d *Reader) { d.Text() }},
		{"a table", "at most 1 are kept", []byte{2, 0, 0}, func(d *Reader) { d.Table(1) }},
	} {
		d := NewReader(c.bytes)
		if c.read(d); !strings.Contains(d.Err, c.want) {
			t.Errorf("%s: %q, want %q", c.name, d.Err, c.want)
		}
	}
	if d := NewReader(append([]byte{4}, make([]byte, 12)...)); d.Count(3) != 4 || d.Err != "" {
		t.Errorf("a count that fits: %q", d.Err)
	}
}

func TestSeal(t *testing.T) {
	value := []byte("value")
	sealed := Seal("place", bytes.Clone(value))
	if got, wrong := Unseal("place", sealed); wrong != "" || !bytes.Equal(got, value) || cap(got) != len(got) {
		t.Errorf("%q, %s", got, wrong)
	}
	if _, wrong := Unseal("elsewhere", sealed); wrong == "" {
		t.Error("a value of another place is taken")
	}
	for bit := range 8 * len(sealed) {
		flipped := bytes.Clone(sealed)
		flipped[bit/8] ^= 1 << (bit % 8)
		if _, wrong := Unseal("place", flipped); wrong == "" {
			t.Errorf("flipped bit %d is not found", bit)
		}
	}
	for _, b := range [][]byte{nil, {}, {1, 2, 3}} {
		if _, wrong := Unseal("place", b); wrong == "" {
			t.Errorf("%v is taken", b)
		}
	}
}
