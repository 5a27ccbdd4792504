package hub

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"wreg/ingest/remote"
	"wreg/push"
	"wreg/registry/tensor"
)

// Commit makes all files visible with one commit on top of the one that was looked at.
func (t *Target) Commit(ctx context.Context, files []push.File) (string, error) {
	s, err := t.ready(ctx)
	if err != nil {
		return "", err
	}
	body, changed, err := t.operations(files, s.commit)
	if err != nil {
		return "", err
	}
	at := s.commit
	if changed > 0 {
		if at, err = t.commit(ctx, files, body, s.commit); err != nil {
			return "", err
		}
	}
	pin := t.name
	pin.Revision = at
	if err := t.compare(ctx, files, at); err != nil {
		return "", fmt.Errorf("%s is published, but: %w", pin, err)
	}
	t.proof = fmt.Sprintf("the hub lists %s at commit %.10s by the digests that they have here", tensor.Count(len(files), "file"), at)
	return pin.String(), nil
}

// operations are the lines of a commit; files that are there as they are have none.
func (t *Target) operations(files []push.File, parent string) (body []byte, changed int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b bytes.Buffer
	lines := json.NewEncoder(&b)
	lines.SetEscapeHTML(false)
	line := func(key string, value map[string]any) { lines.Encode(map[string]any{"key": key, "value": value}) }
	line("header", map[string]any{"summary": cmp.Or(t.o.Message, "Upload with wreg"), "description": "", "parentCommit": parent})
	for _, f := range files {
		known, data := t.files[f.Name], t.small[f.Name]
		switch {
		case !known.lfs && int64(len(data)) != f.Size:
			return nil, 0, fmt.Errorf("%s: it was never sent", f.Name)
		case known.lfs && known.was == f.SHA256, !known.lfs && known.was == gitName(data):
			continue
		case known.lfs:
			line("lfsFile", map[string]any{"path": t.path(f.Name), "algo": "sha256", "oid": f.SHA256, "size": f.Size})
		default:
			line("file", map[string]any{"path": t.path(f.Name), "encoding": "base64", "content": data})
		}
		changed++
	}
	return b.Bytes(), changed, nil
}

// commit may be asked for again when its answer is lost: on top of parent it is made once. What the branch holds then
// says whose commit moved it.
func (t *Target) commit(ctx context.Context, files []push.File, body []byte, parent string) (string, error) {
	var said struct {
		OID string `json:"commitOid"`
	}
	_, err := t.slow.JSON(ctx, remote.Request{Method: http.MethodPost, URL: t.api("commit", t.branch()), Body: body,
		Header: http.Header{"Content-Type": {"application/x-ndjson"}}}, &said)
	switch {
	case err == nil && commitForm.MatchString(said.OID):
		return said.OID, nil
	case err == nil:
		err = fmt.Errorf("the hub says that the commit is %.60q, which is none", said.OID)
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	}
	status, told := errors.AsType[*remote.StatusError](err)
	moved := told && (status.Status == http.StatusPreconditionFailed || status.Status == http.StatusConflict)
	if told && !moved && status.Status < 500 {
		return "", t.explain(err)
	}
	t.begun.Lock()
	t.state = nil
	now, lookErr := t.looked(ctx)
	t.begun.Unlock()
	switch {
	case lookErr == nil && now.commit != parent && t.compare(ctx, files, now.commit) == nil:
		return now.commit, nil
	case moved:
		return "", fmt.Errorf("%s: the branch %s moved on since commit %.10s was looked at, and nothing was published; run it again: what was sent is not sent again (HTTP %d)",
			t.name, t.branch(), parent, status.Status)
	}
	return "", fmt.Errorf("%s: the commit is not known to have been made: %w; run it again: what was sent is not sent again", t.name, brief(err))
}

// compare holds the hub's listing of a commit against what was sent.
func (t *Target) compare(ctx context.Context, files []push.File, at string) error {
	type listed struct {
		Type string `json:"type"`
		Path string `json:"path"`
		Size int64  `json:"size"`
		OID  string `json:"oid"`
		LFS  *struct {
			OID  string `json:"oid"`
			Size int64  `json:"size"`
		} `json:"lfs"`
	}
	for some := range slices.Chunk(files, atOnce) {
		ask := url.Values{}
		for _, f := range some {
			ask.Add("paths", t.path(f.Name))
		}
		var found []listed
		if _, err := t.client.JSON(ctx, remote.Request{Method: http.MethodPost, URL: t.api("paths-info", at), Body: []byte(ask.Encode()),
			Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}}, &found); err != nil {
			return t.explain(err)
		}
		for _, f := range some {
			i := slices.IndexFunc(found, func(l listed) bool { return l.Path == t.path(f.Name) })
			if i < 0 {
				return fmt.Errorf("the hub does not list %s at commit %.10s", t.path(f.Name), at)
			}
			l := found[i]
			t.mu.Lock()
			known, data := t.files[f.Name], t.small[f.Name]
			t.mu.Unlock()
			want, got := gitName(data), l.OID
			if known.lfs {
				if want = f.SHA256; l.LFS != nil {
					l.Size, got = l.LFS.Size, l.LFS.OID
				}
			}
			if l.Size != f.Size || !strings.EqualFold(got, want) {
				return fmt.Errorf("the hub lists %s at commit %.10s with %d bytes and digest %.64s; it has %d and %s", t.path(f.Name), at, l.Size, got, f.Size, want)
			}
		}
	}
	return nil
}
