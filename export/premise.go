package export

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"wreg/ingest"
	"wreg/registry/arch"
	"wreg/registry/pyjson"
	"wreg/registry/tensor"
)

// tiedHead is a tensor that a rule drops as a copy of the embedding, and those it
// may be a copy of: used, of the same dtype and shape.
type tiedHead struct {
	path string
	of   []string
}

// tied checks the premise of rules that drop a head as tied to the embedding: that
// the bytes are the same, by the hashes taken at ingest. Heads of a source that was
// never hashed are compared by Run.
func (p *Plan) tied(ctx context.Context, r *arch.Resolution, doc *pyjson.Object) error {
	used := map[string]bool{}
	for _, d := range r.Drops {
		if !d.Tied() {
			continue
		}
		if len(used) == 0 {
			for _, t := range r.Targets {
				if t.Make != nil {
					for _, path := range loads(t.Make) {
						used[path] = true
					}
				}
			}
		}
		head, ok := p.source.Lookup(d.Path)
		if !ok {
			return fmt.Errorf("tensor %q is dropped, and is not in %s", d.Path, p.Model)
		}
		h, same := tiedHead{path: d.Path}, false
		for _, t := range p.source.tensors {
			if used[t.Path] && t.DType == head.DType && t.Shape.Equal(head.Shape) {
				h.of = append(h.of, t.Path)
				same = same || !head.Hash.IsZero() && t.Hash == head.Hash || head.Sum != tensor.Sum{} && t.Sum == head.Sum
			}
		}
		switch hashed := !head.Hash.IsZero() || head.Sum != (tensor.Sum{}); {
		case same:
		case !hashed && len(h.of) > 0:
			p.heads = append(p.heads, h)
		default:
			return p.trained(ctx, d, doc)
		}
	}
	return nil
}

// untie are the keys by which a config.json says that there is no head of its own.
var untie = []string{"tie_word_embeddings", "text_config.tie_word_embeddings", "share_input_output_layers"}

// trained refuses to drop a head that is not the embedding. What to do about it is
// tried before it is said.
func (p *Plan) trained(ctx context.Context, d arch.Drop, doc *pyjson.Object) error {
	advice := "no setting of config.json makes this architecture keep it"
	for _, key := range untie {
		if p.keeps(ctx, d.Path, key, doc) {
			advice = fmt.Sprintf("to keep it, set %s to false in config.json and ingest again", key)
			break
		}
	}
	return fmt.Errorf("%s cannot be exported: tensor %q would be dropped as %s (%s), and its bytes are not those of the embedding: a trained head would be lost; %s; to go without it, take it out of the checkpoint",
		p.Model, d.Path, d.Because, d.Rule, advice)
}

// keeps reports that with a key of config.json false the tensor is used and nothing
// is amiss.
func (p *Plan) keeps(ctx context.Context, path, key string, doc *pyjson.Object) bool {
	changed := doc.Clone()
	outer, inner, nested := strings.Cut(key, ".")
	if at := changed; nested {
		if at = doc.Object(outer); at == nil {
			return false
		}
		at = at.Clone()
		at.Set(inner, false)
		changed.Set(outer, at)
	} else {
		at.Set(key, false)
	}
	r, err := p.resolve(ctx, arch.NewConfig(changed), decoded{&p.source})
	return err == nil && len(r.Gaps) == 0 && !slices.Contains(r.Unused, path) &&
		!slices.ContainsFunc(r.Drops, func(d arch.Drop) bool { return d.Path == path })
}

// compareHeads reads the heads that no hash speaks for, before anything is written.
func (p *Plan) compareHeads(ctx context.Context, c *ingest.Checkpoint) error {
	for _, h := range p.heads {
		same := false
		for _, path := range h.of {
			equal, err := equalBytes(ctx, c, h.path, path)
			if err != nil {
				return err
			}
			if same = equal; same {
				break
			}
		}
		if !same {
			i := slices.IndexFunc(p.Drops, func(d arch.Drop) bool { return d.Path == h.path })
			return p.trained(ctx, p.Drops[i], p.doc)
		}
	}
	return nil
}

func equalBytes(ctx context.Context, c *ingest.Checkpoint, a, b string) (bool, error) {
	var readers [2]io.ReaderAt
	var buffers [2][]byte
	for i, path := range []string{a, b} {
		r, err := c.Bytes(path)
		if err != nil {
			return false, err
		}
		readers[i], buffers[i] = r, make([]byte, 1<<20)
	}
	info, _ := c.Lookup(a)
	for off := int64(0); off < info.Bytes; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n := min(info.Bytes-off, int64(len(buffers[0])))
		for i, path := range []string{a, b} {
			if err := readFull(readers[i], buffers[i][:n], off); err != nil {
				return false, fmt.Errorf("tensor %q: %w", path, err)
			}
		}
		if !bytes.Equal(buffers[0][:n], buffers[1][:n]) {
			return false, nil
		}
		off += n
	}
	return true, nil
}

// companion matches the names of what a packed weight means other numbers without:
// scales, zero points, orders and tables, as each method calls them.
var companion = regexp.MustCompile(`(^|\.)(` + strings.Join([]string{
	`qweight`, `qzeros`, `g_idx`, `qscales`, // gptq, awq
	`weight_packed`, `weight_scale`, `weight_zero_point`, `weight_g_idx`, `weight_shape`, `weight_global_scale`, // compressed-tensors
	`weight_scale_inv`, `scale_inv`, `weight_scale_\d`, // fp8, modelopt
	`weight\.(nested_)?(absmax|quant_map)`, `weight\.quant_state\..*`, `(weight\.)?SCB`, `weight_format`, // bitsandbytes
	`weight\._(data|scale|zeropoint|shift)`, // quanto
	`W_q`, `weight\.(scale|zero_point)`,     // hqq, torchao
	`\w+_(blocks|scales)`, // mxfp4
}, "|") + `)$`)

// companions are the tensors that belong to a packed weight: by their name, or as
// the scales and biases beside one that is stored in codes.
func (p *Plan) companions(paths []string) (list []string) {
	for _, path := range paths {
		if companion.MatchString(path) || p.besideCodes(path) {
			list = append(list, path)
		}
	}
	return list
}

func (p *Plan) besideCodes(path string) bool {
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "scales", "biases", "scale", "zeros", "zero_point":
		for _, name := range []string{".weight", ".qweight"} {
			if w, ok := p.source.Lookup(parent(path) + name); ok && ingest.Coded(&w) {
				return true
			}
		}
	}
	return false
}
