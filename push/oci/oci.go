// Package oci publishes a model to a registry of OCI artifacts, as ModelPack has it: a
// layer a file, named by its SHA-256, uncompressed, so that parts of it can be read where
// it lies.
//
// Most users need [Check] and [Open].
//
// Invariants: the tag moves last, after the manifest by its digest, after every layer: who
// asks by the tag sees the old artifact or the whole new one; an upload that broke goes on
// where the registry says that it is, else begins anew; what the registry says of the
// digest and size of what it took is held against the file.
package oci

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"path"
	"strings"

	"wreg/ingest/artifact"
	"wreg/ingest/interrupt"
	"wreg/ingest/oci"
	"wreg/ingest/remote"
	"wreg/ingest/shards"
	"wreg/push"
)

// What ModelPack calls things.
const (
	manifestMedia = "application/vnd.oci.image.manifest.v1+json"
	artifactType  = "application/vnd.cncf.model.manifest.v1+json"
	configMedia   = "application/vnd.cncf.model.config.v1+json"
	weightMedia   = "application/vnd.cncf.model.weight.v1.raw"
	settingsMedia = "application/vnd.cncf.model.weight.config.v1.raw"
	docMedia      = "application/vnd.cncf.model.doc.v1.raw"
	codeMedia     = "application/vnd.cncf.model.code.v1.raw"
)

// Target is a tag of a repository.
type Target struct {
	repo  *oci.Repo
	chunk int64 // bytes of one of an upload
}

var _ push.Target = (*Target)(nil)

// Check says what is wrong with an address to publish to; it asks nobody.
func Check(address string) error {
	n, err := oci.Parse(address)
	switch {
	case err != nil:
		return err
	case n.Digest != "":
		return fmt.Errorf("%s: a digest names what is there already; publish to a tag", n)
	case n.Path != "":
		return fmt.Errorf("%s: an artifact is published whole; leave the path out", n)
	}
	return nil
}

// Open opens a tag to publish to. Nothing is asked yet.
func Open(_ context.Context, address string, o push.Options) (push.Target, error) {
	if err := Check(address); err != nil {
		return nil, err
	}
	n, err := oci.Parse(address)
	if err != nil {
		return nil, err
	}
	return &Target{repo: oci.At(oci.Connect(remote.Options{UserAgent: o.UserAgent, Notice: o.Notice}, n, "pull", "push"), n), chunk: chunkBytes}, nil
}

// Close lets go of connections.
func (t *Target) Close() error {
	t.repo.Client.Close()
	return nil
}

// Proof says what the registry told.
func (t *Target) Proof() string {
	return "the registry has every file by its SHA-256"
}

func digestOf(f push.File) string { return "sha256:" + f.SHA256 }

// asks is how many blobs are asked for at once.
const asks = 16

// Held asks for each blob.
func (t *Target) Held(ctx context.Context, files []push.File) ([]bool, error) {
	held := make([]bool, len(files))
	at := make([]int, len(files))
	for i := range at {
		at[i] = i
	}
	err := interrupt.Each(ctx, asks, at, func() func(context.Context, int) error {
		return func(ctx context.Context, i int) (err error) {
			held[i], err = t.holds(ctx, digestOf(files[i]), files[i].Size)
			return err
		}
	})
	return held, err
}

// maxAnswer is no bound: an answer to HEAD says how large a blob is and has none of it.
const maxAnswer = 1 << 62

// holds asks whether the registry has a blob.
func (t *Target) holds(ctx context.Context, digest string, size int64) (bool, error) {
	answer, err := t.repo.Client.Do(ctx, remote.Request{Method: http.MethodHead, URL: t.repo.URL("blobs", digest), Most: maxAnswer})
	if status, ok := errors.AsType[*remote.StatusError](err); ok && status.Status == http.StatusNotFound {
		return false, nil
	} else if err != nil {
		return false, t.repo.Explain(ctx, err)
	}
	if n := answer.Header.Get("Content-Length"); n != "" && n != fmt.Sprint(size) {
		return false, fmt.Errorf("%s: the registry has %s with %s bytes, and the file has %d; it keeps it wrongly", t.repo.Name, digest, n, size)
	}
	return true, nil
}

// media is what kind of layer a file becomes, by its name.
func media(name string) string {
	low := strings.ToLower(name)
	switch {
	case shards.FamilyOf(name) != nil:
		return weightMedia
	case strings.HasPrefix(low, "readme"), strings.HasPrefix(low, "license"), strings.HasPrefix(low, "notice"), path.Ext(low) == ".md":
		return docMedia
	case path.Ext(low) == ".py":
		return codeMedia
	}
	return settingsMedia
}

// config is the configuration that ModelPack wants of a model.
type config struct {
	Descriptor struct{} `json:"descriptor"`
	Config     struct{} `json:"config"`
	ModelFS    struct {
		Type    string   `json:"type"`
		DiffIDs []string `json:"diffIds"`
	} `json:"modelfs"`
}

type manifest struct {
	SchemaVersion int              `json:"schemaVersion"`
	MediaType     string           `json:"mediaType"`
	ArtifactType  string           `json:"artifactType"`
	Config        artifact.Layer   `json:"config"`
	Layers        []artifact.Layer `json:"layers"`
}

// Commit writes the manifest, and then has the tag lead to it.
func (t *Target) Commit(ctx context.Context, files []push.File) (string, error) {
	m := manifest{SchemaVersion: 2, MediaType: manifestMedia, ArtifactType: artifactType}
	var c config
	c.ModelFS.Type = "layers"
	for _, f := range files {
		// The title is for oras, which names files by it.
		m.Layers = append(m.Layers, artifact.Layer{MediaType: media(f.Name), Digest: digestOf(f), Size: f.Size,
			Annotations: map[string]string{"org.cncf.model.filepath": f.Name, "org.opencontainers.image.title": f.Name}})
		c.ModelFS.DiffIDs = append(c.ModelFS.DiffIDs, digestOf(f))
	}
	text, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(text)
	own := push.File{Name: "the configuration", Size: int64(len(text)), SHA256: hex.EncodeToString(sum[:])}
	if held, err := t.holds(ctx, digestOf(own), own.Size); err != nil {
		return "", err
	} else if !held {
		if err := t.Put(ctx, own, bytes.NewReader(text), func(int64) {}); err != nil {
			return "", err
		}
	}
	m.Config = artifact.Layer{MediaType: configMedia, Digest: digestOf(own), Size: own.Size}
	if text, err = json.Marshal(m); err != nil {
		return "", err
	}
	sum = sha256.Sum256(text)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	n := t.repo.Name
	for _, reference := range []string{digest, n.Tag} {
		answer, err := t.repo.Client.Do(ctx, remote.Request{Method: http.MethodPut, URL: t.repo.URL("manifests", reference), Body: text, Header: http.Header{"Content-Type": {manifestMedia}}})
		if err != nil {
			return "", t.repo.Explain(ctx, err)
		}
		if got := answer.Header.Get("Docker-Content-Digest"); got != "" && got != digest {
			return "", fmt.Errorf("%s: the registry took the manifest for %.100q, and it is %s; what lies between here and there changes it", n, got, digest)
		}
	}
	n.Digest = digest
	return n.String(), nil
}
