package hub

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"

	"wreg/ingest/remote"
	"wreg/ingest/shards"
)

// A listing that comes with the commit may be cut short without a word: from trusted entries on it is not used.
const trusted = 1000

// What the hub may answer.
const (
	maxListing = 64 << 20 // bytes of a listing that is not paged
	maxPage    = 16 << 20 // bytes of a page
	maxEntries = 100_000
	maxPages   = 2001 // the smallest page that the hub sends has 50 entries
)

// entry is a file as the hub lists it.
type entry struct {
	size   int64
	sha256 string // hex, of an LFS file; "" when none is declared
	blob   string // hex, git's own name of the bytes of a file that is not in LFS
}

// listing is what a revision holds.
type listing struct {
	commit string
	files  map[string]entry
	tree   bool // asked page by page, so that it is complete
}

type sibling struct {
	Name string `json:"rfilename"`
	Size *int64 `json:"size"`
	Blob string `json:"blobId"`
	LFS  *struct {
		SHA256 string `json:"sha256"`
		Size   int64  `json:"size"`
	} `json:"lfs"`
}

type treeEntry struct {
	Type string `json:"type"`
	Path string `json:"path"`
	Size int64  `json:"size"`
	OID  string `json:"oid"`
	LFS  *struct {
		OID  string `json:"oid"`
		Size int64  `json:"size"`
	} `json:"lfs"`
}

var (
	hex40 = regexp.MustCompile(`^[0-9a-f]{40}$`)
	hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)
)

// api is the address of what the hub knows of the repository.
func (r *Repo) api(parts ...string) string {
	text := r.login.Endpoint + "/api/models/" + r.name.ID
	for _, p := range parts {
		text += "/" + url.PathEscape(p)
	}
	return text
}

// ask lists the revision: in one request, or where that cannot be used by pages.
func (r *Repo) ask(ctx context.Context) (*listing, error) {
	var info struct {
		SHA      string    `json:"sha"`
		Siblings []sibling `json:"siblings"`
	}
	at := r.api("revision", cmp.Or(r.name.Revision, "main"))
	_, err := r.client.JSON(ctx, remote.Request{Name: r.name.String(), URL: at + "?blobs=true", Most: maxListing}, &info)
	short := err == nil && len(info.Siblings) < trusted
	if status, ok := errors.AsType[*remote.StatusError](err); ok && (status.Status == http.StatusRequestEntityTooLarge || status.Status >= 500) {
		info.Siblings = nil
		_, err = r.client.JSON(ctx, remote.Request{Name: r.name.String(), URL: at + "?expand=sha", Most: maxListing}, &info)
	}
	if err != nil {
		return nil, r.explain(ctx, err)
	}
	if !hex40.MatchString(info.SHA) {
		return nil, fmt.Errorf("%s: %s says of its commit %.60q, which is no commit: is it a hub?", r.name, r.login.Endpoint, info.SHA)
	}
	l := &listing{commit: info.SHA, files: make(map[string]entry, len(info.Siblings))}
	for _, s := range info.Siblings {
		e := entry{size: -1, blob: s.Blob}
		if s.Size != nil {
			e.size = *s.Size
		}
		if s.LFS != nil {
			e = entry{size: s.LFS.Size, sha256: s.LFS.SHA256}
		}
		if short = short && e.size >= 0; !short {
			break
		}
		if err := l.add(s.Name, e); err != nil {
			return nil, fmt.Errorf("%s: %w", r.name, err)
		}
	}
	if short && l.plausible(r.name.Path) {
		return l, nil
	}
	return r.askTree(ctx, l.commit)
}

// plausible reports that nothing seems to be missing from a listing that may be cut short.
func (l *listing) plausible(at string) bool {
	var weights []string
	for name := range l.files {
		if shards.FamilyOf(name) != nil {
			weights = append(weights, name)
		}
	}
	if at != "" && len(l.under(at)) == 0 {
		return false
	}
	slices.Sort(weights)
	for _, set := range shards.Sets(weights) {
		if _, of, _ := shards.PartOf(set.Files[0]); len(set.Files) < of {
			return false
		}
	}
	return len(weights) > 0
}

// under lists a file, or the files below a folder.
func (l *listing) under(at string) (names []string) {
	for name := range l.files {
		if name == at || strings.HasPrefix(name, at+"/") {
			names = append(names, name)
		}
	}
	return names
}

// askTree lists a commit by pages.
func (r *Repo) askTree(ctx context.Context, commit string) (*listing, error) {
	l := &listing{commit: commit, files: map[string]entry{}, tree: true}
	asked := map[string]bool{}
	at := r.api("tree", commit) + "?recursive=true&expand=false"
	for at != "" {
		if asked[at] || len(asked) == maxPages {
			return nil, fmt.Errorf("%s: the listing of its files leads in a circle: page %d has the address of one before it, or is one of more than %d", r.name, len(asked)+1, maxPages)
		}
		asked[at] = true
		var page []treeEntry
		answer, err := r.client.JSON(ctx, remote.Request{Name: r.name.String(), URL: at, Most: maxPage}, &page)
		if err != nil {
			return nil, r.explain(ctx, err)
		}
		for _, e := range page {
			if e.Type == "file" {
				err = l.add(e.Path, e.entry())
			}
			if err != nil {
				return nil, fmt.Errorf("%s: %w", r.name, err)
			}
		}
		if at, err = r.next(at, answer.Header); err != nil {
			return nil, err
		}
	}
	return l, nil
}

func (e treeEntry) entry() entry {
	if e.LFS != nil {
		return entry{size: e.LFS.Size, sha256: e.LFS.OID}
	}
	return entry{size: e.Size, blob: e.OID}
}

var nextLink = regexp.MustCompile(`<([^<>]*)>\s*;[^,<]*\brel="?next"?`)

// next is the address of the page after this one, "" when it was the last. It leads to the hub.
func (r *Repo) next(at string, header http.Header) (string, error) {
	m := nextLink.FindStringSubmatch(strings.Join(header.Values("Link"), ", "))
	if m == nil {
		return "", nil
	}
	base, err := url.Parse(at)
	if err != nil {
		return "", err
	}
	to, err := base.Parse(m[1])
	if err != nil {
		return "", fmt.Errorf("%s: the listing of its files goes on at %.200q, which is no address", r.name, m[1])
	}
	text := to.String()
	if o := originOf(text); o != originOf(r.login.Endpoint) {
		if o != originOf(site) {
			return "", fmt.Errorf("%s: the listing of its files goes on at %s, which is not the hub %s", r.name, o, r.login.Endpoint)
		}
		text = r.login.Endpoint + strings.TrimPrefix(text, to.Scheme+"://"+to.Host) // a mirror that passes on what the hub says
	}
	return text, nil
}

// add takes a file into a listing. A name that is no path of a repository is refused, whatever else is there.
func (l *listing) add(name string, e entry) error {
	switch {
	case name == "" || name == "." || path.Clean(name) != name || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../"):
		return fmt.Errorf("lists a file called %.100q, which is no path in a repository", name)
	case strings.Contains(name, `\`) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("lists a file called %.100q: a backslash or control character is in its name", name)
	case len(name) > maxPath:
		return fmt.Errorf("lists a file whose name has %d bytes, more than %d", len(name), maxPath)
	case e.size < 0:
		return fmt.Errorf("lists %q with a size of %d bytes", name, e.size)
	}
	if _, twice := l.files[name]; twice {
		return fmt.Errorf("lists %q twice", name)
	}
	if len(l.files) == maxEntries {
		return fmt.Errorf("lists more than %d files; download the folder that is meant, and name that", maxEntries)
	}
	if !hex64.MatchString(e.sha256) {
		e.sha256 = ""
	}
	if !hex40.MatchString(e.blob) {
		e.blob = ""
	}
	l.files[name] = e
	return nil
}

// find asks for one file that the listing does not have: it may have been cut short.
func (r *Repo) find(ctx context.Context, name string) (entry, error) {
	gone := fmt.Errorf("%s: %w at commit %.10s", r.address(name), fs.ErrNotExist, r.list.commit)
	if r.list.tree {
		return entry{}, gone
	}
	var found []treeEntry
	_, err := r.client.JSON(ctx, remote.Request{
		Name: r.address(name), Method: http.MethodPost, URL: r.api("paths-info", r.list.commit), Most: maxPage,
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}, Body: []byte(url.Values{"paths": {name}}.Encode()),
	}, &found)
	if status, ok := errors.AsType[*remote.StatusError](err); ok && status.Status == http.StatusNotFound {
		return entry{}, gone
	} else if err != nil {
		return entry{}, r.explain(ctx, err)
	}
	for _, e := range found {
		if e.Path == name && e.Type == "file" {
			return e.entry(), nil
		}
	}
	return entry{}, gone
}
