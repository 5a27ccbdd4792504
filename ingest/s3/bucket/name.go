package bucket

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
)

// Scheme begins an address of a bucket.
const Scheme = "s3://"

// Name is what an address names: a bucket, and a file or what lies below a prefix in it.
type Name struct {
	Bucket  string
	Key     string // "" for the whole bucket; ends in / where a folder is meant
	Version string // of the file, in a bucket that keeps versions
	Pin     string // a digest of the listing: what is there now is to be the same
}

// maxKey bounds a key, as S3 does.
const maxKey = 1024

var (
	bucketForm  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{1,62}$`)
	pinForm     = regexp.MustCompile(`^[0-9a-f]{32}$`)
	versionForm = regexp.MustCompile(`^[\x21-\x7e]{1,1000}$`)
	tailForm    = regexp.MustCompile(`^(.*)\?(versionId|pin)=([^?]*)$`)
)

// Names reports whether an address is one of a bucket, well written or not.
func Names(address string) bool {
	return len(address) >= len(Scheme) && strings.EqualFold(address[:len(Scheme)], Scheme)
}

// Parse reads s3://BUCKET[/KEY][?versionId=VERSION].
func Parse(address string) (n Name, err error) {
	wrong := func(format string, a ...any) (Name, error) {
		return Name{}, fmt.Errorf("%.200s: %w", strings.ToValidUTF8(address, "?"), fmt.Errorf(format, a...))
	}
	if !Names(address) {
		return wrong("is not an address of a bucket; want %sBUCKET/PREFIX", Scheme)
	}
	rest := address[len(Scheme):]
	if m := tailForm.FindStringSubmatch(rest); m != nil {
		value, err := url.PathUnescape(m[3])
		switch {
		case err == nil && m[2] == "pin" && pinForm.MatchString(value):
			n.Pin = value
		case err == nil && m[2] == "versionId" && versionForm.MatchString(value):
			n.Version = value
		default:
			return wrong("%.100q is no %s", m[3], m[2])
		}
		rest = m[1]
	}
	if strings.HasPrefix(rest, "arn:") {
		return wrong("access points are not supported; want %sBUCKET/PREFIX, where BUCKET may be the access point's alias", Scheme)
	}
	n.Bucket, n.Key, _ = strings.Cut(rest, "/")
	switch {
	case !bucketForm.MatchString(n.Bucket) || strings.Contains(n.Bucket, ".."):
		return wrong("%.100q is not the name of a bucket; want %sBUCKET/PREFIX", n.Bucket, Scheme)
	case len(n.Key) > maxKey:
		return wrong("its key has %d bytes, and a bucket has none longer than %d", len(n.Key), maxKey)
	case strings.Contains(n.Key, `\`) || strings.ContainsFunc(n.Key, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return wrong("a backslash or control character is in its key")
	case n.Version != "" && (n.Key == "" || strings.HasSuffix(n.Key, "/")):
		return wrong("a version is one file's, and this is a folder")
	}
	for part := range strings.SplitSeq(strings.TrimSuffix(n.Key, "/"), "/") {
		if n.Key != "" && (part == "" || part == "." || part == "..") {
			return wrong("%q is a part of its key, which is no path", part)
		}
	}
	return n, nil
}

// String is the address.
func (n Name) String() string {
	text := Scheme + n.Bucket
	if n.Key != "" {
		text += "/" + n.Key
	}
	switch {
	case n.Version != "":
		text += "?versionId=" + url.PathEscape(n.Version)
	case n.Pin != "":
		text += "?pin=" + n.Pin
	}
	return text
}
