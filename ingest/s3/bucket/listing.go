package bucket

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"wreg/ingest/remote"
)

// What a listing may say.
const (
	MaxEntries = 100_000
	maxPages   = 2001 // a page may be short of what it could hold
	maxETag    = 256
)

// Object is a file of a bucket as the store tells of it.
type Object struct {
	Key      string
	Size     int64
	ETag     string // with its quotes, "" when the store has none
	Modified time.Time
	Version  string // where it was asked for by name, and the bucket keeps versions
	SHA256   string // hex, declared of the whole file; only where it was asked for by name
	Checksum string // x-amz-checksum-sha256, as the store writes it; only where it was asked for by name
	Summed   bool   // the listing says that the store holds a SHA-256 of it
}

// Validator is what says that the file is the same: its ETag, else when it was written.
func (o Object) Validator() string {
	return cmp.Or(o.ETag, o.Modified.UTC().Format(time.RFC3339Nano))
}

// page is a page of a listing.
type page struct {
	EncodingType          string
	IsTruncated           bool
	NextContinuationToken string
	Contents              []struct {
		Key               string
		Size              *int64
		ETag              string
		LastModified      string
		ChecksumAlgorithm []string
		ChecksumType      string
	}
	CommonPrefixes []struct{ Prefix string }
}

// List names the files that lie directly below a prefix, which is "" or ends in a slash, and the folders there,
// without their slash. Both are sorted, and named by what comes after the prefix.
func (b *Bucket) List(ctx context.Context, prefix string) (files []Object, folders []string, err error) {
	wrong := func(format string, a ...any) error {
		return fmt.Errorf("%s: the listing %w", Name{Bucket: b.Name, Key: prefix}, fmt.Errorf(format, a...))
	}
	query := url.Values{"list-type": {"2"}, "delimiter": {"/"}, "encoding-type": {"url"}, "prefix": {prefix}}
	asked := map[string]bool{}
	for {
		var p page
		if _, err := b.XML(ctx, Request{About: prefix, Query: query}, &p); err != nil {
			return nil, nil, err
		}
		name := func(text string) (string, error) {
			if p.EncodingType == "url" {
				if text, err = url.QueryUnescape(text); err != nil {
					return "", wrong("has a name that is not encoded as it says: %w", err)
				}
			}
			inside, ok := strings.CutPrefix(text, prefix)
			if !ok || strings.Contains(strings.TrimSuffix(inside, "/"), "/") {
				return "", wrong("has %.100q, which does not lie directly below %q", text, prefix)
			}
			return inside, nil
		}
		for _, c := range p.Contents {
			o := Object{ETag: c.ETag, Summed: slices.Contains(c.ChecksumAlgorithm, "SHA256") && c.ChecksumType != "COMPOSITE"}
			if o.Key, err = name(c.Key); err != nil {
				return nil, nil, err
			}
			if o.Key == "" {
				continue // what some tools leave in place of a folder
			}
			if c.Size == nil || *c.Size < 0 || len(c.ETag) > maxETag {
				return nil, nil, wrong("gives no size of %.100q, or an ETag of more than %d bytes", o.Key, maxETag)
			}
			o.Size = *c.Size
			if o.Modified, err = time.Parse(time.RFC3339Nano, c.LastModified); err != nil && o.ETag == "" {
				return nil, nil, wrong("says neither of which content %.100q is nor when it was written", o.Key)
			}
			files = append(files, o)
		}
		for _, c := range p.CommonPrefixes {
			folder, err := name(c.Prefix)
			if err != nil {
				return nil, nil, err
			}
			if folder = strings.TrimSuffix(folder, "/"); folder != "" {
				folders = append(folders, folder)
			}
		}
		if len(files)+len(folders) > MaxEntries {
			return nil, nil, wrong("has more than %d entries; name the folder that is meant", MaxEntries)
		}
		token := p.NextContinuationToken
		switch {
		case !p.IsTruncated:
			slices.SortFunc(files, func(a, b Object) int { return cmp.Compare(a.Key, b.Key) })
			slices.Sort(folders)
			return files, folders, nil
		case token == "":
			return nil, nil, wrong("is cut short: it goes on and does not say where")
		case asked[token] || len(asked) == maxPages:
			return nil, nil, wrong("leads in a circle, or has more than %d pages", maxPages)
		}
		asked[token] = true
		query.Set("continuation-token", token)
	}
}

// Head asks of one file what the store knows of it; what is not there is fs.ErrNotExist.
func (b *Bucket) Head(ctx context.Context, key, version string) (Object, error) {
	query := url.Values{}
	if version != "" {
		query.Set("versionId", version)
	}
	at := Name{Bucket: b.Name, Key: key, Version: version}
	head := Request{Method: http.MethodHead, Key: key, Query: query, Header: http.Header{"X-Amz-Checksum-Mode": {"ENABLED"}}}
	a, err := b.Do(ctx, head)
	if status := statusOf(err); status != 0 && status != http.StatusNotFound {
		// An answer to HEAD has no body, which is where the reason is, and the region.
		was := b.lies()
		if _, why := b.Do(ctx, Request{Key: key, Query: query, Header: http.Header{"Range": {"bytes=0-0"}}}); why != nil {
			err = why
		} else if b.lies() != was {
			a, err = b.Do(ctx, head)
		}
	}
	if statusOf(err) == http.StatusNotFound && !Refused(err, "NoSuchBucket") {
		return Object{}, fmt.Errorf("%s: %w", at, fs.ErrNotExist)
	} else if err != nil {
		return Object{}, err
	}
	h := a.Header
	o := Object{Key: key, ETag: h.Get("ETag"), Version: h.Get("X-Amz-Version-Id"), SHA256: Declared(h), Checksum: h.Get("X-Amz-Checksum-Sha256")}
	if o.Version == "null" || !versionForm.MatchString(o.Version) {
		o.Version = ""
	}
	if o.Size, err = strconv.ParseInt(h.Get("Content-Length"), 10, 64); err != nil || o.Size < 0 || len(o.ETag) > maxETag {
		return Object{}, fmt.Errorf("%s: the store gives no size of it, or an ETag of more than %d bytes", at, maxETag)
	}
	if o.Modified, err = http.ParseTime(h.Get("Last-Modified")); err != nil && o.ETag == "" {
		return Object{}, fmt.Errorf("%s: the store says neither of which content it is nor when it was written", at)
	}
	return o, nil
}

// statusOf is the status of an answer that refuses, 0 for any other error.
func statusOf(err error) int {
	if e, ok := errors.AsType[*remote.StatusError](err); ok {
		return e.Status
	}
	return 0
}

var hex64 = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Digest is the header under which a file's own SHA-256 is kept beside it.
const Digest = "X-Amz-Meta-Sha256"

// Declared is the SHA-256 that an answer declares of the whole file, in hex, "" for none. What S3 calls the
// checksum of a file that came in parts is one of checksums, and none of the file.
func Declared(h http.Header) string {
	if sum, err := base64.StdEncoding.DecodeString(h.Get("X-Amz-Checksum-Sha256")); err == nil && len(sum) == sha256.Size && h.Get("X-Amz-Checksum-Type") != "COMPOSITE" {
		return hex.EncodeToString(sum)
	}
	if text := strings.ToLower(h.Get(Digest)); hex64.MatchString(text) {
		return text
	}
	return ""
}
