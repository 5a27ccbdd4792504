package export

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"

	"wreg/export/compute"
	"wreg/export/disk"
	"wreg/export/mlxconfig"
	"wreg/ingest"
	"wreg/ingest/claim"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// tied checks the premise of rules that drop a head as tied to the embedding: that
// the bytes are the same, by the hashes taken at ingest. Heads of a source that was
// never hashed are compared by Run.
func (p *Plan) tied(ctx context.Context, r *arch.Resolution) error {
	var used map[string]bool
	for _, d := range r.Drops {
		if !d.Tied() {
			continue
		}
		if used == nil {
			used = usedBy(r)
		}
		head, ok := p.source.Lookup(d.Path)
		if !ok {
			return fmt.Errorf("tensor %q is dropped, and is not in %s", d.Path, p.Model)
		}
		switch of, same := p.copies(&head, used); {
		case same:
		case !hashed(&head) && len(of) > 0:
			p.heads = append(p.heads, tiedHead{d, of})
		default:
			return p.trained(ctx, d)
		}
	}
	return nil
}

// usedBy are the source tensors that some target is made from.
func usedBy(r *arch.Resolution) map[string]bool {
	used := map[string]bool{}
	for _, t := range r.Targets {
		if t.Make != nil {
			for _, path := range compute.Loads(t.Make) {
				used[path] = true
			}
		}
	}
	return used
}

// copies are the used tensors that a head may be a copy of; same says that it is one,
// by the hashes taken at ingest.
func (p *Plan) copies(head *tensor.Info, used map[string]bool) (of []string, same bool) {
	for _, t := range p.source.tensors {
		if used[t.Path] && t.DType == head.DType && t.Shape.Equal(head.Shape) {
			of = append(of, t.Path)
			same = same || !head.Hash.IsZero() && t.Hash == head.Hash || head.Sum != tensor.Sum{} && t.Sum == head.Sum
		}
	}
	return of, same
}

func hashed(t *tensor.Info) bool { return !t.Hash.IsZero() || t.Sum != (tensor.Sum{}) }

// untie are the keys by which a config.json says that there is no head of its own.
var untie = []string{"tie_word_embeddings", "text_config.tie_word_embeddings", "share_input_output_layers"}

// trained refuses to drop a head that is not the embedding. What to do about it is
// tried before it is said.
func (p *Plan) trained(ctx context.Context, d arch.Drop) error {
	advice := "no setting of config.json makes this architecture keep it"
	for _, key := range untie {
		if p.keeps(ctx, d.Path, key) {
			advice = fmt.Sprintf("to keep it, set %s to false in config.json and ingest again", key)
			break
		}
	}
	return fmt.Errorf("%s cannot be exported: tensor %q would be dropped as %s (%s), and its bytes are not those of the embedding: a trained head would be lost; %s; to go without it, take it out of the checkpoint",
		p.Model, d.Path, d.Because, d.Rule, advice)
}

// keeps reports that with a key of config.json false the tensor is used and nothing
// is amiss.
func (p *Plan) keeps(ctx context.Context, path, key string) bool {
	changed := p.doc.Clone()
	outer, inner, nested := strings.Cut(key, ".")
	if at := changed; nested {
		if at = p.doc.Object(outer); at == nil {
			return false
		}
		at = at.Clone()
		at.Set(inner, false)
		changed.Set(outer, at)
	} else {
		at.Set(key, false)
	}
	r, err := p.resolve(ctx, arch.NewConfig(changed), &p.source)
	return err == nil && len(r.Gaps) == 0 && !slices.Contains(r.Unused, path) &&
		!slices.ContainsFunc(r.Drops, func(d arch.Drop) bool { return d.Path == path })
}

// compareHeads reads the heads that no hash speaks for, before anything is written.
func (p *Plan) compareHeads(ctx context.Context, c *ingest.Checkpoint) error {
	for _, h := range p.heads {
		same := false
		for k := 0; k < len(h.of) && !same; k++ {
			var err error
			if same, err = equalBytes(ctx, c, h.Path, h.of[k]); err != nil {
				return err
			}
		}
		if !same {
			return p.trained(ctx, h.Drop)
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
			if err := disk.ReadFull(readers[i], buffers[i][:n], off); err != nil {
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

// recomputed looks at the frequencies of rotary embeddings that rules drop because the
// consumer computes them from config.json: what is dropped must be what that gives, by
// the statistics taken at ingest. Those that differ are said, not refused: whether the
// model was trained with them only its maker knows.
func (p *Plan) recomputed(drops []arch.Drop) {
	theta, factor, known := mlxconfig.Rotary(p.doc)
	var first string
	unlike, unread := 0, 0
	for _, d := range drops {
		t, ok := p.source.Lookup(d.Path)
		if !ok || !strings.HasSuffix(d.Path, "inv_freq") || !known || len(t.Shape) != 1 || t.Shape[0] < 2 || !t.DType.Float() {
			continue
		}
		if t.Stats == nil {
			unread++
			continue
		}
		least := math.Pow(theta, -float64(t.Shape[0]-1)/float64(t.Shape[0]))
		if near(t.Stats.Max, 1, t.DType) && near(t.Stats.Min, least, t.DType) ||
			near(t.Stats.Max, 1/factor, t.DType) && near(t.Stats.Min, least/factor, t.DType) {
			continue
		}
		if unlike++; unlike == 1 {
			first = fmt.Sprintf("tensor %q is dropped, for it is computed again, and is not what config.json gives: it goes from %g to %g, rope_theta %g gives 1 to %g",
				d.Path, t.Stats.Max, t.Stats.Min, theta, least)
		}
	}
	if unlike > 1 {
		first += fmt.Sprintf("; %d more differ likewise", unlike-1)
	}
	if unlike > 0 {
		p.Notes = append(p.Notes, first+"; if the model was trained so, config.json must say it (rope_theta, rope_scaling)")
	}
	if unread > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d inv_freq tensors are dropped, for they are computed again, and were not compared with rope_theta: there are no statistics of them; ingest without --no-hash and --no-stats", unread))
	}
}

// near reports values equal within the rounding of a type, twice: of the value, and of
// the power it is.
func near(have, want float64, dt tensor.DType) bool {
	tolerance := 1e-5
	switch dt {
	case tensor.F16:
		tolerance = 1.0 / (1 << 10)
	case tensor.BF16:
		tolerance = 1.0 / (1 << 7)
	}
	return math.Abs(have-want) <= tolerance*math.Abs(want)
}

// companion matches the names of what a packed weight means other numbers without:
// scales, zero points, orders and tables, as each method calls them.
var companion = regexp.MustCompile(`(^|\.)(` + strings.Join([]string{
	`qweight`, `qzeros`, `g_idx`, `qscales`, // gptq, awq
	`weight_packed`, `weight_scale`, `weight_zero_point`, `weight_g_idx`, `weight_shape`, `weight_global_scale`, // compressed-tensors
	`weight_scale_inv`, `scale_inv`, `weight_scale_\d`, `weight_quantizer\..*`, // fp8, modelopt
	`weight\.(nested_)?(absmax|quant_map)`, `weight\.quant_state\..*`, `(weight\.)?SCB`, `weight_format`, // bitsandbytes
	`weight\._(data|scale|zeropoint|shift)`, // quanto
	`W_q`, `weight\.(scale|zero_point)`,     // hqq, torchao
	`\w+_(blocks|scales)`, // mxfp4
}, "|") + `)$`)

// Beside a weight that is used, whatever is called so scales or orders it; of
// activations it does not.
var (
	beside     = regexp.MustCompile(`(^|_)(scales?|scale_(inv|weight|\d)|scaling_factor|zeros|zero_?point|zp|scb|absmax|codebooks?|lut|perm)$`)
	activation = regexp.MustCompile(`^(input|output|in|out|acts?|activations?|q|k|v|kv|prob)_`)
)

// adapter matches the names of weights that are to be added to others.
var adapter = regexp.MustCompile(`(^|[._])lora_(A|B|up|down|embedding_A|embedding_B|magnitude_vector)(\.|$)`)

// outputHead matches the names of output heads.
var outputHead = regexp.MustCompile(`(^|\.)(lm_head|embed_out|output_layer)\.(weight|bias)$|^((language_)?model\.|transformer\.)?(output|head)\.(weight|bias)$`)

// needed are those of the tensors that no rule uses without which the model computes
// other numbers.
func (p *Plan) needed(r *arch.Resolution) (list []Needed) {
	used := usedBy(r)
	for _, path := range r.Unused {
		why := ""
		switch {
		case companion.MatchString(path) || p.besideCodes(path) || p.besideWeight(path, used):
			why = "belongs to a packed weight; dequantize the checkpoint first"
		case adapter.MatchString(path):
			why = "is part of an adapter; merge it into the weights first"
		case outputHead.MatchString(path):
			head, _ := p.source.Lookup(path)
			switch _, same := p.copies(&head, used); {
			case same:
			case !hashed(&head):
				why = "is an output head, and no hash says that it is a copy of the embedding; ingest with hashes, or take it out of the checkpoint"
			default:
				why = "is an output head, and no copy of a tensor that is used; to go without it, take it out of the checkpoint"
			}
		}
		if why != "" {
			list = append(list, Needed{path, why})
		}
	}
	return list
}

func (p *Plan) besideCodes(path string) bool {
	switch path[strings.LastIndexByte(path, '.')+1:] {
	case "scales", "biases", "scale", "zeros", "zero_point":
		for _, name := range []string{".weight", ".qweight"} {
			if w, ok := p.source.Lookup(parent(path) + name); ok && claim.Coded(&w) {
				return true
			}
		}
	}
	return false
}

func (p *Plan) besideWeight(path string, used map[string]bool) bool {
	last := path[strings.LastIndexByte(path, '.')+1:]
	return used[parent(path)+".weight"] && beside.MatchString(last) && !activation.MatchString(last)
}
