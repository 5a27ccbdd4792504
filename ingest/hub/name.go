package hub

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Name is what an address of the hub names: a model's repository, a revision of it, and
// a file or folder in that.
type Name struct {
	ID       string // org/name
	Revision string // "" for the branch main
	Path     string // "" for the whole repository
}

// Scheme begins an address of the hub.
const Scheme = "hf://"

// other are the kinds of repositories that are no models.
var other = map[string]string{
	"datasets": "datasets", "spaces": "spaces", "buckets": "buckets", "kernels": "kernels",
	"dataset": "datasets", "space": "spaces", "bucket": "buckets", "kernel": "kernels",
}

// A revision ends at the first slash, but for those of the hub's own that hold two.
var specialRef = regexp.MustCompile(`^refs/(?:convert/[\w.-]+|pr/\d+)`)

var namePart = regexp.MustCompile(`^[A-Za-z0-9_][\w.-]*$`)

// maxID bounds org/name, as the hub does; maxPath the rest.
const (
	maxID   = 96
	maxPath = 4096
)

// views are the routes of the hub's pages that lead to a file or folder.
var views = []string{"tree", "resolve", "blob", "raw", "blame"}

// Names reports whether an address is one of the hub, well written or not: hf://…, or a
// page of huggingface.co, hf.co or $HF_ENDPOINT.
func Names(address string) bool {
	if len(address) >= len(Scheme) && strings.EqualFold(address[:len(Scheme)], Scheme) {
		return true
	}
	_, ok := onSite(address)
	return ok
}

// onSite is the path of a page of the hub, still encoded.
func onSite(address string) (path string, ok bool) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return "", false
	}
	path = u.EscapedPath()
	if slices.Contains([]string{"huggingface.co", "www.huggingface.co", "hf.co"}, strings.ToLower(u.Hostname())) {
		return path, true
	}
	site, err := url.Parse(endpoint())
	if err != nil || !strings.EqualFold(site.Host, u.Host) {
		return "", false
	}
	path, ok = strings.CutPrefix(path, strings.TrimRight(site.EscapedPath(), "/"))
	return path, ok && (path == "" || path[0] == '/')
}

// Parse reads hf://[models/]ORG/NAME[@REVISION][/PATH] or the address of a page that shows
// such a repository, or a file or folder of it.
func Parse(address string) (Name, error) {
	n, err := parse(address)
	if err != nil {
		return Name{}, fmt.Errorf("%s: %w", address, err)
	}
	return n, nil
}

func parse(address string) (n Name, err error) {
	if len(address) > maxPath || strings.ContainsFunc(address, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return n, fmt.Errorf("is not an address of the hub: it is longer than %d bytes, or holds control characters", maxPath)
	}
	var rest string
	if path, ok := onSite(address); ok {
		if rest, err = fromPage(path); err != nil {
			return n, err
		}
	} else if len(address) >= len(Scheme) && strings.EqualFold(address[:len(Scheme)], Scheme) {
		rest = address[len(Scheme):]
	} else {
		return n, fmt.Errorf("is not an address of the hub; want %sORG/NAME[@REVISION][/PATH]", Scheme)
	}
	rest = strings.Trim(rest, "/")
	first, after, _ := strings.Cut(rest, "/")
	if kind := other[first]; kind != "" {
		return n, fmt.Errorf("names one of the hub's %s; wreg reads models only", kind)
	} else if first == "models" {
		rest = after
	} else if first == "model" {
		return n, fmt.Errorf("the hub's prefix is models/: type %smodels/%s", Scheme, after)
	}
	id, where, marked := strings.Cut(rest, "@")
	if strings.Count(id, "/") > 1 { // an @ further on belongs to a file's name
		id, where, marked = rest, "", false
		parts := strings.SplitN(rest, "/", 3)
		id, where = parts[0]+"/"+parts[1], parts[2]
		n.Path = where
	} else if marked {
		if n.Revision, n.Path, err = splitRevision(where); err != nil {
			return n, err
		}
	}
	if n.ID = id; strings.Count(id, "/") != 1 {
		return n, fmt.Errorf("%q is not the name of a repository: want ORG/NAME, as in %sopenai-community/gpt2", id, Scheme)
	}
	for part := range strings.SplitSeq(id, "/") {
		if !namePart.MatchString(part) {
			return n, fmt.Errorf("%q is not the name of a repository: want ORG/NAME of letters, digits, dots, - and _", id)
		}
	}
	if len(id) > maxID || strings.Contains(id, "--") || strings.Contains(id, "..") || strings.HasSuffix(id, ".git") || strings.HasSuffix(id, ".") || strings.HasSuffix(id, "-") {
		return n, fmt.Errorf("%q is not the name of a repository: the hub has none with -- or .. in it, none that ends in .git, - or a dot, and none of more than %d letters", id, maxID)
	}
	for part := range strings.SplitSeq(n.Path, "/") {
		if n.Path != "" && (part == "" || part == "." || part == ".." || strings.Contains(part, `\`)) {
			return n, fmt.Errorf("%q is not a path in a repository", n.Path)
		}
	}
	return n, nil
}

// splitRevision splits what follows the @: a slash that belongs to a revision is %2F,
// but in refs/pr/N and refs/convert/NAME.
func splitRevision(text string) (revision, path string, err error) {
	if special := specialRef.FindString(text); special != "" && (len(text) == len(special) || text[len(special)] == '/') {
		return special, strings.TrimPrefix(text[len(special):], "/"), nil
	}
	text, path, _ = strings.Cut(text, "/")
	revision, err = url.PathUnescape(text)
	switch {
	case err != nil:
		return "", "", fmt.Errorf("revision %q: %w", text, err)
	case revision == "":
		return "", "", fmt.Errorf("no revision follows the @; leave it out for the branch main")
	case strings.Contains(revision, "..") || strings.Trim(revision, "/") != revision || strings.ContainsFunc(revision, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`\~^:?*[`, r) }):
		return "", "", fmt.Errorf("%q is not the name of a branch, tag or commit", revision)
	}
	return revision, path, nil
}

// fromPage turns the path of a page into what follows hf://.
func fromPage(path string) (string, error) {
	var parts []string
	for part := range strings.SplitSeq(path, "/") {
		if part == "" {
			continue
		}
		text, err := url.PathUnescape(part)
		if err != nil {
			return "", err
		}
		parts = append(parts, strings.ReplaceAll(text, "/", "%2F"))
	}
	prefix := ""
	if len(parts) > 0 && (parts[0] == "models" || other[parts[0]] != "") {
		prefix, parts = parts[0]+"/", parts[1:]
	}
	switch {
	case len(parts) < 2 || slices.Contains(views, parts[1]):
		return "", fmt.Errorf("names no repository: want the page of one, ORG/NAME")
	case len(parts) == 2:
		return prefix + parts[0] + "/" + parts[1], nil
	case prefix != "" && prefix != "models/":
		return prefix, nil // refused, by its kind
	case !slices.Contains(views, parts[2]):
		return "", fmt.Errorf("the page %s/… shows neither a file nor a folder; want one of tree, resolve or blob", parts[2])
	case len(parts) == 3:
		return prefix + parts[0] + "/" + parts[1], nil
	}
	return prefix + parts[0] + "/" + parts[1] + "@" + strings.Join(parts[3:], "/"), nil
}

// String is the address that names the same, in one spelling.
func (n Name) String() string {
	text := Scheme + n.ID
	if n.Revision != "" {
		text += "@" + n.escaped()
	}
	if n.Path != "" {
		text += "/" + n.Path
	}
	return text
}

func (n Name) escaped() string {
	if specialRef.FindString(n.Revision) == n.Revision {
		return n.Revision
	}
	return strings.ReplaceAll(strings.ReplaceAll(n.Revision, "%", "%25"), "/", "%2F")
}
