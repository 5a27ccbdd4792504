package hub

import (
	"context"
	"crypto/sha1" // the name that git gives to bytes
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"wreg/ingest/remote"
	"wreg/push"
	"wreg/registry/tensor"
)

// atOnce is how many files one question is about.
const atOnce = 256

func encode(v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // made of texts and numbers
	}
	return data
}

func cutID(id string) (org, name string, ok bool) { return strings.Cut(id, "/") }

// survey asks the hub how it wants files, and which of them it has.
func (t *Target) survey(ctx context.Context, files []push.File, revision string) error {
	for some := range slices.Chunk(files, atOnce) {
		found, err := t.modes(ctx, some, revision)
		if err != nil {
			return err
		}
		var lfs []push.File
		for i, f := range found {
			if f.lfs {
				lfs = append(lfs, some[i])
			}
		}
		puts, err := t.batch(ctx, lfs)
		if err != nil {
			return err
		}
		t.mu.Lock()
		for _, f := range found {
			if f.lfs {
				p, missing := puts[f.SHA256]
				if f.held = !missing; missing {
					t.puts[f.SHA256] = p
				}
			}
			t.files[f.Name] = f
		}
		t.mu.Unlock()
	}
	return nil
}

// modes asks which files go to LFS, in the order of files.
func (t *Target) modes(ctx context.Context, files []push.File, revision string) ([]file, error) {
	type asked struct {
		Path   string `json:"path"`
		Size   int64  `json:"size"`
		Sample []byte `json:"sample"`
	}
	var ask struct {
		Files []asked `json:"files"`
	}
	byPath := map[string]int{}
	for i, f := range files {
		byPath[t.path(f.Name)] = i
		ask.Files = append(ask.Files, asked{t.path(f.Name), f.Size, slices.Concat([]byte{}, f.Head)})
	}
	var said struct {
		Files []struct {
			Path   string  `json:"path"`
			Mode   string  `json:"uploadMode"`
			Ignore bool    `json:"shouldIgnore"`
			OID    *string `json:"oid"`
		} `json:"files"`
	}
	if _, err := t.client.JSON(ctx, remote.Request{Method: http.MethodPost, URL: t.api("preupload", revision), Header: asJSON, Body: encode(ask)}, &said); err != nil {
		return nil, t.explain(err)
	}
	out, told := make([]file, len(files)), 0
	for _, s := range said.Files {
		i, ok := byPath[s.Path]
		switch {
		case !ok:
			continue
		case s.Ignore:
			return nil, fmt.Errorf("%s: the repository's .gitignore leaves out %s; nothing was published", t.name, s.Path)
		case s.Mode != "lfs" && s.Mode != "regular":
			return nil, fmt.Errorf("%s: the hub wants %s sent in a way that this wreg does not know: %.40q", t.name, s.Path, s.Mode)
		}
		delete(byPath, s.Path)
		told++
		out[i] = file{File: files[i], lfs: s.Mode == "lfs" && files[i].Size > 0} // stores refuse to take nothing
		if s.OID != nil {
			out[i].was = *s.OID
		}
		if f := out[i]; !f.lfs && f.Size > maxSmall {
			return nil, fmt.Errorf("%s: the hub wants %s, of %d bytes, within the commit; wreg sends files of at most %d so", t.name, s.Path, f.Size, maxSmall)
		}
	}
	if told != len(files) {
		return nil, fmt.Errorf("%s: the hub was asked how it wants %s, and told of %d", t.name, tensor.Count(len(files), "file"), told)
	}
	return out, nil
}

// action is what the hub wants done to have a file.
type action struct {
	Upload, Verify *link
}

// link is where to, and with what.
type link struct {
	Href   string         `json:"href"`
	Header map[string]any `json:"header"`
}

// lfsHeader is what LFS wants to be told.
var lfsHeader = http.Header{"Accept": {"application/vnd.git-lfs+json"}, "Content-Type": {"application/vnd.git-lfs+json"}}

// batch asks where files are to be put; of those that it has the hub says nothing.
func (t *Target) batch(ctx context.Context, files []push.File) (map[string]action, error) {
	if len(files) == 0 {
		return nil, nil
	}
	type object struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	}
	var objects []object
	for _, f := range files {
		objects = append(objects, object{f.SHA256, f.Size})
	}
	ask := map[string]any{"operation": "upload", "transfers": []string{"basic", "multipart"}, "hash_algo": "sha256", "objects": objects,
		"ref": map[string]string{"name": t.branch()}}
	var said struct {
		Objects []struct {
			OID     string  `json:"oid"`
			Size    int64   `json:"size"`
			Actions *action `json:"actions"`
			Error   *struct {
				Code    int    `json:"code"`
				Message string `json:"message"`
			} `json:"error"`
		} `json:"objects"`
	}
	at := t.login.Endpoint + "/" + t.name.ID + ".git/info/lfs/objects/batch"
	if _, err := t.client.JSON(ctx, remote.Request{Method: http.MethodPost, URL: at, Header: lfsHeader, Body: encode(ask)}, &said); err != nil {
		return nil, t.explain(err)
	}
	puts, told := map[string]action{}, map[string]bool{}
	for _, s := range said.Objects {
		i := slices.IndexFunc(files, func(f push.File) bool { return f.SHA256 == s.OID })
		switch {
		case i < 0:
			continue
		case s.Error != nil:
			return nil, fmt.Errorf("%s: the hub does not take %s: %.200q (%d)", t.name, files[i].Name, s.Error.Message, s.Error.Code)
		case s.Size != files[i].Size:
			return nil, fmt.Errorf("%s: the hub says that %s has %d bytes, it has %d", t.name, files[i].Name, s.Size, files[i].Size)
		}
		told[s.OID] = true
		if s.Actions != nil && s.Actions.Upload != nil {
			puts[s.OID] = *s.Actions
		}
	}
	for _, f := range files {
		if !told[f.SHA256] {
			return nil, fmt.Errorf("%s: the hub was asked where to put %s, and did not say", t.name, f.Name)
		}
	}
	return puts, nil
}

// keep reads a small file for the commit.
func (t *Target) keep(f push.File, from io.ReaderAt, moved func(int64)) error {
	data := make([]byte, f.Size)
	if err := tensor.ReadFull(from, data, 0); err != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != f.SHA256 {
		return fmt.Errorf("%s: the file changed while it was read; nothing was published", f.Name)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.small[f.Name] = data
	total := 0
	for _, d := range t.small {
		total += len(d)
	}
	if total > maxCommit {
		return fmt.Errorf("%s: the small files have more than %d bytes in all, and go with one commit; publish fewer of them", t.name, maxCommit)
	}
	moved(f.Size)
	return nil
}

// gitName is what git calls a file.
func gitName(data []byte) string {
	h := sha1.New()
	fmt.Fprintf(h, "blob %d\x00", len(data))
	h.Write(data)
	return hex.EncodeToString(h.Sum(nil))
}
