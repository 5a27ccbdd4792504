package stores

import (
	"crypto/sha256"
	"encoding/hex"
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

// Ollama keeps a manifest a model and a blob a layer: manifests/HOST/NAMESPACE/NAME/TAG, blobs/sha256-HEX.
var Ollama = &Store{
	Scheme: "ollama://", Name: "ollama", form: "NAME[:TAG], as ollama list shows it", pull: "ollama pull",
	parse:  parseOllama,
	folder: func() (string, error) { return home(os.Getenv("OLLAMA_MODELS"), ".ollama", "models") },
	open:   openOllama,
}

// What ollama puts before a name.
const (
	ollamaHost      = "registry.ollama.ai"
	ollamaNamespace = "library"
)

func parseOllama(text string) (name, error) {
	parts, n, err := split(text)
	if err != nil {
		return n, err
	}
	switch len(parts) {
	case 1:
		parts = append([]string{ollamaHost, ollamaNamespace}, parts...)
	case 2:
		parts = append([]string{ollamaHost}, parts...)
	case 3:
	default:
		return n, errors.New("it has more than HOST/NAMESPACE/NAME")
	}
	n.parts = parts
	if n.tag == "" {
		n.tag = latest
	}
	return n, nil
}

// short is a model as ollama list shows it.
func short(parts []string, tag string) string {
	if strings.EqualFold(parts[0], ollamaHost) {
		if parts = parts[1:]; strings.EqualFold(parts[0], ollamaNamespace) {
			parts = parts[1:]
		}
	}
	return strings.Join(parts, "/") + ":" + tag
}

func openOllama(s *Store, dir string, n name) (place.Place, error) {
	shown := short(n.parts, n.tag)
	path := filepath.Join(slices.Concat([]string{dir, "manifests"}, n.parts, []string{n.tag})...)
	text, err := regular.Read(path, artifact.MaxManifest)
	if errors.Is(err, fs.ErrNotExist) {
		names, err := ollamaNames(dir)
		if err != nil {
			return nil, err
		}
		// ollama finds a model however its letters are written.
		if i := slices.IndexFunc(names, func(o []string) bool { return strings.EqualFold(short(o[:3], o[3]), shown) }); i >= 0 {
			n.parts, n.tag = names[i][:3], names[i][3]
			return openOllama(s, dir, n)
		}
		var others []string
		for _, o := range names {
			others = append(others, short(o[:3], o[3]))
		}
		return nil, s.absent(dir, shown, others)
	} else if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if n.digest != "" && n.digest != digest {
		return nil, fmt.Errorf("%s is another model now: its manifest is %s; ingest it again as %s%s", shown, digest, s.Scheme, shown)
	}
	b := &blobs{s, shown, func(hex string) string { return filepath.Join(dir, "blobs", "sha256-"+hex) }}
	return b.artifact(text, n, s.Scheme+shown+"@"+digest)
}

// maxNames bounds the models that a store lists.
const maxNames = 10_000

// ollamaNames lists HOST, NAMESPACE, NAME and TAG of every model there is.
func ollamaNames(dir string) (names [][]string, err error) {
	root := filepath.Join(dir, "manifests")
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err != nil || len(names) == maxNames {
			return err
		}
		rel, err := filepath.Rel(root, path)
		parts := strings.Split(filepath.ToSlash(rel), "/")
		if e.IsDir() && len(parts) > 3 {
			return fs.SkipDir
		}
		if !e.IsDir() && len(parts) == 4 && !slices.ContainsFunc(parts[1:], func(p string) bool { return !part.MatchString(p) }) {
			names = append(names, parts)
		}
		return err
	})
	if errors.Is(err, os.ErrNotExist) {
		err = nil
	}
	return names, err
}
