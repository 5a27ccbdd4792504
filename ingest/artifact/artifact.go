// Package artifact knows how models are packed as OCI artifacts: which files a manifest
// names, and where in its layers their bytes lie. ModelPack, KitOps, Docker, ollama and
// what oras pushes are rows of one table.
//
// Most users need [Parse], [Manifest.Files] and [Place].
//
// Invariants: a digest is a SHA-256 in its one spelling before anything is asked for by
// it; a name is a path below a folder, and no two files have one; of a tar archive
// headers alone are read; what is compressed is refused, never unpacked.
package artifact

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"wreg/ingest/place"
	"wreg/registry/tensor"
)

const (
	// MaxManifest bounds the bytes of a manifest: ollama writes a layer a tensor.
	MaxManifest = 32 << 20
	maxLayers   = 100_000
)

// Layer is a blob that a manifest names.
type Layer struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int64             `json:"size"`
	Name        string            `json:"name,omitempty"` // ollama's
	Annotations map[string]string `json:"annotations,omitempty"`
}

// Manifest is what an artifact is made of.
type Manifest struct {
	SchemaVersion int     `json:"schemaVersion"`
	MediaType     string  `json:"mediaType,omitempty"`
	ArtifactType  string  `json:"artifactType,omitempty"`
	Config        Layer   `json:"config"`
	Layers        []Layer `json:"layers"`

	Manifests []Layer `json:"manifests,omitempty"` // of an index: several artifacts under one name
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// IsDigest reports a SHA-256 as OCI spells it.
func IsDigest(s string) bool { return digestForm.MatchString(s) }

// Parse reads a manifest, or an index of several.
func Parse(data []byte) (*Manifest, error) {
	if len(data) > MaxManifest {
		return nil, fmt.Errorf("its manifest has %d bytes; at most %d are read", len(data), MaxManifest)
	}
	m := &Manifest{}
	if err := json.Unmarshal(data, m); err != nil {
		return nil, fmt.Errorf("its manifest is not JSON: %w", err)
	}
	if m.SchemaVersion != 2 {
		return nil, fmt.Errorf("its manifest is of schema version %d, and 2 is read: push it again with a newer program", m.SchemaVersion)
	}
	all := slices.Concat(m.Layers, m.Manifests)
	if len(all) > maxLayers {
		return nil, fmt.Errorf("its manifest names %d layers; at most %d are read", len(all), maxLayers)
	}
	for i, l := range all {
		switch {
		case !IsDigest(l.Digest):
			return nil, fmt.Errorf("layer %d of its manifest has the digest %.100q, which is no SHA-256", i, l.Digest)
		case l.Size < 0:
			return nil, fmt.Errorf("layer %d of its manifest has %d bytes", i, l.Size)
		}
	}
	return m, nil
}

// File is a file of an artifact: a layer, or a stretch of one.
type File struct {
	Name   string
	Size   int64
	Layer  Layer
	Offset int64 // in the layer
}

// Whole reports that the file is its layer.
func (f *File) Whole() bool { return f.Offset == 0 && f.Size == f.Layer.Size }

// Entry is the file as a listing has it.
func (f *File) Entry() place.Entry {
	e := place.Entry{Name: f.Name, Size: f.Size}
	if f.Whole() {
		e.Digest = f.Layer.Digest
	}
	return e
}

// Open opens a layer of which the headers of an archive are read.
type Open func(l Layer) (place.Blob, error)

// Files are the files that the layers hold, archives looked into. open is called for archives alone.
func (m *Manifest) Files(open Open) ([]File, error) {
	if len(m.Manifests) > 0 {
		return nil, m.several()
	}
	var files []File
	total, seen := map[string]int{}, map[string]int{} // of layers, by the name they have where nothing says another
	known, unnamed := make([]*form, len(m.Layers)), make([]string, len(m.Layers))
	for i, l := range m.Layers {
		if f := formOf(l); f != nil {
			known[i], unnamed[i] = f, l.unnamed(f)
			total[unnamed[i]]++
		}
	}
	for i, l := range m.Layers {
		f := known[i]
		if f == nil || f.how == beside {
			continue
		}
		name := l.named()
		if n := unnamed[i]; n != "" {
			seen[n]++
			name = numbered(n, seen[n], total[n])
		}
		switch f.how {
		case packed:
			return nil, fmt.Errorf("layer %d (%s, %d bytes) is compressed, so that no part of it can be read alone; unpack the artifact with the program that made it, and ingest the folder", i, l.kind(), l.Size)
		case archive:
			inside, err := m.inside(l, open)
			if err != nil {
				return nil, fmt.Errorf("layer %d (%s): %w", i, l.kind(), err)
			}
			files = append(files, inside...)
		default:
			if name == "" {
				return nil, fmt.Errorf("layer %d (%s) has no name: its manifest lacks %s", i, l.kind(), annotationPath)
			}
			files = append(files, File{Name: name, Size: l.Size, Layer: l})
		}
	}
	if len(files) == 0 {
		return nil, m.nothing()
	}
	return files, check(files)
}

func (m *Manifest) inside(l Layer, open Open) ([]File, error) {
	b, err := open(l)
	if err != nil {
		return nil, err
	}
	files, err := members(b, l)
	return files, errors.Join(err, b.Close())
}

// check refuses names that are no paths, and two files of one name, also where case makes no difference.
func check(files []File) error {
	seen := map[string]string{}
	for _, f := range files {
		if err := place.CheckName(f.Name); err != nil {
			return fmt.Errorf("its manifest names what is no file: %w", err)
		}
		low := strings.ToLower(f.Name)
		if first, twice := seen[low]; twice {
			return fmt.Errorf("it holds %q and %q, which are one file where case makes no difference", first, f.Name)
		}
		seen[low] = f.Name
	}
	return nil
}

// several refuses an index.
func (m *Manifest) several() error {
	const shown = 10
	var list []string
	for _, l := range m.Manifests[:min(len(m.Manifests), shown)] {
		list = append(list, l.Digest)
	}
	return fmt.Errorf("several artifacts go by this name: name one by its digest, @%s", strings.Join(list, " or @"))
}

// nothing says what is in an artifact that holds no file of a model.
func (m *Manifest) nothing() error {
	var kinds []string
	count := map[string]int{}
	for _, l := range m.Layers {
		k := l.kind()
		if count[k]++; count[k] == 1 {
			kinds = append(kinds, k)
		}
	}
	const shown = 5
	for i, k := range kinds {
		kinds[i] = fmt.Sprintf("%d × %s", count[k], k)
	}
	if len(kinds) > shown {
		kinds = append(kinds[:shown], fmt.Sprintf("%d more kinds", len(kinds)-shown))
	}
	what := strings.Join(kinds, ", ")
	switch {
	case len(m.Layers) == 0:
		return errors.New("it has no layers, so that no file is in it")
	case slices.ContainsFunc(m.Layers, func(l Layer) bool { return containerLayer.MatchString(l.MediaType) }):
		return fmt.Errorf("it is a container image, not a model (%s); its files are in compressed archives: unpack it, and ingest the folder", what)
	}
	return fmt.Errorf("it holds no file of a model that is known (%s of %s); pull it with the program that made it, and ingest the folder", what, tensor.Count(len(m.Layers), "layer"))
}
