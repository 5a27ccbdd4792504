// Package oci opens models in registries of OCI artifacts, as places where a checkpoint's
// files lie: of a layer nothing is downloaded but what is read.
//
// Most users need [Names], [Parse], [Connect] and [Open].
//
// Invariants: a name is looked up once, and everything after goes by digests; a manifest
// and a small file are held against their digests before they are used; the login goes
// to the registry and the realm that it names, and never where a blob's redirect leads;
// without TLS only this machine is asked.
package oci

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"wreg/ingest/artifact"
	"wreg/ingest/headers"
	"wreg/ingest/place"
	"wreg/ingest/remote"
)

// accepted are the media types of manifests.
const accepted = "application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.index.v1+json, application/vnd.docker.distribution.manifest.list.v2+json"

// Repo is a repository of a registry.
type Repo struct {
	Name   Name
	Client *remote.Client

	kept *headers.Store
}

// At is the repository that a name is in. Nothing is asked.
func At(client *remote.Client, n Name) *Repo {
	return &Repo{Name: n, Client: client, kept: headers.Cached(remote.Origin(n.base()))}
}

// Open asks for the manifest that address names. Of archives the headers are read, and of other layers nothing.
func Open(ctx context.Context, client *remote.Client, address string) (place.Place, error) {
	n, err := Parse(address)
	if err != nil {
		return nil, err
	}
	r := At(client, n)
	m, digest, err := r.manifest(ctx)
	if err != nil {
		return nil, err
	}
	n.Digest = digest
	files, err := m.Files(func(l artifact.Layer) (place.Blob, error) { return r.layer(ctx, l, l.Digest), nil })
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	at := n.Path
	n.Path = ""
	p, err := artifact.NewPlace(files, at, n.String(), r.open)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", n, err)
	}
	return p, nil
}

// URL is an address of the registry's API below the repository.
func (r *Repo) URL(parts ...string) string {
	return r.Name.base() + "/v2/" + r.Name.Repo + "/" + strings.Join(parts, "/")
}

// manifest asks for what the name leads to; an index of one is followed.
func (r *Repo) manifest(ctx context.Context) (*artifact.Manifest, string, error) {
	reference := r.Name.Digest
	if reference == "" {
		reference = r.Name.Tag
	}
	for range 2 {
		text, digest, err := r.manifestAt(ctx, reference)
		if err != nil {
			return nil, "", err
		}
		m, err := artifact.Parse(text)
		if err != nil {
			return nil, "", fmt.Errorf("%s: %w", r.Name, err)
		}
		if len(m.Manifests) != 1 {
			return m, digest, nil
		}
		reference = m.Manifests[0].Digest
	}
	return nil, "", fmt.Errorf("%s: leads to an index of an index, which is not followed; name the artifact by its digest", r.Name)
}

// manifestAt asks for a manifest by its digest or tag.
func (r *Repo) manifestAt(ctx context.Context, reference string) (text []byte, digest string, err error) {
	var fault error
	for range 2 { // what was damaged on the way may come right when it is asked for once more
		answer, err := r.Client.Do(ctx, remote.Request{Name: r.Name.String(), URL: r.URL("manifests", reference), Header: http.Header{"Accept": {accepted}}, Most: artifact.MaxManifest})
		if err != nil {
			return nil, "", r.Explain(ctx, err)
		}
		sum := sha256.Sum256(answer.Body)
		digest = "sha256:" + hex.EncodeToString(sum[:])
		want := answer.Header.Get("Docker-Content-Digest")
		if strings.Contains(reference, ":") {
			want = reference
		}
		if digest == want || !artifact.IsDigest(want) {
			return answer.Body, digest, nil
		}
		fault = fmt.Errorf("the manifest that came is %s, not %s; what lies between here and the registry changes it", digest, want)
	}
	return nil, "", r.unread(fault)
}

// maxTags bounds the bytes of the list of tags.
const maxTags = 8 << 20

// refusals are the reasons that a registry gives.
type refusals struct {
	Errors []struct{ Code, Message string }
}

// reason is the first of them, as code and text; "" where it gives none.
func reason(err error) (code, text string) {
	status, ok := errors.AsType[*remote.StatusError](err)
	var r refusals
	if !ok || json.Unmarshal(status.Body, &r) != nil || len(r.Errors) == 0 {
		return "", ""
	}
	return r.Errors[0].Code, strings.TrimSpace(printable(r.Errors[0].Code + " " + r.Errors[0].Message))
}

// Code is the code of the reason that a registry gives for a refusal, "" where it gives none.
func Code(err error) string {
	code, _ := reason(err)
	return code
}

// notThere are the codes, next to none, of a manifest that is not there.
var notThere = map[string]bool{"": true, "MANIFEST_UNKNOWN": true, "NAME_UNKNOWN": true, "NOT_FOUND": true}

// Explain says of an answer that is a refusal what it means and what to do; any other error stays as it is.
func (r *Repo) Explain(ctx context.Context, err error) error {
	status, ok := errors.AsType[*remote.StatusError](err)
	if _, said := errors.AsType[*place.Error](err); said {
		return err
	} else if !ok || remote.Origin(status.URL) != remote.Origin(r.Name.base()) {
		return r.unread(err)
	}
	shown := r.Name.reference()
	say := func(format string, a ...any) error {
		return &place.Error{Text: fmt.Sprintf("%s: %s (HTTP %d)", r.Name, fmt.Sprintf(format, a...), status.Status), Cause: err}
	}
	code, text := reason(err)
	switch {
	case status.Status == http.StatusUnauthorized, status.Status == http.StatusForbidden:
		why := ""
		if status.Message != "" {
			why = ": " + printable(status.Message)
		} else if text != "" {
			why = ": " + text
		}
		return say("%s does not let you have it, or has no %s%s; if it is private type: docker login %s", r.Name.Host, r.Name.Repo, why, r.Name.Host)
	case code == "BLOB_UNKNOWN":
		return say("%s no longer has a blob that its manifest names; push the artifact again", r.Name.Host)
	case status.Status == http.StatusNotFound && strings.Contains(status.URL, "/manifests/") && notThere[code]:
		var tags struct{ Tags []string }
		_, err := r.Client.JSON(ctx, remote.Request{Name: r.Name.String(), URL: r.URL("tags", "list"), Most: maxTags}, &tags)
		if none, ok := errors.AsType[*remote.StatusError](err); ok && none.Status == http.StatusNotFound || err == nil && len(tags.Tags) == 0 {
			return say("%s has no repository %s, or nothing in it", r.Name.Host, r.Name.Repo)
		} else if r.Name.Digest != "" {
			return say("there is no such manifest in it any more; name a tag%s", place.DidYouMean(r.Name.Tag, tags.Tags))
		}
		return say("there is no %s%s", shown, place.DidYouMean(r.Name.Tag, tags.Tags))
	}
	if text != "" {
		return say("%s", text)
	}
	return r.unread(err)
}

// unread is an error that says nothing of what is in a file.
func (r *Repo) unread(err error) error {
	text := err.Error()
	if !strings.HasPrefix(text, Scheme) {
		text = r.Name.String() + ": " + text
	}
	return &place.Error{Text: text, Cause: err}
}

// address is what names a file in errors.
func (r *Repo) address(name string) string {
	n := r.Name
	n.Path = name
	return n.String()
}
