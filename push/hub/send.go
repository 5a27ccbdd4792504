package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"wreg/ingest/interrupt"
	"wreg/ingest/remote"
	"wreg/push"
	"wreg/registry/tensor"
)

const (
	partsAtOnce = 4      // of one file
	maxParts    = 10_000 // of one file, as S3 has it
	sendings    = 3      // of one file: addresses are signed for a time, and what was taken may be lost
)

// send puts a file into LFS.
func (t *Target) send(ctx context.Context, f push.File, from io.ReaderAt, moved func(int64)) error {
	t.mu.Lock()
	put, known := t.puts[f.SHA256]
	delete(t.puts, f.SHA256)
	t.mu.Unlock()
	for try := 1; ; try++ {
		if !known {
			puts, err := t.batch(ctx, []push.File{f})
			if err != nil {
				return err
			}
			if put, known = puts[f.SHA256]; !known { // it is there by now
				moved(f.Size)
				return nil
			}
		}
		known = false
		err := t.sendTo(ctx, f, put, from, moved)
		if _, anew := errors.AsType[*stale](err); !anew {
			return err
		}
		if try == sendings {
			return fmt.Errorf("after it was sent %d times: %w", sendings, err)
		}
		t.notice(remote.Event{Name: f.Name, Try: try, Cause: err})
	}
}

func (t *Target) notice(e remote.Event) {
	if t.o.Notice != nil {
		t.o.Notice(e)
	}
}

// stale is an answer that says that an address holds no more: the hub is to be asked for another.
type stale struct{ error }

func (e *stale) Unwrap() error { return e.error }

func maybeStale(err error) error {
	status, ok := errors.AsType[*remote.StatusError](err)
	if ok && slices.Contains([]int{http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound, http.StatusGone}, status.Status) {
		return &stale{err}
	}
	return err
}

// sendTo puts a file where the hub said, in one piece or in parts, and has it verified. What was counted as moved is
// taken back where it was in vain.
func (t *Target) sendTo(ctx context.Context, f push.File, put action, from io.ReaderAt, moved func(int64)) (err error) {
	if put.Upload.Href, err = t.address(put.Upload.Href); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	sent := int64(0)
	if chunk := text(put.Upload.Header["chunk_size"]); chunk != "" {
		sent, err = t.sendParts(ctx, f, put.Upload, chunk, from, moved)
	} else {
		_, err = t.client.Upload(ctx, remote.Upload{Name: f.Name, URL: put.Upload.Href, Header: headers(put.Upload.Header), From: from, N: f.Size, Moved: moved})
		err = maybeStale(err)
		if err == nil {
			sent = f.Size
		}
	}
	if err == nil && put.Verify != nil {
		err = t.verify(ctx, f, put.Verify)
	}
	if _, anew := errors.AsType[*stale](err); anew {
		moved(-sent)
	}
	return err
}

func (t *Target) verify(ctx context.Context, f push.File, to *link) error {
	at, err := t.address(to.Href)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	_, err = t.slow.Do(ctx, remote.Request{Method: http.MethodPost, URL: at, Header: lfsHeader, Body: encode(map[string]any{"oid": f.SHA256, "size": f.Size})})
	if err != nil {
		return fmt.Errorf("%s: the hub does not find what was sent: %w", f.Name, maybeStale(brief(err)))
	}
	return nil
}

// address is one that the hub gave; where it names huggingface.co and is asked through another, that.
func (t *Target) address(given string) (string, error) {
	base, err := url.Parse(t.login.Endpoint + "/")
	if err != nil {
		return "", err
	}
	u, err := base.Parse(given)
	switch {
	case err != nil || remote.Origin(u.String()) == "":
		return "", errors.New("the hub names a place to send to that is no address of http or https")
	case base.Scheme == "https" && u.Scheme != "https":
		return "", errors.New("the hub names a place to send to without TLS, and has TLS itself")
	}
	if remote.Origin(u.String()) == remote.Origin("https://huggingface.co") && remote.Origin(base.String()) != remote.Origin(u.String()) {
		u.Scheme, u.Host, u.Path = base.Scheme, base.Host, strings.TrimSuffix(base.Path, "/")+u.Path
	}
	u.User = nil
	return u.String(), nil
}

// text is a value of a header, which servers give as text or number.
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return strconv.FormatInt(int64(v), 10)
	}
	return ""
}

// headers are what a place wants to be told; what belongs to the connection is not taken from anybody.
func headers(given map[string]any) http.Header {
	h := http.Header{}
	for k, v := range given {
		switch k = http.CanonicalHeaderKey(k); k {
		case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Expect", "Te", "Trailer", "Upgrade", "Cookie":
		default:
			if s := text(v); s != "" && !strings.ContainsAny(k+s, "\r\n\x00") {
				h.Set(k, s)
			}
		}
	}
	return h
}

// sendParts puts a file in parts. Which of them arrived is remembered, so that who comes after a kill goes on.
func (t *Target) sendParts(ctx context.Context, f push.File, to *link, chunk string, from io.ReaderAt, moved func(int64)) (sent int64, err error) {
	j, err := t.journal(f, to, chunk)
	if err != nil {
		return 0, err
	}
	defer j.close()
	var todo []int
	for k := range j.URLs {
		if j.etags[k] != "" {
			sent += j.bytes(k)
			continue
		}
		todo = append(todo, k)
	}
	moved(sent)
	err = interrupt.Each(ctx, partsAtOnce, todo, func() func(context.Context, int) error {
		return func(ctx context.Context, k int) error {
			at, err := t.address(j.URLs[k])
			if err != nil {
				return fmt.Errorf("%s: %w", f.Name, err)
			}
			answer, err := t.client.Upload(ctx, remote.Upload{Name: f.Name, URL: at, From: from, Off: int64(k) * j.Chunk, N: j.bytes(k), Moved: moved, Check: hasETag})
			if err != nil {
				return maybeStale(err)
			}
			j.add(k, answer.Header.Get("ETag"))
			return nil
		}
	})
	sent = 0
	for k := range j.URLs {
		if j.etags[k] != "" {
			sent += j.bytes(k)
		}
	}
	if err == nil {
		err = t.complete(ctx, f, j)
	}
	if _, anew := errors.AsType[*stale](err); anew || err == nil {
		j.remove()
	}
	return sent, err
}

func hasETag(answer http.Header) error {
	if answer.Get("ETag") == "" {
		return errors.New("the answer has no ETag, by which the hub puts parts together: a proxy's or a login's?")
	}
	return nil
}

func (t *Target) complete(ctx context.Context, f push.File, j *journal) error {
	type part struct {
		Number int    `json:"partNumber"`
		ETag   string `json:"etag"`
	}
	var parts []part
	for k := range j.URLs {
		parts = append(parts, part{k + 1, j.etags[k]})
	}
	at, err := t.address(j.Href)
	if err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	_, err = t.slow.Do(ctx, remote.Request{Method: http.MethodPost, URL: at, Header: lfsHeader, Body: encode(map[string]any{"oid": f.SHA256, "parts": parts})})
	if err != nil {
		return fmt.Errorf("%s: the hub does not put its %s together: %w", f.Name, tensor.Count(len(parts), "part"), maybeStale(brief(err)))
	}
	return nil
}
