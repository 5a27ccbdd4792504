package registry

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strconv"

	bolt "go.etcd.io/bbolt"

	"wreg/registry/codec"
	"wreg/registry/tensor"
)

// The layout of the file: docs/registry-format.md. Keys are written in sorted
// order; every value but meta's ends with a CRC-32C of its key and itself.
var (
	metaBucket      = []byte("meta")      // schema, hash, sum: plain text
	modelsBucket    = []byte("models")    // name NUL number → revision id
	numbersBucket   = []byte("numbers")   // name → the last number given
	pendingBucket   = []byte("pending")   // revision id → what is being written or removed
	revisionsBucket = []byte("revisions") // revision id → bucket of info, files, blocks
	contentBucket   = []byte("content")   // revision id, kind, chunk → sorted hash prefixes
	digestsBucket   = []byte("digests")   // digest of a whole file, revision id → nothing

	buckets = [][]byte{contentBucket, digestsBucket, metaBucket, modelsBucket, numbersBucket, pendingBucket, revisionsBucket}

	infoKey   = []byte("info")
	filesKey  = []byte("files")
	blocksKey = []byte("blocks")

	schemaKey    = []byte("schema")
	hashAlgoKey  = []byte("hash")
	sumAlgoKey   = []byte("sum")
	hashAlgoName = "sha256"
	sumAlgoName  = "xxh3-128"
)

// schemaVersion is what this wreg writes. migrations[i] takes schema i+1 to i+2.
// What was written since readableSchema can be read without that.
const (
	schemaVersion  = 2
	readableSchema = 1
)

var migrations = []func(*bolt.Tx) error{
	func(tx *bolt.Tx) error { // files have digests; of those that older wregs wrote none was verified
		_, err := tx.CreateBucketIfNotExists(digestsBucket)
		return err
	},
}

// initSchema makes the buckets of an empty file.
func initSchema(tx *bolt.Tx) error {
	for _, name := range buckets {
		if _, err := tx.CreateBucket(name); err != nil {
			return err
		}
	}
	meta := tx.Bucket(metaBucket)
	for _, kv := range [][2]string{
		{string(hashAlgoKey), hashAlgoName},
		{string(schemaKey), strconv.Itoa(schemaVersion)},
		{string(sumAlgoKey), sumAlgoName},
	} {
		if err := meta.Put([]byte(kv[0]), []byte(kv[1])); err != nil {
			return err
		}
	}
	return nil
}

// readSchema gives the schema version after checking that the file is a registry
// whose hashes this wreg can compare.
func (r *Registry) readSchema(tx *bolt.Tx) (int, error) {
	meta := tx.Bucket(metaBucket)
	if meta == nil {
		return 0, r.damage("meta", "the bucket is absent: not a registry, or a damaged one")
	}
	text := string(meta.Get(schemaKey))
	version, err := strconv.Atoi(text)
	if err != nil || version < 1 {
		return 0, r.damage("meta", "schema %q is not a version", text)
	}
	if version > schemaVersion {
		return version, &SchemaError{r.path, version, schemaVersion}
	}
	for _, kv := range [][2]string{{string(hashAlgoKey), hashAlgoName}, {string(sumAlgoKey), sumAlgoName}} {
		if got := string(meta.Get([]byte(kv[0]))); got != kv[1] {
			return 0, r.damage("meta", "%s is %q, want %q", kv[0], got, kv[1])
		}
	}
	return version, nil
}

// migrate brings an older schema up to date in one transaction, so that a failure
// leaves the file as it was.
func (r *Registry) migrate(steps []func(*bolt.Tx) error, from int) error {
	return r.update(func(tx *bolt.Tx) error {
		for v := from; v <= len(steps); v++ {
			if err := steps[v-1](tx); err != nil {
				return fmt.Errorf("registry %s: schema %d to %d: %w", r.path, v, v+1, err)
			}
		}
		return tx.Bucket(metaBucket).Put(schemaKey, []byte(strconv.Itoa(len(steps)+1)))
	})
}

// unseal gives the value without its checksum.
func (r *Registry) unseal(place string, sealed []byte) ([]byte, error) {
	value, wrong := codec.Unseal(place, sealed)
	if wrong != "" {
		return nil, r.damage(place, "%s", wrong)
	}
	return value, nil
}

func (r *Registry) damage(where, format string, args ...any) error {
	return &DamagedError{Path: r.path, Where: where, Message: fmt.Sprintf(format, args...)}
}

// bucket finds a top-level bucket, which every registry has.
func (r *Registry) bucket(tx *bolt.Tx, name []byte) (*bolt.Bucket, error) {
	if b := tx.Bucket(name); b != nil {
		return b, nil
	}
	return nil, r.damage(string(name), "the bucket is absent")
}

// keys yields what is in a bucket, in order: nothing when there is no such bucket.
func keys(b *bolt.Bucket) iter.Seq2[[]byte, []byte] {
	return func(yield func(k, v []byte) bool) {
		if b == nil {
			return
		}
		c := b.Cursor()
		for k, v := c.First(); k != nil && yield(k, v); k, v = c.Next() {
		}
	}
}

func idKey(id uint32) []byte { return binary.BigEndian.AppendUint32(nil, id) }

// contentKey is the key of a chunk of a revision's content index.
func contentKey(id uint32, kind byte, chunk int) []byte {
	b := append(idKey(id), kind)
	return binary.BigEndian.AppendUint32(b, uint32(chunk))
}

// modelKey orders a model's revisions by number. Names hold no NUL.
func modelKey(name string, number int) []byte {
	b := append(make([]byte, 0, len(name)+5), name...)
	b = append(b, 0)
	return binary.BigEndian.AppendUint32(b, uint32(number))
}

// digestKey is the key of a file's digest: a revision may hold several files of one.
func digestKey(digest tensor.Hash, id uint32) []byte {
	return append(digest[:len(digest):len(digest)], idKey(id)...)
}

// splitDigestKey is the inverse of digestKey.
func splitDigestKey(key []byte) (digest tensor.Hash, id uint32, ok bool) {
	if len(key) != len(digest)+4 {
		return digest, 0, false
	}
	return tensor.Hash(key[:len(digest)]), binary.BigEndian.Uint32(key[len(digest):]), true
}

// provenDigests are those of a revision's files that were held against their bytes.
func provenDigests(v *Revision) (list []tensor.Hash) {
	for _, f := range v.Files {
		if h, err := tensor.ParseHash(f.Digest); err == nil && f.Trust.Proven() {
			list = append(list, h)
		}
	}
	slices.SortFunc(list, func(a, b tensor.Hash) int { return bytes.Compare(a[:], b[:]) })
	return slices.Compact(list)
}

// splitModelKey is the inverse of modelKey.
func splitModelKey(key []byte) (name string, number int, ok bool) {
	n := len(key) - 5
	if n < 1 || key[n] != 0 {
		return "", 0, false
	}
	return string(key[:n]), int(binary.BigEndian.Uint32(key[n+1:])), true
}

// maxRevisions bounds the revisions of a file.
const maxRevisions = 1 << 20

// modelEntry is one key of the models bucket.
type modelEntry struct {
	name   string
	number int
	id     uint32
	blocks int
	chunks int
}

func (e modelEntry) ref() string { return e.name + "@" + strconv.Itoa(e.number) }

// compareIDs orders revisions as they were made.
func compareIDs(a, b modelEntry) int { return cmp.Compare(a.id, b.id) }

// appendModel is the value under a modelKey: the revision's id and how many blocks
// and chunks of the content index it has, so that one which a damaged page lost is
// missed.
func appendModel(id uint32, blocks, chunks int) []byte {
	b := binary.BigEndian.AppendUint32(idKey(id), uint32(blocks))
	return binary.BigEndian.AppendUint32(b, uint32(chunks))
}

// countModels keeps the number of keys of the models bucket as the bucket's
// sequence, which bbolt stores beside its root: a key that a damaged page lost is
// missed.
func countModels(models *bolt.Bucket, change int) error {
	return models.SetSequence(models.Sequence() + uint64(change))
}

// Where sealed values lie, for their checksums and for errors.
func modelPlace(key []byte) string {
	if name, number, ok := splitModelKey(key); ok {
		return fmt.Sprintf("models/%s@%d", name, number)
	}
	return fmt.Sprintf("models/%q", key)
}
func numberPlace(name string) string { return "numbers/" + name }
func infoPlace(id uint32) string     { return fmt.Sprintf("revisions/%d/info", id) }
func filesPlace(id uint32) string    { return fmt.Sprintf("revisions/%d/files", id) }
func digestPlace(key []byte) string  { return fmt.Sprintf("digests/%x", key) }
func contentPlace(key []byte) string { return fmt.Sprintf("content/%x", key) }
