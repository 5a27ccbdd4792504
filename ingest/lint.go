package ingest

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"wreg/ingest/safetensors"
	"wreg/ingest/shards"
	"wreg/registry/method"
	"wreg/registry/tensor"
)

// LintRule is one way in which a known reader takes a checkpoint differently from
// wreg, or than its user would think. Every row was seen to be so with safetensors
// 0.8, mlx 0.32 and mlx_lm 0.32, transformers 5, llama.cpp's gguf-py 0.19 or
// ollama's importer of 2026.
type LintRule struct {
	ID     string // stable: it is the Rule of the finding
	Reader string
	Does   string // what the reader does
	takes  error  // what wreg refuses a file for, and the reader does not; else
	check  func(*linted, *LintRule)
}

// linted is what rules look at, an open checkpoint, and what they found.
type linted struct {
	c     *Checkpoint
	found []tensor.Finding
}

// Lint opens the checkpoint at path and says what other readers would do
// differently with it: Open's own findings first, then those of LintRules, in the
// order of the table. A file that wreg refuses gives the finding "refused" and the
// readers that take it all the same. The error is only for a path that is not
// there or cannot be read at all.
func Lint(ctx context.Context, path string, o Options) ([]tensor.Finding, error) {
	o.whole = true
	c, err := Open(ctx, path, o)
	l := &linted{c: c}
	var format *safetensors.FormatError
	switch {
	case err == nil:
		defer c.Close()
		l.found = slices.Clone(c.Findings())
	case errors.As(err, &format):
		l.found = []tensor.Finding{finding("refused", format.File, "", "%v", err)}
	default:
		return nil, err
	}
	for i := range LintRules {
		switch r := &LintRules[i]; {
		case err == nil && r.check != nil:
			r.check(l, r)
		case r.takes != nil && errors.Is(err, r.takes):
			l.add(r, format.File, "", "%s", format.File)
		}
	}
	return l.found, nil
}

// LintRules is the table. It is also the page docs/formats.md.
var LintRules = []LintRule{
	{"reads-hole", "mlx, ollama", "read a file with bytes that belong to no tensor", safetensors.ErrHole, nil},
	{"reads-overlap", "mlx, ollama", "read a file whose tensors share bytes", safetensors.ErrOverlap, nil},
	{"reads-trailing-data", "mlx, ollama", "read a file with bytes after the last tensor", safetensors.ErrTrailingData, nil},
	{"reads-name-twice", "safetensors, mlx, ollama", "take the last of two tensors with one name, without a word", safetensors.ErrDuplicateName, nil},
	{"reads-field-twice", "ollama", "takes the last of two fields: the shape may then not fit the bytes", safetensors.ErrDuplicateField, nil},
	{"reads-wrong-case", "ollama", "takes fields in any case, so DType for dtype", safetensors.ErrMissingField, nil},
	{"reads-leading-space", "safetensors, mlx, ollama", "read a header that starts with spaces, against the format's own page", safetensors.ErrHeaderStart, nil},
	{"reads-garbage-after-header", "mlx, ollama", "read a header that goes on after its end, with NULs for instance", safetensors.ErrTrailing, nil},
	{"reads-odd-numbers", "mlx", "reads dimensions such as 2.0, -2 or 2^32+2, the last as 2", safetensors.ErrJSON, nil},
	{"reads-overflowing-shape", "mlx, safetensors", "mlx wraps dimensions to 32 bits; safetensors takes an overflow beside a dimension of 0", safetensors.ErrShape, nil},
	{"reads-broken-utf8", "ollama", "replaces the bytes of a name that are not UTF-8, so two names may become one", safetensors.ErrUTF8, nil},
	{"reads-odd-metadata", "ollama", "takes metadata that are not strings", safetensors.ErrMetadata, nil},

	{"mlx-lm-only-safetensors", "mlx_lm", "reads model*.safetensors and nothing else: no weights found here", nil, checkNoSafetensors},
	{"mlx-lm-skips-file", "mlx_lm", "reads only files called model*.safetensors, so not this one", nil, checkSkipped},
	{"mlx-lm-reads-stray", "mlx_lm", "ignores the index and reads every model*.safetensors; of a tensor given twice the last file's wins", nil, checkStrays},
	{"mlx-dtype", "mlx", "refuses the dtype", nil, holds("safetensors", tensor.F64, tensor.F8E5M2, tensor.F8E4M3FNUZ, tensor.F8E5M2FNUZ, tensor.F6E2M3, tensor.F6E3M2, tensor.F4)},
	{"mlx-fp8-bytes", "mlx", "reads 8-bit floats as uint8: without their scale they stay bytes and no error is raised", nil, checkFP8Bytes},
	{"fp8-without-scale", "mlx_lm, transformers", "load an 8-bit float weight that has no scale beside it without a word", nil, checkFP8Scale},
	{"transformers-single-file", "transformers", "loads model.safetensors alone when it lies beside an index", nil, checkSingleFile},
	{"transformers-no-index", "transformers", "finds no weights in several shards without an index", nil, checkNoIndex},
	{"transformers-random-init", "transformers", "loads a checkpoint that lacks tensors and fills them at random, with a warning", nil, checkLacking},
	{"ollama-torch-empty", "ollama", "imports the tensors of a torch file as 0 bytes, without an error", nil, checkTorch},
	{"mlx-gguf-stops", "mlx", "stops at this type and gives the tensors before it, without an error", nil, holds("gguf", tensor.TQ1_0, tensor.TQ2_0, tensor.MXFP4, tensor.NVFP4, tensor.Q1_0, tensor.Q2_0)},
	{"mlx-gguf-type", "mlx", "cannot read this type", nil, holds("gguf", tensor.Q5_0, tensor.Q5_1, tensor.Q8_1, tensor.Q3_K, tensor.Q5_K, tensor.Q8_K, tensor.IQ2_XXS, tensor.IQ2_XS,
		tensor.IQ3_XXS, tensor.IQ1_S, tensor.IQ4_NL, tensor.IQ3_S, tensor.IQ2_S, tensor.IQ4_XS, tensor.IQ1_M, tensor.I64, tensor.F64)},
	{"mlx-gguf-narrows", "mlx", "turns this type into f16, whose range is smaller", nil, holds("gguf", tensor.BF16)},
	{"mlx-gguf-dequantizes", "mlx", "turns this type into f16: the quantization is lost", nil, holds("gguf", tensor.Q2_K, tensor.Q4_K, tensor.Q6_K)},
	{"safetensors-dtype", "safetensors, mlx", "have no such type: an export must cast or refuse", nil, checkNoSafetensorsDType},

	// Of gaps, which the architecture finds.
	{"architecture-missing", "wreg export", "refuses a checkpoint without what a tensor of the architecture is made of", nil, nil},
	{"architecture-changed", "wreg export", "refuses a tensor whose shape, dtype or packing is not what config.json gives", nil, nil},
	{"architecture-extra", "wreg export", "refuses a tensor that no rule of the architecture uses or drops", nil, nil},
}

func (l *linted) add(r *LintRule, file, path, format string, args ...any) {
	l.found = append(l.found, finding(r.ID, file, path, "%s %s: %s", r.Reader, r.Does, fmt.Sprintf(format, args...)))
}

// tensors adds one finding per file for the tensors that meet a condition.
func (l *linted) tensors(r *LintRule, is func(*tensor.Info) bool) {
	var g groups
	ts := l.c.Tensors()
	for i := range ts {
		if t := &ts[i]; is(t) {
			g.add(t.File, fmt.Sprintf("%s (%v)", t.Path, t.DType))
		}
	}
	for _, one := range g.sorted() {
		path, _, _ := strings.Cut(one.first, " (")
		l.add(r, one.key, path, "%s: %s", one.key, one.names())
	}
}

// files adds a finding for each open file that meets a condition.
func (l *linted) files(r *LintRule, is func(*file) bool) {
	for _, f := range l.c.open {
		if is(f) {
			l.add(r, f.info.Name, "", "%s", f.info.Name)
		}
	}
}

// mlxFile matches what mlx_lm takes for weights.
var mlxFile = regexp.MustCompile(`^model.*\.safetensors$`)

func checkNoSafetensors(l *linted, r *LintRule) {
	if l.c.adapter == nil && !slices.ContainsFunc(l.c.open, func(f *file) bool { return mlxFile.MatchString(f.info.Name) }) {
		l.add(r, "", "", "%s", l.c.Path())
	}
}

func checkSkipped(l *linted, r *LintRule) {
	any := slices.ContainsFunc(l.c.open, func(f *file) bool { return mlxFile.MatchString(f.info.Name) })
	l.files(r, func(f *file) bool { return any && !f.stray && !mlxFile.MatchString(f.info.Name) })
}

func checkStrays(l *linted, r *LintRule) {
	l.files(r, func(f *file) bool { return f.stray && mlxFile.MatchString(f.info.Name) })
	for _, f := range l.c.Findings() {
		if f.Rule == "variant" && mlxFile.MatchString(f.File) {
			l.add(r, f.File, "", "%s", f.File)
		}
	}
}

func checkFP8Scale(l *linted, r *LintRule) {
	l.tensors(r, func(t *tensor.Info) bool {
		return strings.HasSuffix(t.Path, "weight") && (t.DType == tensor.F8E4M3 || t.DType == tensor.F8E5M2) && len(t.Shape) >= 2 && !method.Packed(t.Path, l.find)
	})
}

// checkFP8Bytes looks for weights: scales are read as bytes by whoever wants bytes.
func checkFP8Bytes(l *linted, r *LintRule) {
	l.tensors(r, func(t *tensor.Info) bool {
		return t.Format == "safetensors" && (t.DType == tensor.F8E4M3 || t.DType == tensor.F8E8M0) && !slices.ContainsFunc(method.Weights(t.Path), func(p method.Part) bool {
			return p.Use == method.Weight || method.Packed(p.Weight, l.find)
		})
	})
}

func (l *linted) find(path string) (t tensor.Info, ok bool) {
	if i, ok := l.c.tensors.Find(path); ok {
		return l.c.tensors[i], true
	}
	return t, false
}

func checkSingleFile(l *linted, r *LintRule) {
	if l.c.single != "" || !l.c.hasIndex() {
		return
	}
	l.files(r, func(f *file) bool { return f.info.Name == "model.safetensors" && len(l.c.open) > 1 })
}

func checkNoIndex(l *linted, r *LintRule) {
	if l.c.single == "" && !l.c.hasIndex() && !slices.ContainsFunc(l.c.open, func(f *file) bool {
		return slices.ContainsFunc(shards.Families, func(m shards.Family) bool { return m.Single == f.info.Name })
	}) && slices.ContainsFunc(l.c.open, func(f *file) bool { _, _, part := shards.PartOf(f.info.Name); return part && f.info.Format != "gguf" }) {
		l.add(r, l.c.open[0].info.Name, "", "%s and %d more", l.c.open[0].info.Name, len(l.c.open)-1)
	}
}

func checkLacking(l *linted, r *LintRule) {
	for _, f := range l.c.Findings() {
		if f.Rule == "index-missing-tensor" {
			l.add(r, f.File, f.Tensor, "%s", f.Message)
		}
	}
}

func checkTorch(l *linted, r *LintRule) {
	l.files(r, func(f *file) bool { return f.info.Format == "torch" && !f.stray })
}

// holds is the check for tensors of some types in files of a format.
func holds(format string, types ...tensor.DType) func(*linted, *LintRule) {
	return func(l *linted, r *LintRule) {
		l.tensors(r, func(t *tensor.Info) bool { return t.Format == format && slices.Contains(types, t.DType) })
	}
}

func checkNoSafetensorsDType(l *linted, r *LintRule) {
	l.tensors(r, func(t *tensor.Info) bool { return !safetensors.Holds(t.DType) })
}

// hasIndex reports whether an index was read.
func (c *Checkpoint) hasIndex() bool {
	return slices.ContainsFunc(c.files, func(f tensor.File) bool { return shards.IsIndex(f.Name) })
}
