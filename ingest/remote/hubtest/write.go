package hubtest

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pushed is what was pushed and what is on its way.
type pushed struct {
	commits int
	uploads int // in parts
	private []string
}

// writes are what a hub answers that can be pushed to.
var writes = []struct {
	form   *regexp.Regexp
	answer func(x *exchange, m []string, body []byte)
}{
	{regexp.MustCompile(`^/api/repos/create$`), (*exchange).create},
	{regexp.MustCompile(`^/api/models/([^/]+/[^/]+)/branch/(.+)$`), (*exchange).branch},
	{regexp.MustCompile(`^/api/models/([^/]+/[^/]+)/preupload/(.+)$`), (*exchange).preupload},
	{regexp.MustCompile(`^/([^/]+/[^/]+)\.git/info/lfs/objects/batch$`), (*exchange).batch},
	{regexp.MustCompile(`^/_complete/([0-9a-f]{64})/([0-9]+)$`), (*exchange).complete},
	{regexp.MustCompile(`^/_verify$`), (*exchange).verify},
	{regexp.MustCompile(`^/api/models/([^/]+/[^/]+)/commit/(.+)$`), (*exchange).commit},
}

// asked bounds what is read of a request.
const asked = 64 << 20

// write answers what changes something; false when the request is none of these.
func (x *exchange) write() bool {
	if x.h.o.Store == "" || x.r.Method != http.MethodPost {
		return false
	}
	for _, route := range writes {
		if m := route.form.FindStringSubmatch(x.r.URL.Path); m != nil {
			body, _ := io.ReadAll(io.LimitReader(x.r.Body, asked))
			if x.h.o.Token != "" && !x.known() {
				x.refuse(401, "", "Invalid username or password.")
				return true
			}
			route.answer(x, m, body)
			return true
		}
	}
	return false
}

func (x *exchange) create(_ []string, body []byte) {
	var v struct{ Organization, Name, Visibility string }
	json.Unmarshal(body, &v)
	repo := v.Organization + "/" + v.Name
	if x.h.has(repo) {
		x.refuse(409, "", "You already created this model repo")
		return
	}
	if v.Visibility == "private" {
		x.h.mu.Lock()
		x.h.pushed.private = append(x.h.pushed.private, repo)
		x.h.mu.Unlock()
	}
	if err := x.h.land(repo, "main", nil, nil); err != nil {
		x.refuse(500, "", err.Error())
		return
	}
	x.json(nil, map[string]string{"url": x.h.URL + "/" + repo, "name": repo})
}

func (x *exchange) branch(m []string, _ []byte) {
	f := x.h.revision(m[1], "main")
	if f == nil {
		x.refuse(404, "RepoNotFound", "Repository not found")
		return
	}
	if err := x.h.land(m[1], m[2], f, nil); err != nil {
		x.refuse(500, "", err.Error())
		return
	}
	x.json(nil, map[string]string{})
}

func (x *exchange) preupload(m []string, body []byte) {
	var v struct {
		Files []struct {
			Path   string
			Size   int64
			Sample []byte
		}
	}
	json.Unmarshal(body, &v)
	f := x.folder(m[1], m[2], false)
	if f == nil {
		return
	}
	type answer struct {
		Path   string `json:"path"`
		Mode   string `json:"uploadMode"`
		Ignore bool   `json:"shouldIgnore"`
		OID    string `json:"oid,omitempty"`
	}
	var out []answer
	for _, file := range v.Files {
		a := answer{Path: file.Path, Mode: "regular"}
		if x.h.large(fileOf(file.Path, file.Size)) || bytes.IndexByte(file.Sample, 0) >= 0 {
			a.Mode = "lfs"
		}
		if e, ok := f.find(file.Path); ok {
			it := x.item(f, e)
			if a.OID = it.OID; it.LFS != nil {
				a.OID = it.LFS.OID
			}
		}
		out = append(out, a)
	}
	x.json(nil, map[string]any{"files": out})
}

func fileOf(name string, size int64) file { return file{name: name, size: size} }

func (h *Hub) lfsPath(oid string) string { return filepath.Join(h.o.Store, "lfs", oid) }

// signedUpload is where a file, or part of it, is to be put.
func (h *Hub) signedUpload(oid, part string) string {
	where, expires := "/upload/"+oid+part, time.Now().Add(h.o.Expires).Unix()
	q := url.Values{"Expires": {strconv.FormatInt(expires, 10)}, "Signature": {h.sign("PUT "+where, expires)}}
	return h.CDN + where + "?" + q.Encode()
}

func (x *exchange) batch(_ []string, body []byte) {
	type object struct {
		OID     string         `json:"oid"`
		Size    int64          `json:"size"`
		Actions map[string]any `json:"actions,omitempty"`
	}
	var v struct{ Objects []object }
	json.Unmarshal(body, &v)
	for i := range v.Objects {
		o := &v.Objects[i]
		if _, err := os.Stat(x.h.lfsPath(o.OID)); err == nil {
			continue
		}
		upload := map[string]any{"href": x.h.signedUpload(o.OID, "")}
		if part := x.h.o.Part; part > 0 && o.Size > part {
			x.h.mu.Lock()
			x.h.pushed.uploads++
			id := strconv.Itoa(x.h.pushed.uploads)
			x.h.mu.Unlock()
			header := map[string]string{"chunk_size": strconv.FormatInt(part, 10)}
			for k := range (o.Size + part - 1) / part {
				n := strconv.FormatInt(k+1, 10)
				header[fmt.Sprintf("%05d", k+1)] = x.h.signedUpload(o.OID, "/"+id+"/"+n)
			}
			upload = map[string]any{"href": x.h.URL + "/_complete/" + o.OID + "/" + id, "header": header}
		}
		o.Actions = map[string]any{"upload": upload, "verify": map[string]any{"href": x.h.URL + "/_verify"}}
	}
	x.json(nil, map[string]any{"transfer": "basic", "objects": v.Objects})
}

var uploadPath = regexp.MustCompile(`^/upload/([0-9a-f]{64})(?:/([0-9]+)/([0-9]+))?$`)

// upload takes a file, or a part of one.
func (x *exchange) upload() {
	m, q := uploadPath.FindStringSubmatch(x.r.URL.Path), x.r.URL.Query()
	expires, err := strconv.ParseInt(q.Get("Expires"), 10, 64)
	switch {
	case x.h.o.Store == "" || m == nil:
		x.xml(404, "NoSuchKey", "The specified key does not exist.")
		return
	case x.entry.Token:
		x.xml(400, "InvalidArgument", "Only one auth mechanism allowed")
		return
	case err != nil || q.Get("Signature") != x.h.sign("PUT "+x.r.URL.Path, expires):
		x.xml(403, "AccessDenied", "Access denied")
		return
	case time.Now().Unix() > expires:
		x.xml(403, "AccessDenied", "Request has expired")
		return
	case x.r.ContentLength < 0:
		x.xml(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
		return
	}
	to := x.h.lfsPath(m[1])
	if m[2] != "" {
		to = x.h.partPath(m[1], m[2], m[3])
	}
	sum, err := x.keep(to)
	switch {
	case err != nil:
		x.xml(400, "IncompleteBody", err.Error())
		return
	case m[2] == "" && sum != m[1]:
		os.Remove(to)
		x.xml(400, "BadDigest", "The content does not have the SHA-256 that it is named by.")
		return
	case x.fault.is("lost"):
		os.Remove(to)
	}
	x.answer(200, http.Header{"Etag": {`"` + sum[:32] + `"`}}, "text/plain", nil)
}

func (h *Hub) partPath(oid, id, part string) string {
	return filepath.Join(h.o.Store, "parts", oid, id, part)
}

// keep stores the body of a request; a fault may end it half-way.
func (x *exchange) keep(to string) (sum string, err error) {
	if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
		return "", err
	}
	f, err := os.CreateTemp(filepath.Dir(to), ".tmp-*")
	if err != nil {
		return "", err
	}
	defer os.Remove(f.Name())
	s := sha256.New()
	n, err := io.Copy(io.MultiWriter(f, s), x.r.Body)
	if err == nil && n != x.r.ContentLength {
		err = fmt.Errorf("%d bytes came of %d", n, x.r.ContentLength)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", err
	}
	return hex.EncodeToString(s.Sum(nil)), os.Rename(f.Name(), to)
}

func (x *exchange) complete(m []string, body []byte) {
	var v struct {
		OID   string
		Parts []struct {
			PartNumber int
			Etag       string
		}
	}
	json.Unmarshal(body, &v)
	f, err := os.CreateTemp(x.h.o.Store, ".tmp-*")
	if err != nil {
		x.refuse(500, "", err.Error())
		return
	}
	defer os.Remove(f.Name())
	s := sha256.New()
	for i, p := range v.Parts {
		data, err := os.ReadFile(x.h.partPath(m[1], m[2], strconv.Itoa(p.PartNumber)))
		own := sha256.Sum256(data)
		if err != nil || p.PartNumber != i+1 || strings.Trim(p.Etag, `"`) != hex.EncodeToString(own[:])[:32] {
			f.Close()
			x.refuse(400, "", fmt.Sprintf("InvalidPart: part %d of upload %s", p.PartNumber, m[2]))
			return
		}
		f.Write(data)
		s.Write(data)
	}
	if f.Close(); hex.EncodeToString(s.Sum(nil)) != m[1] {
		x.refuse(400, "", "the parts do not have the SHA-256 that was announced")
		return
	}
	os.MkdirAll(filepath.Dir(x.h.lfsPath(m[1])), 0o777)
	os.Rename(f.Name(), x.h.lfsPath(m[1]))
	x.json(nil, map[string]any{})
}

func (x *exchange) verify(_ []string, body []byte) {
	var v struct {
		OID  string
		Size int64
	}
	json.Unmarshal(body, &v)
	if info, err := os.Stat(x.h.lfsPath(v.OID)); err != nil || info.Size() != v.Size {
		x.refuse(404, "", "Object does not exist")
		return
	}
	x.json(nil, map[string]any{})
}

// operation is a line of a commit.
type operation struct {
	Key   string
	Value struct {
		Path, Content, OID, Summary, ParentCommit string
	}
}

func (x *exchange) commit(m []string, body []byte) {
	f := x.folder(m[1], m[2], false)
	if f == nil {
		return
	}
	var ops []operation
	for line := range bytes.Lines(body) {
		var op operation
		if err := json.Unmarshal(line, &op); err != nil {
			x.refuse(400, "", "a line of the commit is not JSON")
			return
		}
		if op.Key == "header" && op.Value.ParentCommit != "" && op.Value.ParentCommit != f.commit {
			x.refuse(412, "", "A commit has happened since. Please refresh and try again.")
			return
		}
		ops = append(ops, op)
	}
	if err := x.h.land(m[1], f.name, f, ops); err != nil {
		x.refuse(400, "", err.Error())
		return
	}
	at := x.h.revision(m[1], f.name).commit
	if x.fault.is("lostanswer") {
		panic(http.ErrAbortHandler)
	}
	x.json(http.Header{"X-Repo-Commit": {at}}, map[string]any{"success": true, "commitOid": at, "commitUrl": x.h.URL + "/" + m[1] + "/commit/" + at})
}

// land makes a revision what it was and what the operations do to that.
func (h *Hub) land(repo, name string, was *folder, ops []operation) error {
	h.mu.Lock()
	h.pushed.commits++
	dir := filepath.Join(h.o.Store, "commits", strconv.Itoa(h.pushed.commits))
	h.mu.Unlock()
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if was != nil {
		if err := os.CopyFS(dir, was.fs); err != nil {
			return err
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	for _, op := range ops {
		var data []byte
		switch op.Key {
		case "header":
			continue
		case "file":
			data, err = base64.StdEncoding.DecodeString(op.Value.Content)
		case "lfsFile":
			data, err = os.ReadFile(h.lfsPath(op.Value.OID))
		case "deletedFile":
			err = root.Remove(op.Value.Path)
		default:
			err = fmt.Errorf("operation %q is not known", op.Key)
		}
		if err != nil {
			return err
		}
		if op.Key != "deletedFile" {
			if err := errors.Join(root.MkdirAll(filepath.Dir(op.Value.Path), 0o777), root.WriteFile(op.Value.Path, data, 0o666)); err != nil {
				return err
			}
		}
	}
	f := &folder{repo: repo, name: name, fs: os.DirFS(dir)}
	if err := h.survey(f); err != nil {
		return err
	}
	label := repo
	if name != "main" {
		label += "@" + name
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.folders[label] = f
	for key := range h.sums {
		if strings.HasPrefix(key, repo+"@"+name+"/") {
			delete(h.sums, key)
		}
	}
	return nil
}

// Read gives a file of a repository, by ORG/NAME or ORG/NAME@REVISION.
func (h *Hub) Read(label, name string) ([]byte, error) {
	f := h.labelled(label)
	if f == nil {
		return nil, fmt.Errorf("%s: %w", label, fs.ErrNotExist)
	}
	return fs.ReadFile(f.fs, name)
}

// Private reports a repository that is not there without the token.
func (h *Hub) Private(repo string) bool { return h.has(repo) && h.isPrivate(repo) }

// isPrivate reports a repository that is not there without the token.
func (h *Hub) isPrivate(repo string) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Contains(h.o.Private, repo) || slices.Contains(h.pushed.private, repo)
}
