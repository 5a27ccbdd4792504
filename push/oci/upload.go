package oci

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"wreg/ingest/oci"
	"wreg/ingest/regular"
	"wreg/ingest/remote"
	"wreg/push"
)

const (
	chunkBytes = 16 << 20 // of an upload, one in memory; registries over S3 want at least 5 MiB
	maxChunk   = 64 << 20 // the least that a registry may ask for
	maxTries   = 5        // in a row that bring an upload no further
	maxBegun   = 3        // times that an upload begins
	maxNote    = 8 << 10  // bytes of what is remembered of an upload
)

// upload is a file on its way.
type upload struct {
	t     *Target
	f     push.File
	at    string // where its next chunk goes
	off   int64  // that the registry has
	chunk int64
	begun int
	moved func(int64)
}

// Put uploads a file by chunks.
func (t *Target) Put(ctx context.Context, f push.File, from io.ReaderAt, moved func(int64)) error {
	u := &upload{t: t, f: f, chunk: t.chunk, moved: moved}
	if err := u.send(ctx, from); err != nil {
		return fmt.Errorf("%s: %w", f.Name, t.repo.Explain(ctx, err))
	}
	return nil
}

func (u *upload) send(ctx context.Context, from io.ReaderAt) error {
	if err := u.goOn(ctx); err != nil {
		return err
	}
	var buffer []byte
	for tries := 0; ; {
		before := u.off
		if buffer == nil {
			buffer = make([]byte, min(u.chunk, u.f.Size))
		}
		err := u.step(ctx, from, buffer)
		if errors.Is(err, io.EOF) {
			u.remember("")
			return u.confirm(ctx)
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if u.off > before {
			tries = 0
		}
		if err != nil {
			if tries++; tries == maxTries || final(err) {
				return err
			}
			if errors.Is(err, errOther) {
				u.at = "" // nothing to go on with
			}
			if again := u.sync(ctx, err); again != nil {
				return again
			}
		}
	}
}

// final reports an answer that will not change.
func final(err error) bool {
	status, ok := errors.AsType[*remote.StatusError](err)
	return ok && (status.Status == http.StatusUnauthorized || status.Status == http.StatusForbidden || status.Status == http.StatusMethodNotAllowed || status.Status == http.StatusRequestEntityTooLarge)
}

// errOther is an upload that ended with other bytes than the file's.
var errOther = errors.New("what the registry got of it has not the SHA-256")

// step sends the next chunk, or ends the upload: then it is io.EOF.
func (u *upload) step(ctx context.Context, from io.ReaderAt, buffer []byte) error {
	n := min(int64(len(buffer)), u.f.Size-u.off)
	chunk := buffer[:n]
	if _, err := from.ReadAt(chunk, u.off); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if u.off+n < u.f.Size {
		// A registry may not look where a chunk belongs: it is never sent again unasked.
		answer, err := u.t.repo.Client.Do(ctx, remote.Request{Method: http.MethodPatch, URL: u.at, Body: chunk, Once: true, Header: http.Header{
			"Content-Type": {"application/octet-stream"}, "Content-Range": {fmt.Sprintf("%d-%d", u.off, u.off+n-1)},
		}})
		if err != nil {
			return err
		}
		return u.follow(answer, u.off+n)
	}
	end, err := url.Parse(u.at)
	if err != nil {
		return err
	}
	q := end.Query()
	q.Set("digest", digestOf(u.f))
	end.RawQuery = q.Encode()
	header := http.Header{"Content-Type": {"application/octet-stream"}}
	if n > 0 && u.off > 0 {
		header.Set("Content-Range", fmt.Sprintf("%d-%d", u.off, u.off+n-1))
	}
	answer, err := u.t.repo.Client.Do(ctx, remote.Request{Method: http.MethodPut, URL: end.String(), Body: chunk, Once: true, Header: header})
	if err != nil {
		if held, asked := u.t.holds(ctx, digestOf(u.f), u.f.Size); asked == nil && held { // only its answer was lost
			u.advance(u.f.Size)
			return io.EOF
		}
		if oci.Code(err) == "DIGEST_INVALID" {
			err = fmt.Errorf("%w %s: the file changed meanwhile, or what lies between here and there changes it (%v)", errOther, u.f.SHA256, err)
		}
		return err
	}
	if got := answer.Header.Get("Docker-Content-Digest"); got != "" && got != digestOf(u.f) {
		return fmt.Errorf("the registry took it for %.100q, and its SHA-256 is %s: the file changed meanwhile, or what lies between here and there changes it", got, u.f.SHA256)
	}
	u.advance(u.f.Size)
	return io.EOF
}

// confirm asks for what was sent.
func (u *upload) confirm(ctx context.Context) error {
	held, err := u.t.holds(ctx, digestOf(u.f), u.f.Size)
	if err == nil && !held {
		err = fmt.Errorf("the registry took it, and does not have it by its digest %s", digestOf(u.f))
	}
	return err
}

// advance says that the registry has what is before off.
func (u *upload) advance(off int64) {
	if off != u.off {
		u.moved(off - u.off)
	}
	u.off = off
}

// begin begins an upload.
func (u *upload) begin(ctx context.Context) error {
	u.advance(0)
	u.begun++
	answer, err := u.t.repo.Client.Do(ctx, remote.Request{Method: http.MethodPost, URL: u.t.repo.URL("blobs", "uploads", "")})
	if err != nil {
		return err
	}
	if least, err := strconv.ParseInt(answer.Header.Get("OCI-Chunk-Min-Length"), 10, 64); err == nil && least > u.chunk {
		if u.chunk = least; least > maxChunk {
			return fmt.Errorf("the registry wants chunks of %d bytes, and %d are held in memory", least, maxChunk)
		}
	}
	return u.follow(answer, 0)
}

// goOn goes on with the upload that was begun before, else begins one.
func (u *upload) goOn(ctx context.Context) error {
	if note, err := regular.Read(u.note(), maxNote); err == nil {
		if u.at, err = u.place(string(note)); err == nil && u.ask(ctx) == nil {
			return nil
		}
	}
	return u.begin(ctx)
}

// sync finds out how far an upload is of which a chunk failed; where the registry does not say it begins anew.
func (u *upload) sync(ctx context.Context, why error) error {
	if u.at != "" && u.ask(ctx) == nil {
		return nil
	}
	if u.begun == maxBegun {
		return why
	}
	return u.begin(ctx)
}

var rangeForm = regexp.MustCompile(`^(?:bytes=)?0-([0-9]{1,18})$`)

// ask asks how far an upload is.
func (u *upload) ask(ctx context.Context) error {
	answer, err := u.t.repo.Client.Do(ctx, remote.Request{URL: u.at})
	if err != nil {
		return err
	}
	m := rangeForm.FindStringSubmatch(answer.Header.Get("Range"))
	if m == nil || m[1] == "0" { // no byte, or one
		return errors.New("the registry does not say how far the upload is")
	}
	last, err := strconv.ParseInt(m[1], 10, 64)
	if err != nil || last >= u.f.Size {
		return fmt.Errorf("the registry has %s bytes of an upload of %d", m[1], u.f.Size)
	}
	return u.follow(answer, last+1)
}

// follow takes from an answer where the next chunk goes, and that the registry has what is before off.
func (u *upload) follow(answer *remote.Answer, off int64) error {
	if m := rangeForm.FindStringSubmatch(answer.Header.Get("Range")); m != nil && off > 0 && m[1] != strconv.FormatInt(off-1, 10) {
		return fmt.Errorf("%d bytes were sent, and the registry says that it has 0-%s", off, m[1])
	}
	if location := answer.Header.Get("Location"); location != "" {
		at, err := u.place(location)
		if err != nil {
			return err
		}
		u.at = at
	} else if off == 0 {
		return errors.New("the registry does not say where to upload to")
	}
	u.advance(off)
	if off > 0 {
		u.remember(u.at)
	}
	return nil
}

// place is where an upload goes on: at the registry, whatever it thinks that it is called from outside.
func (u *upload) place(location string) (string, error) {
	base, err := url.Parse(u.t.repo.URL(""))
	if err != nil {
		return "", err
	}
	to, err := base.Parse(location)
	if err != nil || !strings.EqualFold(to.Hostname(), base.Hostname()) {
		return "", fmt.Errorf("the upload goes on at %.200q, which is not the registry %s", location, u.t.repo.Name.Host)
	}
	to.Scheme, to.Host, to.User = base.Scheme, base.Host, nil
	return to.String(), nil
}

// note is the file that remembers where an upload goes on, for another process; "" where there is no cache.
func (u *upload) note() string {
	base := os.Getenv("XDG_CACHE_HOME")
	if !filepath.IsAbs(base) {
		home, err := os.UserHomeDir()
		if err != nil {
			return ""
		}
		base = filepath.Join(home, ".cache")
	}
	n := u.t.repo.Name
	return filepath.Join(base, "wreg", "uploads", url.PathEscape(n.Host+"/"+n.Repo), u.f.SHA256)
}

// remember writes that down; that it could not be is no fault of the upload.
func (u *upload) remember(at string) {
	file := u.note()
	switch {
	case file == "":
	case at == "":
		_ = os.Remove(file)
	case os.MkdirAll(filepath.Dir(file), 0o700) == nil:
		_ = os.WriteFile(file, []byte(at), 0o600)
	}
}
