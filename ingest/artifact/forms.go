package artifact

import (
	"fmt"
	"path"
	"regexp"
	"strings"
)

// how a layer holds files.
type how int

const (
	raw     how = iota // it is one
	archive            // it is a tar archive of some
	packed             // it is that, or one, compressed
	beside             // it says something of the model, and is no file of it
)

// form is a kind of layer.
type form struct {
	media *regexp.Regexp
	how   how
	name  string // of the file where nothing says another
	shard bool   // what its name says is the tensor in it: the file is one of the shards of that name's folder
}

// Annotations that name a layer's file.
const (
	annotationPath  = "org.cncf.model.filepath"
	annotationTitle = "org.opencontainers.image.title" // oras
	annotationPack  = "io.deis.oras.content.unpack"    // "true" for a folder that oras packed
)

func media(text string) *regexp.Regexp { return regexp.MustCompile(`^application/vnd\.` + text + `$`) }

// forms are tried in order.
var forms = []form{
	// ModelPack. Documents, code and data that it compresses are no reason to refuse the weights.
	{media(`cncf\.model\.(weight|weight\.config)\.v1\.tar\+[a-z]+`), packed, "", false},
	{media(`cncf\.model\.(weight|weight\.config|doc)\.v1\.tar`), archive, "", false},
	{media(`cncf\.model\.(code|dataset|doc)\.v1\.tar(\+[a-z]+)?`), beside, "", false},
	{media(`cncf\.model\.(weight|weight\.config|doc|code|dataset)\.v1\.raw`), raw, "", false},
	{media(`cncf\.model\.weight\.v1\.gguf`), raw, "model.gguf", false},
	{media(`cncf\.model\.weight\.v1\.safetensors`), raw, "model.safetensors", false},
	{media(`cncf\.model\.[a-z.]+`), raw, "", false},
	// KitOps.
	{media(`kitops\.modelkit\.(model|modelpart)\.v1\.tar\+[a-z]+`), packed, "", false},
	{media(`kitops\.modelkit\.(model|modelpart)\.v1\.tar`), archive, "", false},
	{media(`kitops\.modelkit\..*`), beside, "", false},
	// Docker.
	{media(`docker\.ai\.gguf\.v3`), raw, "model.gguf", false},
	{media(`docker\.ai\.safetensors`), raw, "model.safetensors", false},
	{media(`docker\.ai\.mmproj`), raw, "mmproj.gguf", false},
	{media(`docker\.ai\.dduf`), raw, "model.dduf", false},
	{media(`docker\.ai\.license`), raw, "LICENSE", false},
	{media(`docker\.ai\.chat\.template\.jinja`), raw, "chat_template.jinja", false},
	{media(`docker\.ai\.model\.file`), raw, "", false},
	{media(`docker\.ai\.(vllm\.config|dir)\.tar`), archive, "", false},
	{media(`docker\.ai\.(vllm\.config|dir)\.tar[+.][a-z]+`), packed, "", false},
	// ollama.
	{media(`ollama\.image\.model`), raw, "model.gguf", false},
	{media(`ollama\.image\.projector`), raw, "mmproj.gguf", false},
	{media(`ollama\.image\.adapter`), raw, "adapter.gguf", false},
	{media(`ollama\.image\.draft`), raw, "draft.gguf", false},
	{media(`ollama\.image\.tensor`), raw, "model.safetensors", true},
	{media(`ollama\.image\.json`), raw, "", false},
	{media(`ollama\.image\.license`), raw, "LICENSE", false},
	{media(`ollama\.image\.[a-z]+`), beside, "", false},
}

// packedFolder and named are the forms of what oras pushes: whatever its media type, a layer that has a title is the
// file of that name.
var (
	packedFolder = form{how: packed}
	titled       = form{how: raw}
)

// containerLayer is a layer of a container image.
var containerLayer = regexp.MustCompile(`^application/vnd\.(docker\.image\.rootfs\.diff|oci\.image\.layer\.v1)\.tar`)

func formOf(l Layer) *form {
	for i := range forms {
		if forms[i].media.MatchString(l.MediaType) {
			return &forms[i]
		}
	}
	switch {
	case l.Annotations[annotationPack] == "true":
		return &packedFolder
	case l.Annotations[annotationTitle] != "":
		return &titled
	}
	return nil
}

// named is how the manifest calls a layer's file, "" when it does not.
func (l *Layer) named() string {
	for _, name := range []string{l.Annotations[annotationPath], l.Annotations[annotationTitle], l.Name} {
		if name != "" {
			return strings.TrimPrefix(name, "./")
		}
	}
	return ""
}

// kind is a layer's media type, for people.
func (l *Layer) kind() string { return fmt.Sprintf("%.100q", l.MediaType) }

// unnamed is how a layer's file is called where the manifest does not say, "" where it does.
func (l *Layer) unnamed(f *form) string {
	if f.shard {
		return path.Join(path.Dir(l.Name), f.name)
	}
	if l.named() != "" {
		return ""
	}
	return f.name
}

// numbered is the name of one of several files of one name, as shards are called.
func numbered(name string, i, of int) string {
	if of < 2 {
		return name
	}
	ext := path.Ext(name)
	return fmt.Sprintf("%s-%05d-of-%05d%s", strings.TrimSuffix(name, ext), i, of, ext)
}
