package export

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"

	"wreg/export/compute"
	"wreg/export/receipt"
	"wreg/ingest"
	"wreg/ingest/interrupt"
	"wreg/registry/arch"
	"wreg/registry/pyjson"
)

// The files an export writes beside the shards.
const (
	configFile = "config.json"
	indexFile  = "model.safetensors.index.json"
	readmeFile = "README.md"

	generationFile = "generation_config.json"
)

// copied are the files of the source that belong to a model beside its weights:
// the tokenizer in each of its forms, the model's own code, and generation
// defaults. They are copied as they are.
var copied = []string{
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json",
	"*.model", "*.tiktoken", "*.py", generationFile,
}

func isCopied(name string) bool {
	return slices.ContainsFunc(copied, func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok })
}

// maxExtras and maxExtra bound what is copied beside the weights.
const (
	maxExtras = 1000
	maxExtra  = 1 << 30 // bytes of one file
)

// shardNames match what shards are called.
var shardNames = regexp.MustCompile(`^model(-[0-9]+-of-[0-9]+)?\.safetensors$`)

// reserved reports the names that an export gives its own files, whatever their case.
func reserved(name string) bool {
	name = strings.ToLower(name)
	return slices.Contains([]string{configFile, indexFile, strings.ToLower(readmeFile), receipt.Name}, name) ||
		strings.HasPrefix(name, journalName) || shardNames.MatchString(name)
}

// readme is the model card mlx_lm writes for a local source.
const readme = "---\nlanguage: en\nlibrary_name: mlx\npipeline_tag: text-generation\ntags:\n- mlx\n---\n"

// extra is a file to copy.
type extra struct {
	name string
	size int64
}

// finish plans everything that is no weight: config.json and the files to copy.
func (p *Plan) finish(config []byte, doc *pyjson.Object) error {
	root, err := ingest.OpenFolder(p.source.folder())
	if err != nil {
		return p.source.moved(err)
	}
	defer root.Close()
	if p.files, err = extras(root); err != nil {
		return err
	}
	if p.Target == arch.HF { // the same model, under its own names
		p.config, err = p.configBack(config, doc)
		return err
	}
	if p.config, err = configFor(doc, root, p.vision()); err != nil {
		return fmt.Errorf("%s: %w", configFile, err)
	}
	return nil
}

// extras lists the files to copy, sorted. A link that leads out of the folder, or
// anything but a file, is refused: it would be missing from the output silently.
func extras(root *ingest.Folder) ([]extra, error) {
	entries, err := root.List()
	if err != nil {
		return nil, err
	}
	var out []extra
	for _, e := range entries {
		name := e.Name()
		if !isCopied(name) {
			continue
		}
		info, err := root.Stat(name)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s is not a regular file", name)
		}
		if info.Size() > maxExtra {
			return nil, fmt.Errorf("%s: %d bytes exceed the %d that a file beside the weights may have", name, info.Size(), maxExtra)
		}
		if reserved(name) {
			return nil, fmt.Errorf("%s: would be copied beside the weights, where the export itself writes a file of that name; rename it in the source, or take it out", name)
		}
		if i := slices.IndexFunc(out, func(x extra) bool { return strings.EqualFold(x.name, name) }); i >= 0 {
			return nil, fmt.Errorf("%s and %s differ only in case; many file systems cannot hold both: remove one from the source", out[i].name, name)
		}
		if err := intact(root, name, info.Size()); err != nil {
			return nil, err
		}
		out = append(out, extra{name, info.Size()})
		if len(out) > maxExtras {
			return nil, fmt.Errorf("more than %d files to copy", maxExtras)
		}
	}
	return out, nil
}

// maxIntact bounds the JSON files that are read whole to see that they are.
const maxIntact = 64 << 20

// intact refuses a file that is not what its name says: what git or a server left
// in its place, or JSON that ends half-way. It would be copied and proven, and fail
// only where the model is used.
func intact(root *ingest.Folder, name string, size int64) error {
	f, err := root.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	whole, most := path.Ext(name) == ".json" && size <= maxIntact, int64(1024)
	if whole {
		most = size
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if what := pyjson.Instead(data); what != "" {
		return fmt.Errorf("%s: %s", name, what)
	}
	if whole {
		if err := pyjson.Check(data); err != nil {
			return fmt.Errorf("%s: is not JSON: %w; download it again", name, err)
		}
	}
	return nil
}

// configFor is config.json as mlx_lm.convert writes it: eos_token_id as
// generation_config.json has it, two keys removed, sorted. A model that keeps its
// vision tower keeps vision_config.
func configFor(doc *pyjson.Object, root *ingest.Folder, vision bool) ([]byte, error) {
	out := doc.Clone()
	gen, err := readObject(root, generationFile)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	// One that cannot be read is refused above: mlx_lm passes over it, and generates
	// past the end of every answer.
	if eos, _ := gen.Get("eos_token_id"); pyjson.Truth(eos) {
		out.Set("eos_token_id", eos)
	}
	out.Remove("_name_or_path")
	if !vision {
		out.Remove("vision_config")
	}
	if q, ok := out.Get("quantization"); ok {
		out.Set("quantization_config", q)
	}
	return out.Sorted().Python()
}

// readObject reads a JSON file beside the weights.
func readObject(root *ingest.Folder, name string) (*pyjson.Object, error) {
	data, err := root.ReadFile(name, pyjson.MaxBytes)
	if err != nil {
		return nil, err
	}
	o, err := pyjson.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w; mend it, or take it out of the folder", name, err)
	}
	return o, nil
}

// vision reports whether the output holds a vision tower where mlx_lm looks for it.
func (p *Plan) vision() bool {
	return slices.ContainsFunc(p.Tensors, func(t PlanTensor) bool { return strings.HasPrefix(t.Path, "model.vision_tower.") })
}

// index is model.safetensors.index.json.
func (p *Plan) index() ([]byte, error) {
	meta, files := pyjson.New(), pyjson.New()
	meta.Set("total_size", p.TotalSize)
	if p.Target == arch.MLX {
		meta.Set("total_parameters", p.parameters())
	}
	for _, t := range p.Tensors {
		files.Set(t.Path, p.Shards[t.Shard].Name)
	}
	out := pyjson.New()
	out.Set("metadata", meta)
	out.Set("weight_map", files.Sorted())
	return out.Python()
}

// parameters counts as mlx_lm does: the tensors of modules that have no module
// inside.
func (p *Plan) parameters() int64 {
	inner := map[string]bool{} // modules that hold modules with tensors
	for _, t := range p.Tensors {
		module := parent(t.Path)
		for m := parent(module); m != "" && !inner[m]; m = parent(m) {
			inner[m] = true
		}
	}
	packed := map[string]bool{}
	for _, t := range p.Tensors {
		if t.bits != 0 {
			packed[parent(t.Path)] = true
		}
	}
	var n int64
	for _, t := range p.Tensors {
		module := parent(t.Path)
		switch {
		case t.bits != 0:
			n += compute.Numel(t.Shape) * 32 / int64(t.bits)
		case packed[module]: // scales and biases are no parameters
			if t.Path == module+".bias" {
				n += compute.Numel(t.Shape)
			}
		case !inner[module] && module != "": // the root always holds modules
			n += compute.Numel(t.Shape)
		}
	}
	return n
}

// parent is the path without its last segment.
func parent(path string) string {
	return path[:max(strings.LastIndexByte(path, '.'), 0)]
}

// copyExtra copies one file and gives its bytes to also.
func copyExtra(ctx context.Context, dst *os.Root, src *ingest.Folder, x extra, also io.Writer, sync bool) error {
	in, err := src.Open(x.name)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := dst.OpenFile(x.name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	n, err := io.Copy(io.MultiWriter(out, also), io.NewSectionReader(interrupt.Reader(ctx, in), 0, x.size+1))
	if err == nil && n != x.size {
		err = fmt.Errorf("%s: has %d bytes, had %d when the export was planned", x.name, n, x.size)
	}
	if err == nil && sync {
		err = out.Sync()
	}
	return errors.Join(err, out.Close())
}

var _ arch.Source = (*source)(nil)
