package tensor

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Info is one tensor: what it is called, what it holds, where its bytes lie and
// what they are.
type Info struct {
	Path  string // dotted: model.layers.3.mlp.experts.9.up_proj.weight
	DType DType
	Shape Shape

	File   string // slash-separated, relative to the checkpoint's root folder
	Offset int64  // of the first element in File; -1 when the bytes are not stored plainly (deflated, assembled)
	Bytes  int64  // logical size: dense, row-major, little-endian
	Format string // "safetensors", "torch", "gguf", "npy"

	Hash   Hash   // SHA-256 of the logical bytes; zero when not hashed
	Sum    Sum    // XXH3-128 of the same bytes, same pass
	Slices []Hash // SHA-256 of each slice along axis 0, for rank >= 3
	Stats  *Stats // nil when not taken, or when the type has no numbers
}

// Coded reports that the tensor can be a weight stored in codes. What a GGUF holds in
// blocks is not: no config.json speaks of it.
func (i *Info) Coded() bool {
	switch i.DType {
	case F8E4M3, F8E5M2, F8E4M3FNUZ, F8E5M2FNUZ, F8E8M0, F6E2M3, F6E3M2, F4, I8, U8, I16, U16, I32, U32:
		return len(i.Shape) >= 2
	}
	return false
}

// Hashed reports that a hash or a checksum of the bytes was taken.
func (i *Info) Hashed() bool { return !i.Hash.IsZero() || i.Sum != (Sum{}) }

// SameBytes reports that the hashes or checksums of two tensors are known and equal.
func (i *Info) SameBytes(other *Info) bool {
	return !i.Hash.IsZero() && i.Hash == other.Hash || i.Sum != (Sum{}) && i.Sum == other.Sum
}

// Stats describes a tensor's values. Min, Max and AbsMax are over the numbers
// that are neither NaN nor infinite; all three are 0 when there are none.
type Stats struct {
	Min, Max, AbsMax  float64
	NaNs, Infs, Zeros int64
}

// Hash is a SHA-256.
type Hash [32]byte

// IsZero reports that no hash was taken.
func (h Hash) IsZero() bool { return h == Hash{} }

// String is "sha256:" and 64 hex digits, or "" when no hash was taken.
func (h Hash) String() string {
	if h.IsZero() {
		return ""
	}
	return "sha256:" + hex.EncodeToString(h[:])
}

// ParseHash reads what String wrote; the prefix may be left out.
func ParseHash(s string) (h Hash, err error) {
	s = strings.TrimPrefix(s, "sha256:")
	if len(s) != 2*len(h) {
		return h, fmt.Errorf("hash %q: want sha256: and %d hex digits", s, 2*len(h))
	}
	_, err = hex.Decode(h[:], []byte(s))
	return h, err
}

// Sum is an XXH3-128 checksum, big-endian as its canonical form is written. It
// says at memory speed whether bytes are still the same; it proves nothing
// against an adversary. Hash does.
type Sum [16]byte

// String is "xxh3:" and 32 hex digits, or "" when none was taken.
func (s Sum) String() string {
	if s == (Sum{}) {
		return ""
	}
	return "xxh3:" + hex.EncodeToString(s[:])
}

// File is one file a checkpoint consists of. Size, ModTime and Inode together
// say whether it is unchanged.
type File struct {
	Name    string // slash-separated, relative to the root folder
	Size    int64
	ModTime time.Time
	Inode   uint64
	Format  string // "safetensors", "torch", "json", ...
	Digest  string // "sha256:HEX" of the whole file, "" when none is known; Trust says whether it was held against the bytes
	Trust   Trust  // what of it was read
}

// Trust is how what is recorded of a file's tensors is known.
type Trust uint8

const (
	TrustUnset     Trust = iota // of a file that holds no tensors
	TrustHeader                 // names, dtypes, shapes and offsets were read; a digest is somebody's word
	TrustHashed                 // every tensor was read and hashed here; the whole file was held against no digest
	TrustSummed                 // as hashed, and the digest is the SHA-256 of the whole file as it was read here: nobody declares one
	TrustInherited              // the digest is that of a file that was verified: hashes and statistics are taken from there
	TrustVerified               // the whole file was read here, and its SHA-256 is the digest that is declared
)

// trustWords are what users see, in the order of the constants.
var trustWords = []string{"", "header", "hashed", "hashed", "inherited", "verified"}

// TrustAbout tells of each word what is known, and how, the least first.
var TrustAbout = [][2]string{
	{"header", "names, dtypes, shapes and offsets; of the bytes nothing: no hash, no statistics"},
	{"hashed", "also hashes and statistics, read here; the whole file was held against no declared digest"},
	{"inherited", "the same, and nothing was read: the file's declared digest is that of one that was verified"},
	{"verified", "the same, read here, and the SHA-256 of the whole file is the one that is declared"},
}

// String is the word for the level, "" for none.
func (t Trust) String() string {
	if t.Valid() {
		return trustWords[t]
	}
	return ""
}

// Valid reports one of the constants.
func (t Trust) Valid() bool { return int(t) < len(trustWords) }

// Known reports that the bytes of the file's tensors were read, here or where they are known from.
func (t Trust) Known() bool { return t > TrustHeader }

// Proven reports that the file's digest is that of the bytes that its tensors' hashes were taken of.
func (t Trust) Proven() bool { return t >= TrustSummed }

// Least is the least trusted of the files that hold tensors, TrustUnset where none does.
func Least(files []File) Trust {
	least := TrustUnset
	for _, f := range files {
		if f.Trust != TrustUnset && (least == TrustUnset || f.Trust < least) {
			least = f.Trust
		}
	}
	return least
}

// Moment is a time as a registry keeps it: nanoseconds of 64 bits, from 1677 to
// 2262. What lies beyond counts as the nearest of these, so times are the same when
// their moments are.
func Moment(t time.Time) time.Time {
	const last = 1<<63 - 1
	switch first := int64(-last); { // one less is a time that was not set
	case t.Before(time.Unix(0, first)):
		return time.Unix(0, first)
	case t.After(time.Unix(0, last)):
		return time.Unix(0, last)
	}
	return t
}

// ModifiedAs says that a file was written at that time, as far as a registry
// keeps times.
func (f File) ModifiedAs(t time.Time) bool { return Moment(f.ModTime).Equal(Moment(t)) }

// Finding is something that is not as it should be in a checkpoint, an export or a
// registry: not fatal, never silent.
type Finding struct {
	Rule    string // stable id: "stray-shard", "index-missing-tensor"; empty where there are no rules
	File    string // or the place in a registry: a page, a key, a revision
	Tensor  string // may be empty
	Expert  int    // of the tensor, a stack, counted from 1; 0 when it is about none of them
	Message string // says file, tensor, numbers, and what to do next
}

// Count is a number and its noun, for messages: 1 shard, 2 shards.
func Count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Size is a number of bytes, for messages and people: 1.2 GiB.
func Size(n int64) string {
	if n < 1<<10 {
		return fmt.Sprintf("%d B", n)
	}
	f, unit := float64(n), ""
	for _, unit = range []string{"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"} {
		if f /= 1 << 10; f < 999.5 { // what rounds to 1000 is told in the next unit
			break
		}
	}
	return fmt.Sprintf("%.3g %s", f, unit)
}

// notes are the rules of findings that say how a file was read, or what is usual: nothing
// is wrong.
var notes = []string{"inert-object", "torchscript", "pending-operation", "path-collision", "not-numbers", "variant", "passed-over", "constant-rows", "adapter-beside"}

// Note reports a finding that is told, and that no exit status is about.
func (f Finding) Note() bool { return slices.Contains(notes, f.Rule) }

// Faults is how many findings are more than notes.
func Faults(findings []Finding) (n int) {
	for _, f := range findings {
		if !f.Note() {
			n++
		}
	}
	return n
}
