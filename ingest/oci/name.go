package oci

import (
	"fmt"
	"net"
	"strings"

	"oras.land/oras-go/v2/registry"

	"wreg/ingest/artifact"
	"wreg/ingest/place"
)

// Scheme begins the addresses of artifacts of a registry.
const Scheme = "oci://"

const (
	maxAddress = 4096 // bytes of an address
	latest     = "latest"
)

// Name is what an address names: an artifact, or a folder or file of it.
type Name struct {
	Host   string // with its port, where one is given
	Repo   string
	Tag    string // "" where only the digest is given
	Digest string // "sha256:…" of the manifest, "" where the tag decides
	Path   string
}

// Names reports whether an argument is an address of an artifact, well written or not.
func Names(address string) bool {
	return len(address) >= len(Scheme) && strings.EqualFold(address[:len(Scheme)], Scheme)
}

// Parse reads oci://HOST/NAME[:TAG][@sha256:DIGEST][/PATH]; before a path stands a tag or a digest.
func Parse(address string) (n Name, err error) {
	fail := func(format string, a ...any) (Name, error) {
		return Name{}, fmt.Errorf("%.200s: %s; want %sHOST/NAME[:TAG], as %sregistry.example.com/team/model:v1", strings.ToValidUTF8(address, "?"), fmt.Sprintf(format, a...), Scheme, Scheme)
	}
	switch {
	case !Names(address):
		return fail("not an address of an artifact")
	case len(address) > maxAddress:
		return Name{}, fmt.Errorf("%.100s…: longer than %d bytes", strings.ToValidUTF8(address, "?"), maxAddress)
	}
	var ok bool
	if n.Host, n.Repo, ok = strings.Cut(strings.TrimSuffix(address[len(Scheme):], "/"), "/"); !ok || n.Host == "" {
		return fail("no HOST/NAME")
	}
	if repo, after, ok := strings.Cut(n.Repo, "@"); ok {
		n.Repo = repo
		if n.Digest, n.Path, _ = strings.Cut(after, "/"); !artifact.IsDigest(n.Digest) {
			return fail("%.100q is no digest of a manifest", n.Digest)
		}
	}
	if repo, after, ok := strings.Cut(n.Repo, ":"); ok {
		tag, path, deeper := strings.Cut(after, "/")
		switch {
		case deeper && n.Digest != "":
			return fail("a path stands behind the digest")
		case tag == "":
			return fail("no tag behind the colon")
		case deeper:
			n.Path = path
		}
		n.Repo, n.Tag = repo, tag
	}
	if n.Path != "" {
		if err := place.CheckName(n.Path); err != nil {
			return fail("%v", err)
		}
	}
	if n.Tag == "" && n.Digest == "" {
		n.Tag = latest
	}
	ref := registry.Reference{Registry: n.Host, Repository: n.Repo, Reference: n.Tag}
	switch {
	case strings.ContainsAny(n.Host, "@?#%\\") || ref.ValidateRegistry() != nil:
		return fail("%.100q is no host of a registry", n.Host)
	case ref.ValidateRepository() != nil:
		return fail("%.100q is no name of a repository, which has small letters, digits and . _ - /", n.Repo)
	case n.Tag != "" && ref.ValidateReferenceAsTag() != nil:
		return fail("%.100q is no tag", n.Tag)
	}
	return n, nil
}

// String is the address that names the same.
func (n Name) String() string {
	text := Scheme + n.reference()
	if n.Path != "" {
		text += "/" + n.Path
	}
	return text
}

// reference is how other programs name the artifact.
func (n Name) reference() string {
	text := n.Host + "/" + n.Repo
	if n.Tag != "" {
		text += ":" + n.Tag
	}
	if n.Digest != "" {
		text += "@" + n.Digest
	}
	return text
}

// Model is what a model is called when nobody says: the end of its name, and its tag where that is not the usual one.
func Model(address string) string {
	n, err := Parse(address)
	if err != nil || n.Path != "" {
		return ""
	}
	last := n.Repo[strings.LastIndex(n.Repo, "/")+1:]
	if n.Tag != "" && n.Tag != latest {
		last += "-" + n.Tag
	}
	return last
}

// base is where the registry answers: on this machine it may do so without TLS.
func (n Name) base() string {
	host := registry.Reference{Registry: n.Host}.Host() // docker.io answers elsewhere
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name = host
	}
	if ip := net.ParseIP(strings.Trim(name, "[]")); strings.EqualFold(name, "localhost") || ip != nil && ip.IsLoopback() {
		return "http://" + host
	}
	return "https://" + host
}
