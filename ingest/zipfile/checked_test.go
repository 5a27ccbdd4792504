package zipfile

import (
	"bytes"
	"compress/flate"
	"context"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
)

// TestChecked reads parts of a record in any order, some of them twice: Prove reads what
// is left, and what is damaged is found wherever it lies, and stays so.
func TestChecked(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for round := range 300 {
		sound := make([]byte, 1+rng.IntN(5000))
		for i := range sound {
			sound[i] = byte(rng.Uint32())
		}
		data := bytes.Clone(sound)
		if round%3 > 0 {
			data[rng.IntN(len(data))] ^= 1 << rng.IntN(8)
		}
		file := &ingesttest.Counted{R: bytes.NewReader(data)}
		rec := &Record{Name: "r", Size: int64(len(data)), Stored: int64(len(data)), CRC: crc32.ChecksumIEEE(sound)}
		var shared Shared
		seen := make([]bool, len(data))
		left := len(data)
		for range rng.IntN(60) {
			r := shared.Open(rec, file)
			at := rng.IntN(len(data))
			p := make([]byte, 1+rng.IntN(min(200, len(data)-at)))
			if n, err := r.ReadAt(p, int64(at)); err == nil && (n != len(p) || !bytes.Equal(p, data[at:at+n])) {
				t.Fatal("other bytes")
			}
			fresh := true
			for i := at; i < at+len(p); i++ {
				fresh = fresh && !seen[i]
			}
			for i := at; i < at+len(p) && fresh; i++ {
				seen[i] = true
				left--
			}
		}
		before := file.N.Load()
		err := shared.Prove(context.Background(), rec, file)
		if bad := !bytes.Equal(data, sound); bad != (err != nil) || bad && !strings.Contains(err.Error(), "damaged") {
			t.Errorf("round %d: damaged %v: %v", round, bad, err)
		}
		if read := int(file.N.Load() - before); read != left {
			t.Errorf("round %d: %d bytes read to prove %d", round, read, left)
		}
		if _, again := shared.Open(rec, file).ReadAt(make([]byte, 1), 0); (again != nil) != (err != nil) {
			t.Errorf("round %d: read again: %v after %v", round, again, err)
		}
	}
}

// TestCheckedManyParts: when more parts were read than are remembered, Prove still reads
// the rest once, from the front.
func TestCheckedManyParts(t *testing.T) {
	data := make([]byte, 3*proofBuffer)
	file := &ingesttest.Counted{R: bytes.NewReader(data)}
	rec := &Record{Name: "r", Size: int64(len(data)), Stored: int64(len(data)), CRC: crc32.ChecksumIEEE(data)}
	var shared Shared
	for i := range maxSpans + 100 {
		if _, err := shared.Open(rec, file).ReadAt(make([]byte, 1), int64(2*proofBuffer+2*i)); err != nil {
			t.Fatal(err)
		}
	}
	ctx := &patient{Context: context.Background(), looks: 2 * maxSpans}
	if err := shared.Prove(ctx, rec, file); err != nil {
		t.Errorf("%v after %d bytes of %d", err, file.N.Load(), rec.Size)
	}
}

// patient is a context that is done when it was asked so many times.
type patient struct {
	context.Context
	looks int
}

func (p *patient) Err() error {
	if p.looks--; p.looks < 0 {
		return context.Canceled
	}
	return nil
}

// TestCheckedStops: Prove does not go on when it is told to stop.
func TestCheckedStops(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	var shared Shared
	rec := &Record{Name: "r", Size: 4, Stored: 4, CRC: 1}
	if err := shared.Prove(ctx, rec, bytes.NewReader(make([]byte, 4))); err != context.Canceled {
		t.Error(err)
	}
}

// TestHeld reads a deflated record back and forth: it is inflated once.
func TestHeld(t *testing.T) {
	const size = 1 << 20
	data := bytes.Repeat([]byte("abcdefgh"), size/8)
	packed := deflate(t, data)
	file := &ingesttest.Counted{R: bytes.NewReader(packed)}
	rec := &Record{Name: "r", Deflated: true, Size: size, Stored: int64(len(packed)), CRC: crc32.ChecksumIEEE(data)}
	var shared Shared
	if err := shared.Hold(rec); err != nil {
		t.Fatal(err)
	}
	for at := int64(size - 8); at >= 0; at -= size / 64 {
		p := make([]byte, 8)
		if _, err := shared.Open(rec, file).ReadAt(p, at); err != nil || string(p) != "abcdefgh" {
			t.Fatal(string(p), err)
		}
	}
	if n := file.N.Load(); n != int64(len(packed)) {
		t.Errorf("%d bytes of %d were read", n, len(packed))
	}
	if err := shared.Hold(&Record{Name: "s", Deflated: true, Size: MaxHeld - size}); err != nil || shared.Budget.Held != MaxHeld {
		t.Error(shared.Budget.Held, err)
	}
	if err := shared.Hold(&Record{Name: "t", Size: 1 << 40}); err != nil {
		t.Error("stored: ", err)
	}
	if err := shared.Hold(&Record{Name: "u", Deflated: true, Size: 1}); err == nil || !strings.Contains(err.Error(), "zip -0") {
		t.Error(err)
	}
}

// TestInflaterEnd: what follows the last byte of a deflated record is looked at even
// where no CRC is.
func TestInflaterEnd(t *testing.T) {
	data := []byte("some bytes, some bytes, some bytes")
	packed := deflate(t, data)
	for what, c := range map[string]struct {
		packed []byte
		size   int
		want   string
	}{
		"sound":     {packed, len(data), ""},
		"more":      {packed, len(data) - 1, "more than"},
		"less":      {packed, len(data) + 1, "not the 35"},
		"cut short": {packed[:len(packed)-1], len(data), "unexpected EOF"},
	} {
		rec := &Record{Name: "r", Deflated: true, Size: int64(c.size), Stored: int64(len(c.packed))}
		_, err := rec.Read(bytes.NewReader(c.packed), 100)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func deflate(t *testing.T, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	f, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}
