package artifact

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"wreg/ingest/ingesttest"
	"wreg/ingest/place"
	"wreg/registry/tensor"
)

// memory is a blob in memory.
type memory struct{ *bytes.Reader }

func (memory) Close() error               { return nil }
func (memory) Stat() (tensor.File, error) { return tensor.File{Digest: "sha256:of the whole"}, nil }
func digestOf(data []byte) string {
	s := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(s[:])
}
func layer(media string, data []byte) Layer {
	return Layer{MediaType: media, Digest: digestOf(data), Size: int64(len(data))}
}

func with(l Layer, key, value string) Layer {
	l.Annotations = map[string]string{key: value}
	return l
}

// files parses a manifest of layers and lists its files as NAME SIZE OFFSET.
func files(t *testing.T, layers []Layer, blobs map[string][]byte) (list []string, err error) {
	t.Helper()
	text, err := json.Marshal(Manifest{SchemaVersion: 2, Layers: layers})
	if err != nil {
		t.Fatal(err)
	}
	m, err := Parse(text)
	if err != nil {
		return nil, err
	}
	found, err := m.Files(func(l Layer) (place.Blob, error) { return memory{bytes.NewReader(blobs[l.Digest])}, nil })
	for _, f := range found {
		list = append(list, fmt.Sprintf("%s %d %d", f.Name, f.Size, f.Offset))
	}
	return list, err
}

// packed makes an archive of names, each with itself as content; a name that ends in / is a folder, one with ->
// a link.
func archived(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		h := &tar.Header{Name: name, Mode: 0o600, Size: int64(len(name)), Typeflag: tar.TypeReg}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Size = tar.TypeDir, 0
		}
		if from, to, link := strings.Cut(name, "->"); link {
			h.Name, h.Linkname, h.Typeflag, h.Size = from, to, tar.TypeSymlink, 0
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := w.Write([]byte(name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// holed is what GNU tar --sparse makes of a file without a byte in it.
func holed(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "a.gguf", Typeflag: tar.TypeReg, Format: tar.FormatGNU}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	data := b.Bytes()
	copy(data[483:], "00000001000\x00") // its size with the holes
	data[156] = 'S'
	sum := 8 * int(' ')
	for i, c := range data[:512] {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	copy(data[148:156], fmt.Sprintf("%06o\x00 ", sum))
	return data
}

const (
	cncf    = "application/vnd.cncf.model."
	kitops  = "application/vnd.kitops.modelkit."
	dockers = "application/vnd.docker.ai."
	ollamas = "application/vnd.ollama.image."
)

// TestFiles: what each kind of artifact holds, by name, size and where it lies.
func TestFiles(t *testing.T) {
	one := []byte("12345")
	pack := archived(t, "dir/", "./dir/model.safetensors", "config.json", strings.Repeat("long/", 40)+"name.bin")
	for what, c := range map[string]struct {
		layers []Layer
		want   []string
	}{
		"ModelPack": {[]Layer{
			with(layer(cncf+"weight.v1.raw", one), annotationPath, "model-00001-of-00002.safetensors"), with(layer(cncf+"weight.config.v1.raw", one), annotationPath, "config.json"),
			with(layer(cncf+"doc.v1.raw", one), annotationPath, "docs/README.md"), layer(cncf+"dataset.v1.tar+gzip", one), layer(cncf+"code.v1.tar", one),
		}, []string{"model-00001-of-00002.safetensors 5 0", "config.json 5 0", "docs/README.md 5 0"}},
		"ModelPack of Docker": {[]Layer{layer(cncf+"weight.v1.gguf", one)}, []string{"model.gguf 5 0"}},
		"archives": {[]Layer{with(layer(cncf+"weight.v1.tar", pack), annotationPath, "not/used")},
			[]string{"dir/model.safetensors 23 1024", "config.json 11 2048", strings.Repeat("long/", 40) + "name.bin 208 " + fmt.Sprint(bytes.Index(pack, []byte(strings.Repeat("long/", 40)+"name.bin\x00\x00\x00\x00")))}},
		"KitOps":        {[]Layer{layer(kitops+"model.v1.tar", archived(t, "model.gguf")), layer(kitops+"docs.v1.tar+gzip", one)}, []string{"model.gguf 10 512"}},
		"Docker":        {[]Layer{layer(dockers+"gguf.v3", one), layer(dockers+"license", one), layer(dockers+"mmproj", one)}, []string{"model.gguf 5 0", "LICENSE 5 0", "mmproj.gguf 5 0"}},
		"Docker shards": {[]Layer{layer(dockers+"gguf.v3", one), layer(dockers+"gguf.v3", one)}, []string{"model-00001-of-00002.gguf 5 0", "model-00002-of-00002.gguf 5 0"}},
		"Docker 0.2":    {[]Layer{with(layer(dockers+"safetensors", one), annotationPath, "a.safetensors"), with(layer(dockers+"model.file", one), annotationPath, "config.json")}, []string{"a.safetensors 5 0", "config.json 5 0"}},
		"Docker vLLM":   {[]Layer{layer(dockers+"safetensors", one), layer(dockers+"vllm.config.tar", archived(t, "config.json"))}, []string{"model.safetensors 5 0", "config.json 11 512"}},
		"ollama":        {[]Layer{layer(ollamas+"model", one), layer(ollamas+"template", one), layer(ollamas+"license", one), layer(ollamas+"license", one)}, []string{"model.gguf 5 0", "LICENSE-00001-of-00002 5 0", "LICENSE-00002-of-00002 5 0"}},
		"ollama tensors": {[]Layer{
			{MediaType: ollamas + "tensor", Name: "a.weight", Digest: digestOf(one), Size: 5}, {MediaType: ollamas + "tensor", Name: "vae/b.weight", Digest: digestOf(one), Size: 5},
			{MediaType: ollamas + "tensor", Name: "../c", Digest: digestOf(one), Size: 5}, {MediaType: ollamas + "json", Name: "config.json", Digest: digestOf(one), Size: 5},
		}[:2], []string{"model.safetensors 5 0", "vae/model.safetensors 5 0"}},
		"oras": {[]Layer{with(layer("application/octet-stream", one), annotationTitle, "./model.npz"), layer("application/octet-stream", one)}, []string{"model.npz 5 0"}},
	} {
		got, err := files(t, c.layers, map[string][]byte{digestOf(pack): pack, digestOf(archived(t, "model.gguf")): archived(t, "model.gguf"), digestOf(archived(t, "config.json")): archived(t, "config.json")})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %q (%v), want %q", what, got, err, c.want)
		}
	}
}

// TestRefuses: what is not a model, or not one that parts of can be read, is told in a sentence.
func TestRefuses(t *testing.T) {
	one := []byte("12345")
	blobs := map[string][]byte{}
	tarred := func(data []byte) []Layer {
		blobs[digestOf(data)] = data
		return []Layer{layer(kitops+"model.v1.tar", data)}
	}
	many := make([]string, maxMembers+1)
	for i := range many {
		many[i] = fmt.Sprint(i) + "/"
	}
	whole := archived(t, "a.gguf", "b.gguf")
	sparse := holed(t)
	for want, layers := range map[string][]Layer{
		"layer 0 (\"" + cncf + "weight.v1.tar+gzip\", 5 bytes) is compressed": {layer(cncf+"weight.v1.tar+gzip", one)},
		"unpack the artifact with the program that made it":                   {layer(kitops+"model.v1.tar+gzip", one)},
		"is compressed": {with(layer("application/vnd.oci.image.layer.v1.tar+gzip", one), annotationPack, "true")},
		"it holds no file of a model that is known (2 × \"application/x\", 1 × \"application/y\" of 3 layers)": {layer("application/x", one), layer("application/y", one), layer("application/x", one)},
		"it is a container image, not a model":                                   {layer("application/vnd.oci.image.layer.v1.tar+gzip", one)},
		"it has no layers":                                                       {},
		"has no name: its manifest lacks " + annotationPath:                      {layer(cncf+"weight.v1.raw", one)},
		`"../x" is no path`:                                                      {with(layer(cncf+"weight.v1.raw", one), annotationPath, "../x")},
		`"/x" is no path`:                                                        {with(layer(cncf+"weight.v1.raw", one), annotationPath, "/x")},
		`"a/../../x" is no path`:                                                 {with(layer(cncf+"weight.v1.raw", one), annotationPath, "a/../../x")},
		`"../model.safetensors" is no path`:                                      {{MediaType: ollamas + "tensor", Name: "../a.weight", Digest: digestOf(one), Size: 5}},
		"backslash, colon or control":                                            {with(layer(cncf+"weight.v1.raw", one), annotationPath, `C:\x`)},
		`it holds "A.gguf" and "a.gguf", which are one file where case`:          {with(layer(cncf+"weight.v1.raw", one), annotationPath, "A.gguf"), with(layer(cncf+"weight.v1.raw", one), annotationPath, "a.gguf")},
		"has the digest \"sha512:0\", which is no SHA-256":                       {{MediaType: "x", Digest: "sha512:0"}},
		"has the digest \"" + strings.ToUpper(digestOf(one)) + "\", which is no": {{MediaType: "x", Digest: strings.ToUpper(digestOf(one))}},
		"layer 0 of its manifest has -1 bytes":                                   {{MediaType: "x", Digest: digestOf(one), Size: -1}},
		"\"b\" in its archive is a link":                                         tarred(archived(t, "b->/etc/passwd")),
		"in its archive is stored with holes":                                    tarred(sparse),
		fmt.Sprintf("its archive holds more than %d files", maxMembers):          tarred(archived(t, many...)),
		"it is cut short":                                                        tarred(whole[:512]),
		"its archive cannot be read after 0 files":                               tarred([]byte(strings.Repeat("x", 1024))),
		"its archive cannot be read after 1 files: unexpected EOF":               tarred(whole[:1400]),
		`its manifest names what is no file: "../a" is no path`:                  tarred(archived(t, "../a")),
	} {
		if got, err := files(t, layers, blobs); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q, %v; want %q", got, err, want)
		}
	}
	for want, text := range map[string]string{
		"is not JSON":       "<html>",
		"schema version 1":  `{"schemaVersion":1}`,
		"at most 100000":    `{"schemaVersion":2,"layers":[` + strings.Repeat(`{},`, maxLayers) + `{}]}`,
		"at most 33554432 ": strings.Repeat(" ", MaxManifest+1),
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	m, err := Parse([]byte(`{"schemaVersion":2,"manifests":[{"digest":"` + digestOf(one) + `"}]}`))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Files(nil); err == nil || !strings.Contains(err.Error(), "name one by its digest, @"+digestOf(one)) {
		t.Error(err)
	}
}

// told is a blob that is told what will be read.
type told struct {
	memory
	ranges *[][2]int64
}

func (t told) ReadAhead(_ context.Context, ranges [][2]int64) error {
	*t.ranges = ranges
	return nil
}

// streamed is a blob that can be read from front to back.
type streamed struct{ memory }

func (s streamed) Stream(_ context.Context, off int64, _ bool) io.ReadCloser {
	return io.NopCloser(io.NewSectionReader(s.memory, off, s.Size()-off))
}

// TestStretch: a file inside a layer is read where it lies, and its blob is told what of itself will be.
func TestStretch(t *testing.T) {
	var ranges [][2]int64
	s := Stretch(told{memory{bytes.NewReader([]byte("0123456789"))}, &ranges}, "a", 3, 4)
	part := make([]byte, 2)
	if _, err := s.ReadAt(part, 1); err != nil || string(part) != "45" {
		t.Errorf("%q, %v", part, err)
	}
	if n, err := s.ReadAt(make([]byte, 9), 0); n != 4 || err != io.EOF {
		t.Errorf("%d, %v", n, err)
	}
	if err := s.(place.Batched).ReadAhead(t.Context(), [][2]int64{{1, 2}}); err != nil || len(ranges) != 1 || ranges[0] != [2]int64{4, 2} {
		t.Errorf("%v, %v", ranges, err)
	}
	for _, b := range []place.Blob{s, Stretch(streamed{memory{bytes.NewReader([]byte("0123456789"))}}, "a", 3, 4)} {
		if text, err := io.ReadAll(b.(place.Streamer).Stream(t.Context(), 1, false)); err != nil || string(text) != "456" {
			t.Errorf("%q, %v", text, err)
		}
	}
	if info, err := s.Stat(); err != nil || info.Name != "a" || info.Size != 4 || info.Digest != "" {
		t.Errorf("%+v, %v", info, err)
	}
}

// FuzzManifest: whatever a manifest and an archive say, files have names that are paths and lie in their layers.
func FuzzManifest(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.kitops.modelkit.model.v1.tar","digest":"sha256:`+strings.Repeat("0", 64)+`","size":2048}]}`), bytes.Repeat([]byte{0}, 1024))
	f.Add([]byte(`{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.ollama.image.tensor","name":"a","digest":"sha256:`+strings.Repeat("0", 64)+`","size":2}]}`), []byte{})
	f.Fuzz(func(t *testing.T, text, blob []byte) {
		ingesttest.Bounded(t, len(text)+len(blob), func() {
			m, err := Parse(text)
			if err != nil {
				return
			}
			found, err := m.Files(func(Layer) (place.Blob, error) { return memory{bytes.NewReader(blob)}, nil })
			if err != nil {
				return
			}
			for _, x := range found {
				if place.CheckName(x.Name) != nil || x.Offset < 0 || x.Size < 0 || x.Offset+x.Size > x.Layer.Size {
					t.Fatalf("%+v", x)
				}
			}
		})
	})
}
