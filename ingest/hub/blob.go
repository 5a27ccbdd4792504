package hub

import (
	"bytes"
	"context"
	"crypto/sha1" // the name that git gives to bytes
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"wreg/ingest/headers"
	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/registry/tensor"
)

// What is read whole and held against its digest: files that are not in LFS, which are small on the hub (config.json,
// the index), and of the others those that one request for a beginning would bring as well.
const (
	maxWhole    = 32 << 20
	maxWholeLFS = 128 << 10
	leastWhole  = 4 << 10 // of what comes in place of a file, to say what that is
)

// blob is a file of the repository.
type blob struct {
	r     *Repo
	ctx   context.Context
	stop  context.CancelFunc
	name  string // in the repository
	entry entry

	ranges *remote.File    // of a file that is read by ranges
	header *headers.Reader // and what is remembered of its header; nil where it has no digest

	once sync.Once // of a file that is read whole
	data []byte
	err  error
}

func (r *Repo) open(ctx context.Context, name string, e entry) *blob {
	b := &blob{r: r, name: name, entry: e}
	b.ctx, b.stop = context.WithCancel(ctx)
	if e.size <= maxWholeLFS || e.sha256 == "" && e.blob != "" && e.size <= maxWhole {
		return b
	}
	b.ranges = r.client.Open(b.ctx, remote.Source{Name: r.address(name), URL: b.url(), Size: e.size, SHA256: e.sha256, Check: b.check})
	if e.sha256 != "" {
		b.header = r.kept.Through(e.digest(), e.size, b.ranges)
	}
	return b
}

func (b *blob) url() string {
	parts := strings.Split(b.name, "/")
	for i, p := range parts {
		parts[i] = url.PathEscape(p)
	}
	return b.r.login.Endpoint + "/" + b.r.name.ID + "/resolve/" + b.r.list.commit + "/" + strings.Join(parts, "/")
}

// check holds what the hub says of a file when it is asked for its bytes against the listing. What it does not
// say is no fault: mirrors drop these headers.
func (b *blob) check(first http.Header) error {
	changed := func(what, now, then string) error {
		return fmt.Errorf("%w since it was listed: its %s is %.80s now and was %s; ingest it again", remote.ErrChanged, what, now, then)
	}
	if commit := first.Get("X-Repo-Commit"); commit != "" && !strings.EqualFold(commit, b.r.list.commit) {
		return changed("commit", commit, b.r.list.commit)
	}
	if text := first.Get("X-Linked-Size"); text != "" {
		if size, err := strconv.ParseInt(text, 10, 64); err != nil || size != b.entry.size {
			return changed("size", text, strconv.FormatInt(b.entry.size, 10))
		}
	}
	etag := strings.ToLower(strings.Trim(strings.TrimPrefix(first.Get("X-Linked-Etag"), "W/"), `"`))
	switch {
	case hex64.MatchString(etag) && b.entry.sha256 != "" && etag != b.entry.sha256:
		return changed("sha256", etag, b.entry.sha256)
	case hex40.MatchString(etag) && b.entry.blob != "" && etag != b.entry.blob:
		return changed("git object", etag, b.entry.blob)
	}
	return nil
}

// prefetch asks for what a reader wants first, in the background.
func (b *blob) prefetch() {
	switch {
	case b.ranges == nil:
		go b.whole()
	case b.header == nil || !b.header.Known():
		b.ranges.Prefetch()
	}
}

// Stat describes the file as it was listed.
func (b *blob) Stat() (tensor.File, error) {
	return tensor.File{Name: strings.TrimPrefix(b.name, b.r.dir), Size: b.entry.size, Digest: b.entry.digest()}, nil
}

// ReadAt reads the file.
func (b *blob) ReadAt(p []byte, off int64) (int, error) {
	var from io.ReaderAt
	switch {
	case b.header != nil:
		from = b.header
	case b.ranges != nil:
		from = b.ranges
	default:
		data, err := b.whole()
		if err != nil {
			return 0, err
		}
		return bytes.NewReader(data).ReadAt(p, off)
	}
	n, err := from.ReadAt(p, off)
	if err != nil && err != io.EOF {
		err = b.explain(err)
	}
	return n, err
}

func (b *blob) explain(err error) error {
	if errors.Is(err, remote.ErrChanged) && b.isPointer() {
		return b.fault(err, "%s", pointerCame)
	}
	return b.r.explain(b.ctx, err)
}

// fault is what is wrong with what came of the file.
func (b *blob) fault(cause error, format string, a ...any) error {
	return &place.Error{Text: b.r.address(b.name) + ": " + fmt.Sprintf(format, a...), Cause: cause}
}

// A mirror, or a server that keeps files in git, may give out what git keeps in place of a large one.
const (
	pointerStart = "version https://git-lfs.github.com/spec/"
	pointerCame  = "the text of its Git LFS pointer came in its place: the server, or a mirror in between, lacks the file itself; ask the hub, or download it"
)

// isPointer asks whether a file that has another size than was listed is the pointer to it.
func (b *blob) isPointer() bool {
	if b.entry.sha256 == "" || b.ctx.Err() != nil {
		return false
	}
	answer, err := b.r.client.Do(b.ctx, remote.Request{Name: b.r.address(b.name), URL: b.url(), Most: leastWhole})
	return err == nil && bytes.HasPrefix(answer.Body, []byte(pointerStart))
}

// Stream reads the file from off to its end.
func (b *blob) Stream(ctx context.Context, off int64, afresh bool) io.ReadCloser {
	if b.ranges == nil { // brought in one request, and proven
		data, err := b.whole()
		return remote.Held(data, off, err)
	}
	return b.ranges.Rest(ctx, off, afresh, b.explain)
}

var _ place.Streamer = (*blob)(nil)

// ReadAhead asks for what will be read next.
func (b *blob) ReadAhead(ctx context.Context, ranges [][2]int64) error {
	if b.ranges == nil || b.header != nil && b.header.Known() {
		return nil
	}
	if err := b.ranges.ReadAhead(ctx, ranges); err != nil {
		return b.explain(err)
	}
	return nil
}

// HeaderRead says that whoever read the header has done so: what was read is remembered for the next time.
func (b *blob) HeaderRead() {
	if b.header != nil {
		b.header.Keep()
	}
	if b.ranges != nil {
		b.ranges.Release()
	}
}

// Close gives up what is under way.
func (b *blob) Close() error {
	b.stop()
	b.once.Do(func() { b.err = fs.ErrClosed }) // waits for what is under way
	if b.ranges != nil {
		return b.ranges.Close()
	}
	return nil
}

// whole reads the file in one request and proves it.
func (b *blob) whole() ([]byte, error) {
	b.once.Do(func() { b.data, b.err = b.fetch() })
	return b.data, b.err
}

func (b *blob) fetch() ([]byte, error) {
	key := proof(b.entry)
	if data := b.r.kept.Whole(key, b.entry.size); data != nil && b.prove(data) == nil {
		return data, nil
	}
	// What was damaged on the way may come right when it is asked for once more.
	var fault error
	for range 2 {
		answer, err := b.r.client.Do(b.ctx, remote.Request{Name: b.r.address(b.name), URL: b.url(), Most: max(b.entry.size, leastWhole)})
		if err != nil {
			return nil, b.r.explain(b.ctx, err)
		}
		if err := b.check(answer.First); err != nil {
			return nil, b.fault(err, "%v", err)
		}
		if fault = b.prove(answer.Body); fault == nil {
			b.r.kept.KeepWhole(key, answer.Body)
			return answer.Body, nil
		}
	}
	return nil, b.fault(fault, "%v", fault)
}

// proof is what names the bytes of a file, "" when the hub does not say.
func proof(e entry) string {
	if e.blob != "" {
		return "sha1:" + e.blob
	}
	return e.digest()
}

// prove holds bytes against size and digest as they were listed.
func (b *blob) prove(data []byte) error {
	got, want := "", proof(b.entry)
	switch {
	case int64(len(data)) != b.entry.size && bytes.HasPrefix(data, []byte(pointerStart)):
		return errors.New(pointerCame)
	case int64(len(data)) != b.entry.size && bytes.HasPrefix(bytes.TrimSpace(data), []byte("<")):
		return fmt.Errorf("a web page came in its place, a proxy's or a login's: it begins %+.80q; open a page in a browser, then run it again", data[:min(len(data), 60)])
	case int64(len(data)) != b.entry.size:
		return fmt.Errorf("%d bytes came, and the listing says %d; ingest it again", len(data), b.entry.size)
	case b.entry.blob != "":
		h := sha1.New()
		fmt.Fprintf(h, "blob %d\x00", len(data))
		h.Write(data)
		got = "sha1:" + hex.EncodeToString(h.Sum(nil))
	case b.entry.sha256 != "":
		sum := sha256.Sum256(data)
		got = "sha256:" + hex.EncodeToString(sum[:])
	}
	if got != want {
		return fmt.Errorf("the bytes that came are not those that were listed: %s, not %s; what lies between here and the hub changes them", got, want)
	}
	return nil
}

var (
	_ place.Headed  = (*blob)(nil)
	_ place.Batched = (*blob)(nil)
)
