package stores

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wreg/ingest"
	"wreg/ingest/artifact"
	"wreg/ingest/files"
)

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// keeper puts blobs where a program keeps them.
type keeper struct {
	t    *testing.T
	dir  string
	blob string // before the digest
}

func (k keeper) layer(media string, data []byte, annotations ...string) artifact.Layer {
	write(k.t, filepath.Join(k.dir, k.blob+digest(data)), data)
	l := artifact.Layer{MediaType: "application/vnd." + media, Digest: "sha256:" + digest(data), Size: int64(len(data)), Annotations: map[string]string{}}
	for i := 0; i < len(annotations); i += 2 {
		l.Annotations[annotations[i]] = annotations[i+1]
	}
	return l
}

func (k keeper) manifest(layers []artifact.Layer) []byte {
	text, err := json.Marshal(artifact.Manifest{SchemaVersion: 2, Config: k.layer("config", []byte("{}")), Layers: layers})
	if err != nil {
		k.t.Fatal(err)
	}
	return text
}

// ollama keeps a model as ollama does.
func ollama(t *testing.T, at string, layers func(k keeper) []artifact.Layer) {
	k := keeper{t, os.Getenv("OLLAMA_MODELS"), "blobs/sha256-"}
	write(t, filepath.Join(k.dir, "manifests", at), k.manifest(layers(k)))
}

// docker keeps a model as Docker Model Runner does.
func docker(t *testing.T, tag string, layers func(k keeper) []artifact.Layer) {
	k := keeper{t, os.Getenv("MODELS_PATH"), "blobs/sha256/"}
	text := k.manifest(layers(k))
	write(t, filepath.Join(k.dir, "manifests/sha256", digest(text)), text)
	write(t, filepath.Join(k.dir, "models.json"), fmt.Appendf(nil, `{"models":[{"id":"sha256:%s","tags":[%q],"files":[]}]}`, digest(text), tag))
}

func homes(t *testing.T) string {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("USERPROFILE", dir)
	t.Setenv("OLLAMA_MODELS", filepath.Join(dir, "ollama"))
	t.Setenv("MODELS_PATH", filepath.Join(dir, "docker"))
	return dir
}

var fixtures = func() string {
	dir, err := filepath.Abs("../testdata/fixtures")
	if err != nil {
		panic(err)
	}
	return dir + "/"
}()

// folder is the files of a fixture, and all of its tensors with their bytes.
func fixture(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	list, err := os.ReadDir(fixtures + dir)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string][]byte{}
	for _, e := range list {
		if found[e.Name()], err = os.ReadFile(filepath.Join(fixtures+dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
	return found
}

// hashed reads a checkpoint to its end: paths, types, shapes and hashes.
func hashed(t *testing.T, c *ingest.Checkpoint, err error) (rows []string) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tensors, err := c.Hash(t.Context(), ingest.HashOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range tensors {
		rows = append(rows, fmt.Sprintf("%s %v %v %x", i.Path, i.DType, i.Shape, i.Hash))
	}
	return rows
}

func fromFolder(t *testing.T, dir string) []string {
	c, err := ingest.Open(t.Context(), dir, ingest.Options{})
	return hashed(t, c, err)
}

func fromStore(t *testing.T, s *Store, address string) []string {
	t.Helper()
	p, err := s.Open(address)
	if err != nil {
		t.Fatal(err)
	}
	list, err := p.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list { // what is whole on disk is read as such
		b, info, err := (files.Far{Place: p}).Open(t.Context(), e.Name)
		if err != nil {
			t.Fatal(err)
		}
		if f, ok := b.(*os.File); ok != (e.Digest != "") || ok && info.ModTime.IsZero() || info.Size != e.Size {
			t.Errorf("%s: opened as %T, %+v; want the file itself", e.Name, f, info)
		}
		b.Close()
	}
	again, err := s.Open(p.Pin())
	if err != nil || again.Pin() != p.Pin() {
		t.Errorf("%s: its pin %s opens %v (%v)", address, p.Pin(), again, err)
	}
	c, err := ingest.OpenPlace(t.Context(), p, ingest.Options{})
	return hashed(t, c, err)
}

const path = "org.cncf.model.filepath"

// TestSameRows: a model in a store is read as its files in a folder are.
func TestSameRows(t *testing.T) {
	homes(t)
	gguf := fixture(t, "gguf")["sample.gguf"]
	want := fromFolder(t, fixtures+"gguf/sample.gguf")
	plain := func(media string) func(keeper) []artifact.Layer {
		return func(k keeper) []artifact.Layer {
			return []artifact.Layer{k.layer(media, gguf), k.layer("ollama.image.license", []byte("a")), k.layer("ollama.image.license", []byte("b")), k.layer("ollama.image.params", []byte("{}"))}
		}
	}
	ollama(t, "registry.ollama.ai/library/Tiny/8b", plain("ollama.image.model"))
	ollama(t, "localhost:5000/me/tiny/latest", plain("ollama.image.model"))
	docker(t, "docker.io/ai/tiny:latest", plain("docker.ai.gguf.v3"))
	for address, s := range map[string]*Store{
		"ollama://Tiny:8b": Ollama, "ollama://tiny:8B/model.gguf": Ollama, "OLLAMA://registry.ollama.ai/library/Tiny:8b": Ollama, "ollama://localhost:5000/me/tiny": Ollama,
		"docker-model://tiny": DockerModel, "docker-model://AI/Tiny:latest": DockerModel,
	} {
		if got := fromStore(t, s, address); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", address, got, want)
		}
	}
	sharded := fixture(t, "sharded_safetensors")
	docker(t, "index.docker.io/ai/sharded:latest", func(k keeper) (layers []artifact.Layer) {
		for name, data := range sharded {
			layers = append(layers, k.layer("docker.ai.model.file", data, path, name))
		}
		return layers
	})
	want = fromFolder(t, fixtures+"sharded_safetensors")
	if got := fromStore(t, DockerModel, "docker-model://sharded"); !slices.Equal(got, want) {
		t.Errorf("a layer a file: %v, want %v", got, want)
	}
	ollama(t, "registry.ollama.ai/library/apart/latest", func(k keeper) (layers []artifact.Layer) {
		for name, data := range sharded {
			if strings.HasSuffix(name, ".safetensors") {
				for tensor, one := range apart(t, data) {
					l := k.layer("ollama.image.tensor", one)
					l.Name = tensor
					layers = append(layers, l)
				}
			}
		}
		l := k.layer("ollama.image.json", []byte(`{"model_type":"none"}`))
		l.Name = "config.json"
		return append(layers, l)
	})
	if got := fromStore(t, Ollama, "ollama://apart"); !slices.Equal(got, want) {
		t.Errorf("a layer a tensor: %v, want %v", got, want)
	}
}

// TestSeveral: what is said of a store's model that is not one is about that, and not about the working folder.
func TestSeveral(t *testing.T) {
	homes(t)
	other := fixture(t, "mlx")["model.gguf"]
	ollama(t, "registry.ollama.ai/library/two/latest", func(k keeper) []artifact.Layer {
		return []artifact.Layer{k.layer("ollama.image.model", fixture(t, "gguf")["sample.gguf"]), k.layer("ollama.image.draft", other)}
	})
	ollama(t, "registry.ollama.ai/library/none/latest", func(k keeper) []artifact.Layer {
		l := k.layer("ollama.image.json", []byte("{}"))
		l.Name = "vae/config.json"
		return []artifact.Layer{l}
	})
	here := t.TempDir()
	write(t, filepath.Join(here, "vae", "model.gguf"), other)
	t.Chdir(here)
	for address, want := range map[string]string{
		"ollama://two":  "holds 2 separate models: draft.gguf, model.gguf; name one",
		"ollama://none": "its folders were not looked into: name one, as ollama://none:latest@sha256:",
	} {
		p, err := Ollama.Open(address)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ingest.OpenPlace(t.Context(), p, ingest.Options{}); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), p.Pin()+": ") || strings.Contains(err.Error(), "holds some") {
			t.Errorf("%s: %v, want %q", address, err, want)
		}
	}
}

// apart makes of a safetensors file one a tensor.
func apart(t *testing.T, data []byte) map[string][]byte {
	t.Helper()
	n := binary.LittleEndian.Uint64(data)
	var header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	var all map[string]json.RawMessage
	if err := json.Unmarshal(data[8:8+n], &all); err != nil {
		t.Fatal(err)
	}
	delete(all, "__metadata__")
	text, _ := json.Marshal(all)
	if err := json.Unmarshal(text, &header); err != nil {
		t.Fatal(err)
	}
	made := map[string][]byte{}
	for name, h := range header {
		bytes := data[8+int(n)+h.Offsets[0] : 8+int(n)+h.Offsets[1]]
		h.Offsets = [2]int{0, len(bytes)}
		text, err := json.Marshal(map[string]any{name: h})
		if err != nil {
			t.Fatal(err)
		}
		made[name] = slices.Concat(binary.LittleEndian.AppendUint64(nil, uint64(len(text))), text, bytes)
	}
	return made
}

// TestRefused: what is not there, not whole or not a name is said in a sentence, with what to do.
func TestRefused(t *testing.T) {
	homes(t)
	if _, err := Ollama.Open("ollama://tiny"); err == nil || !strings.Contains(err.Error(), "ollama has no models in") || !strings.Contains(err.Error(), "type: ollama pull tiny:latest") {
		t.Error(err)
	}
	model := func(k keeper) []artifact.Layer {
		return []artifact.Layer{k.layer("ollama.image.model", []byte("GGUFxxxxxxxx"))}
	}
	ollama(t, "registry.ollama.ai/library/tiny/8b", model)
	docker(t, "docker.io/ai/tiny:8b", model)
	for address, want := range map[string]string{
		"ollama://tiny:9b":           `did you mean "tiny:8b"? To fetch it type: ollama pull tiny:9b`,
		"ollama://whisper:large":     `there is "tiny:8b". To fetch it type: ollama pull whisper:large`,
		"ollama://../tiny":           `".." is no part of a name; want ollama://NAME[:TAG]`,
		"ollama://tiny:../../x":      `".." is no tag`,
		"ollama://a/../../b:8b":      `".." is no part of a name`,
		"ollama://a/b/c/d":           "more than HOST/NAMESPACE/NAME",
		"ollama://":                  `"" is no part of a name`,
		"ollama://tiny:":             `"" is no tag`,
		"ollama://tiny:8b:9b":        `"8b:9b" is no tag`,
		"ollama://tiny:8b/../../x":   "no path of a file below a folder",
		"ollama://tiny:8b/other":     `file does not exist in it; there is "model.gguf"`,
		"ollama://tiny:8b@sha256:1":  `"sha256:1" is no digest`,
		"ollama://tiny:8b\x00":       "is no tag",
		"ollama://" + long:           "longer than",
		"ollama://tiny:8b@" + zeroes: "is another model now: its manifest is sha256:",

		"docker-model://tiny":              `there is "ai/tiny:8b". To fetch it type: docker model pull ai/tiny:latest`,
		"docker-model://tiny:8b@" + zeroes: "its manifest is not in the store any more",
		"docker-model://ai/../tiny":        `".." is no part of a name`,
	} {
		s := Ollama
		if strings.HasPrefix(address, DockerModel.Scheme) {
			s = DockerModel
		}
		if p, err := s.Open(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, %v; want %q", address, p, err, want)
		}
	}

	dir := os.Getenv("OLLAMA_MODELS")
	blob := filepath.Join(dir, "blobs", "sha256-"+digest([]byte("GGUFxxxxxxxx")))
	write(t, blob, []byte("GGUF"))
	refusedToOpen(t, "has 4 bytes, and its manifest says 12: the download is not complete, or the file was changed; type: ollama pull tiny:8b")
	if err := os.Remove(blob); err != nil {
		t.Fatal(err)
	}
	refusedToOpen(t, "is missing (no such file or directory): the download is not complete; type: ollama pull tiny:8b")
	write(t, filepath.Join(dir, "manifests/registry.ollama.ai/library/tiny/8b"), []byte(`{"schemaVersion":2,"layers":[{"mediaType":"application/vnd.ollama.image.model","digest":"sha256:../../../etc/passwd","size":1}]}`))
	if _, err := Ollama.Open("ollama://tiny:8b"); err == nil || !strings.Contains(err.Error(), "is no SHA-256") {
		t.Error(err)
	}
	dir = os.Getenv("MODELS_PATH")
	write(t, filepath.Join(dir, "models.json"), []byte(`{"models":[{"id":"sha256:../../x","tags":["docker.io/ai/tiny:8b"]}]}`))
	if _, err := DockerModel.Open("docker-model://tiny:8b"); err == nil || !strings.Contains(err.Error(), "is no SHA-256") {
		t.Error(err)
	}
	write(t, filepath.Join(dir, "models.json"), []byte(`{"models":[{"id":"`+zeroes+`","tags":["docker.io/ai/tiny:8b"]}]}`))
	write(t, filepath.Join(dir, "manifests/sha256", strings.Repeat("0", 64)), []byte("{}"))
	if _, err := DockerModel.Open("docker-model://tiny:8b"); err == nil || !strings.Contains(err.Error(), "it was changed; type: docker model pull ai/tiny:8b") {
		t.Error(err)
	}
}

var (
	zeroes = "sha256:" + strings.Repeat("0", 64)
	long   = strings.Repeat("x", maxAddress)
)

func refusedToOpen(t *testing.T, want string) {
	t.Helper()
	p, err := Ollama.Open("ollama://tiny:8b")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.Open(t.Context(), "model.gguf"); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %q", err, want)
	}
}

// TestModelNames: what a model is called when nobody says.
func TestModelNames(t *testing.T) {
	for address, want := range map[string]string{
		"ollama://llama3": "llama3", "ollama://llama3:8b": "llama3-8b", "ollama://me/llama3:8b@" + zeroes: "llama3-8b",
		"ollama://hf.co/org/name:Q4_K_M": "name-Q4_K_M", "ollama://llama3:8b/model.gguf": "", "ollama://../x": "",
	} {
		if got := Ollama.Model(address); got != want {
			t.Errorf("%s: %q, want %q", address, got, want)
		}
	}
}

// TestLMStudio: folders of the home that LM Studio wrote down, of the one it has by default, and of the older one.
func TestLMStudio(t *testing.T) {
	home := homes(t)
	at := filepath.Join(home, "elsewhere [1]")
	write(t, filepath.Join(home, ".lmstudio-home-pointer"), []byte(at+"\n"))
	for _, file := range []string{at + "/models/a/one/x.gguf", home + "/.lmstudio/models/a/two/x.gguf", home + "/.cache/lm-studio/models/b/three/x.gguf"} {
		write(t, file, []byte("GGUF"))
	}
	for address, want := range map[string]string{
		"lmstudio://a/one": at + "/models/a/one", "lmstudio://a/two/": home + "/.lmstudio/models/a/two", "LMSTUDIO://b/three/x.gguf": home + "/.cache/lm-studio/models/b/three/x.gguf",
	} {
		if got, err := LMStudio(address); err != nil || got != filepath.FromSlash(want) {
			t.Errorf("%s: %s, %v; want %s", address, got, err, want)
		}
	}
	for address, want := range map[string]string{
		"lmstudio://a/tow": `did you mean "a/two"? To fetch it type: lms get a/tow`, "lmstudio://a": "want lmstudio://PUBLISHER/NAME", "lmstudio://../../etc": "want lmstudio://PUBLISHER/NAME",
		"lmstudio://a/../b": "want lmstudio://PUBLISHER/NAME",
	} {
		if got, err := LMStudio(address); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %s, %v; want %q", address, got, err, want)
		}
	}
}
