package stores

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/ingest/artifact"
	"wreg/ingest/place"
	"wreg/ingest/regular"
)

// DockerModel is Docker Model Runner, which keeps models.json, manifests/sha256/HEX and blobs/sha256/HEX.
var DockerModel = &Store{
	Scheme: "docker-model://", Name: "Docker Model Runner", form: "[ORG/]NAME[:TAG], as docker model list shows it", pull: "docker model pull",
	parse:  parseDocker,
	folder: func() (string, error) { return home(os.Getenv("MODELS_PATH"), ".docker", "models") },
	open:   openDocker,
}

// dockerOrg is what Docker puts before a name.
const dockerOrg = "ai"

func parseDocker(text string) (name, error) {
	parts, n, err := split(text)
	if err != nil {
		return n, err
	}
	if len(parts) == 1 {
		parts = append([]string{dockerOrg}, parts...)
	}
	for i, p := range parts { // as Docker does
		parts[i] = strings.ToLower(p)
	}
	if parts[0] == "hf.co" {
		parts[0] = "huggingface.co"
	}
	n.parts = parts
	if n.tag == "" {
		n.tag = latest
	}
	return n, nil
}

// maxIndex bounds the bytes of models.json.
const maxIndex = 32 << 20

// dockerIndex is models.json.
type dockerIndex struct {
	Models []struct {
		ID   string   `json:"id"`
		Tags []string `json:"tags"`
	} `json:"models"`
}

// shownTag is a tag of models.json as docker model list shows it.
func shownTag(tag string) string {
	for _, host := range []string{"index.docker.io/", "docker.io/"} {
		if rest, ok := strings.CutPrefix(tag, host); ok {
			return rest
		}
	}
	return tag
}

func openDocker(s *Store, dir string, n name) (place.Place, error) {
	var index dockerIndex
	shown := strings.Join(n.parts, "/") + ":" + n.tag
	path := filepath.Join(dir, "models.json")
	text, err := regular.Read(path, maxIndex)
	if err == nil {
		err = json.Unmarshal(text, &index)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, s.absent(dir, shown, nil)
	} else if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var tags []string
	digest := n.digest
	for _, m := range index.Models {
		for _, tag := range m.Tags {
			tags = append(tags, shownTag(tag))
		}
		if digest == "" && slices.ContainsFunc(m.Tags, func(tag string) bool { return shownTag(tag) == shown }) {
			digest = m.ID
		}
	}
	if digest == "" {
		return nil, s.absent(dir, shown, tags)
	}
	if !artifact.IsDigest(digest) {
		return nil, fmt.Errorf("%s: the id of %s is %.100q, which is no SHA-256", path, shown, digest)
	}
	manifest := filepath.Join(dir, "manifests", "sha256", strings.TrimPrefix(digest, "sha256:"))
	text, err = regular.Read(manifest, artifact.MaxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("its manifest is not in the store any more (%w); type: %s %s", err, s.pull, shown)
	} else if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); "sha256:"+hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("%s: the manifest is not the one that its name says: it was changed; type: %s %s", manifest, s.pull, shown)
	}
	b := &blobs{s, shown, func(hex string) string { return filepath.Join(dir, "blobs", "sha256", hex) }}
	return b.artifact(text, n, s.Scheme+shown+"@"+digest)
}
