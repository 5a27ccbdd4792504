// Package s3 publishes below a prefix of a bucket of S3, and of what speaks its protocol.
//
// Most users need [Check] and [Open].
//
// Invariants: large files come in parts that are made whole by Commit, in the order given, so
// that nothing is visible before; each part is sent with its SHA-256, by which the store
// refuses other bytes, and what the store says of it is compared; no file is written over
// that is not the one that was seen, so that of several who publish to one place one wins;
// what is in a bucket already is told by size and by the digest that was put beside it.
package s3

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"strings"
	"sync"
	"time"

	"wreg/ingest/interrupt"
	"wreg/ingest/remote"
	"wreg/ingest/s3"
	"wreg/ingest/s3/bucket"
	"wreg/ingest/shards"
	"wreg/push"
	"wreg/registry/tensor"
)

const (
	atOnce   = 8       // parts and questions under way
	maxSmall = 1 << 20 // bytes of a file that is kept in memory until Commit
	maxKept  = 64 << 20
)

// Patience while sending is longer than while reading: what was written may lie in buffers for seconds, and a store
// thinks about making a file of many parts.
var patience = remote.Patience{Silence: time.Minute, Waste: 3 * time.Minute}

// Target is a prefix of a bucket.
type Target struct {
	b     *bucket.Bucket
	name  bucket.Name
	dir   string // the prefix, "" or ending in /
	slots chan struct{}
	least int64 // bytes of a part

	mu    sync.Mutex
	seen  map[string]*bucket.Object // by name, as it was when it was looked at first; without a Key where nothing was
	sent  map[string]*sent          // by name, to be made visible
	kept  int                       // bytes of small files
	parts int                       // of which the store said the SHA-256
	all   int                       // parts that were sent
	proof string
}

// sent is a file that the store has and does not show yet, or a small one.
type sent struct {
	push.File
	data   []byte // of a small one
	upload string
	parts  []part
}

// Check says what is wrong with an address, without asking anybody.
func Check(address string) error {
	n, err := bucket.Parse(address)
	switch {
	case err != nil:
		return err
	case n.Version != "" || n.Pin != "":
		return fmt.Errorf("%s: what is pinned does not change; leave what follows the ? out", n)
	case shards.FamilyOf(n.Key) != nil:
		return fmt.Errorf("%s: names a file; name the prefix that the folder goes to", n)
	}
	return nil
}

// Open makes a Target of an address. The bucket is not asked yet.
func Open(ctx context.Context, address string, o push.Options) (push.Target, error) {
	if err := Check(address); err != nil {
		return nil, err
	}
	n, err := bucket.Parse(address)
	if err != nil {
		return nil, err
	}
	if o.Private {
		return nil, fmt.Errorf("%s: --private is for what is created, and a bucket has to be there; who sees it, its policy says", n)
	}
	b, err := bucket.Open(ctx, n.Bucket, remote.Options{UserAgent: o.UserAgent, Notice: o.Notice, Patience: patience})
	if err != nil {
		return nil, err
	}
	t := &Target{b: b, name: n, slots: make(chan struct{}, atOnce), least: leastPart, seen: map[string]*bucket.Object{}, sent: map[string]*sent{}}
	if t.dir = n.Key; t.dir != "" && !strings.HasSuffix(t.dir, "/") {
		t.dir += "/"
	}
	return t, nil
}

// Close lets go of connections. Parts of files that were not made whole stay in the bucket.
func (t *Target) Close() error {
	t.b.Client.Close()
	return nil
}

// Proof says what the store said of what it took.
func (t *Target) Proof() string { return t.proof }

// address is a file's, for people.
func (t *Target) address(name string) string {
	return bucket.Name{Bucket: t.name.Bucket, Key: t.dir + name}.String()
}

// Held lists the prefix, and asks of the files that are there with the same size for the digest beside them.
func (t *Target) Held(ctx context.Context, files []push.File) ([]bool, error) {
	list, _, err := t.b.List(ctx, t.dir)
	if err != nil {
		return nil, err
	}
	there := map[string]bucket.Object{}
	for _, o := range list {
		there[o.Key] = o
	}
	held, order := make([]bool, len(files)), make([]int, len(files))
	for i := range order {
		order[i] = i
	}
	err = interrupt.Each(ctx, atOnce, order, func() func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			f := files[i]
			o := there[f.Name]
			if o.Key != "" && o.Size == f.Size {
				if o, err := t.head(ctx, f.Name); err != nil {
					return err
				} else if o != nil {
					held[i] = o.SHA256 == f.SHA256 && o.Size == f.Size
					t.note(f.Name, *o)
					return nil
				}
				o = bucket.Object{}
			}
			t.note(f.Name, o)
			return nil
		}
	})
	return held, err
}

// head asks for what lies under a name, nil when nothing does.
func (t *Target) head(ctx context.Context, name string) (*bucket.Object, error) {
	o, err := t.b.Head(ctx, t.dir+name, "")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return &o, err
}

// note remembers what lay under a name when it was looked at first.
func (t *Target) note(name string, o bucket.Object) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.seen[name] == nil {
		t.seen[name] = &o
	}
}

// Put sends a file in parts, or keeps a small one.
func (t *Target) Put(ctx context.Context, f push.File, from io.ReaderAt, moved func(int64)) error {
	if moved == nil {
		moved = func(int64) {}
	}
	t.mu.Lock()
	known := t.seen[f.Name] != nil
	small := f.Size <= maxSmall && t.kept+int(f.Size) <= maxKept
	if small {
		t.kept += int(f.Size)
	}
	t.mu.Unlock()
	if !known {
		o, err := t.head(ctx, f.Name)
		if err != nil {
			return err
		} else if o == nil {
			o = &bucket.Object{}
		}
		t.note(f.Name, *o)
	}
	s := &sent{File: f}
	if small {
		s.data = make([]byte, f.Size)
		if err := tensor.ReadFull(from, s.data, 0); err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		if sum := sha256.Sum256(s.data); hex.EncodeToString(sum[:]) != f.SHA256 {
			return changed(f)
		}
		moved(f.Size)
	} else if err := t.send(ctx, s, from, moved); err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sent[f.Name] = s
	return nil
}

func changed(f push.File) error {
	return fmt.Errorf("%s: the file changed while it was sent: its SHA-256 is not %s any more; begin again when nobody writes it", f.Name, f.SHA256)
}

// Commit makes the files visible, one after the other, each only where nobody else wrote one meanwhile.
func (t *Target) Commit(ctx context.Context, files []push.File) (string, error) {
	for i, f := range files {
		t.mu.Lock()
		s, was := t.sent[f.Name], t.seen[f.Name]
		t.mu.Unlock()
		if s == nil || s.SHA256 != f.SHA256 {
			if was != nil && was.SHA256 == f.SHA256 && was.Size == f.Size {
				continue // held
			}
			return "", fmt.Errorf("%s: it was never sent", f.Name)
		}
		if err := t.show(ctx, s, *was); err != nil {
			return "", fmt.Errorf("%w; of %s %d are visible", err, tensor.Count(len(files), "file"), i)
		}
	}
	p, err := s3.Open(ctx, bucket.Name{Bucket: t.name.Bucket, Key: strings.TrimSuffix(t.dir, "/")}.String(), remote.Options{})
	if err != nil {
		return "", fmt.Errorf("%s is published, but cannot be listed: %w", t.name, err)
	}
	defer p.Close()
	if err := t.compare(ctx, files, p.(*s3.Folder)); err != nil {
		return "", fmt.Errorf("%s is published, but: %w", t.name, err)
	}
	t.proof = fmt.Sprintf("the store shows %s with the sizes and digests that they have here", tensor.Count(len(files), "file"))
	switch {
	case t.all > 0 && t.parts == t.all:
		t.proof += ", and computed the SHA-256 of " + tensor.Count(t.all, "part")
	case t.all > 0:
		t.proof += fmt.Sprintf("; of %s it told no SHA-256 for %d", tensor.Count(t.all, "part"), t.all-t.parts)
	}
	return p.Pin(), nil
}

// show makes one file visible where what lies under its name is still what was seen there. Where the answer is lost, or
// says that something else is there now, what is there decides.
func (t *Target) show(ctx context.Context, s *sent, was bucket.Object) error {
	h := http.Header{}
	switch {
	case was.Key == "":
		h.Set("If-None-Match", "*")
	case strings.HasPrefix(was.ETag, `"`):
		h.Set("If-Match", was.ETag)
	}
	var err error
	if s.upload == "" {
		err = t.put(ctx, s, h)
	} else {
		err = t.complete(ctx, s, h)
	}
	if err == nil || ctx.Err() != nil {
		return err
	}
	now, lookErr := t.head(ctx, s.Name)
	switch {
	case lookErr == nil && now != nil && now.Size == s.Size && now.SHA256 == s.SHA256:
		return nil
	case bucket.Refused(err, "PreconditionFailed", "ConditionalRequestConflict"):
		return fmt.Errorf("%s: somebody else publishes there: another file is there now than when this began; see which is meant, and run it again", t.address(s.Name))
	}
	return err
}

// compare asks of every file what the store shows, which is to be what was listed: of that is the pin.
func (t *Target) compare(ctx context.Context, files []push.File, listed *s3.Folder) error {
	return interrupt.Each(ctx, atOnce, files, func() func(context.Context, push.File) error {
		return func(ctx context.Context, f push.File) error {
			o, err := t.b.Head(ctx, t.dir+f.Name, "")
			switch {
			case err != nil:
				return err
			case o.Size != f.Size || o.SHA256 != f.SHA256 || !listed.Shows(f.Name, o):
				return fmt.Errorf("%s: the store shows %d bytes and SHA-256 %.64s, it has %d and %s: somebody else wrote it, or the store is wrong; run it again",
					t.address(f.Name), o.Size, o.SHA256, f.Size, f.SHA256)
			}
			t.mu.Lock()
			s := t.sent[f.Name]
			t.mu.Unlock()
			if s == nil || s.upload == "" || o.Checksum == "" {
				return nil
			}
			if want := composite(s.parts); strings.Contains(o.Checksum, "-") && o.Checksum != want {
				return fmt.Errorf("%s: the store made %s of its parts, they are %s; run it again", t.address(f.Name), o.Checksum, want)
			}
			return nil
		}
	})
}
