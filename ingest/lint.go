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
	Do     string // what to do about it
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
// order of the table. A file that wreg refuses for what it holds gives the finding "refused"
// and the readers that take it all the same. The error is only for a path that is
// missing, holds no weights or cannot be read at all.
func Lint(ctx context.Context, path string, o Options) ([]tensor.Finding, error) {
	o.whole = true
	c, err := Open(ctx, path, o)
	l := &linted{c: c}
	var format *safetensors.FormatError
	switch {
	case err == nil:
		defer c.Close()
		l.found = slices.Clone(c.Findings())
	default:
		files, ok := refusals(err)
		if !ok || ctx.Err() != nil {
			return nil, err
		}
		for _, f := range files {
			l.found = append(l.found, finding("refused", f.File, "", "%s", f.first()))
		}
		errors.As(err, &format)
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

// LintRules is the table. It is also the page docs/formats.md; what to do is docs/troubleshooting.md.
var LintRules = []LintRule{
	{"reads-hole", "mlx, ollama", "read a file with bytes that belong to no tensor", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrHole, nil},
	{"reads-overlap", "mlx, ollama", "read a file whose tensors share bytes", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrOverlap, nil},
	{"reads-trailing-data", "mlx, ollama", "read a file with bytes after the last tensor", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrTrailingData, nil},
	{"reads-name-twice", "safetensors, mlx, ollama", "silently take the last of two tensors with one name", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrDuplicateName, nil},
	{"reads-field-twice", "ollama", "takes the last of two fields: the shape may then not fit the bytes", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrDuplicateField, nil},
	{"reads-wrong-case", "ollama", "takes fields in any case, so DType for dtype", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrMissingField, nil},
	{"reads-leading-space", "safetensors, mlx, ollama", "read a header that starts with spaces, against the format's own page", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrHeaderStart, nil},
	{"reads-garbage-after-header", "mlx, ollama", "read a header that goes on after its end, with NULs for instance", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrTrailing, nil},
	{"reads-odd-numbers", "mlx", "reads dimensions such as 2.0, -2 or 2^32+2, the last as 2", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrJSON, nil},
	{"reads-overflowing-shape", "mlx, safetensors", "mlx wraps dimensions to 32 bits; safetensors takes an overflow beside a dimension of 0", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrShape, nil},
	{"reads-broken-utf8", "ollama", "replaces the bytes of a name that are not UTF-8, so two names may become one", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrUTF8, nil},
	{"reads-odd-metadata", "ollama", "takes metadata that are not strings", "the file is against the format, and wreg refuses it: download it again, or save it again with the library that made it", safetensors.ErrMetadata, nil},

	{"mlx-lm-only-safetensors", "mlx_lm", "reads model*.safetensors and nothing else: no weights found here", "`wreg export MODEL --target mlx` writes what mlx_lm reads", nil, checkNoSafetensors},
	{"mlx-lm-skips-file", "mlx_lm", "reads only files called model*.safetensors, so not this one", "`wreg export MODEL --target mlx` writes what mlx_lm reads", nil, checkSkipped},
	{"mlx-lm-reads-stray", "mlx_lm", "ignores the index and reads every model*.safetensors; of a tensor given twice the last file's wins", "`wreg export MODEL --target mlx` writes what mlx_lm reads", nil, checkStrays},
	{"mlx-dtype", "mlx", "refuses the dtype", "`wreg export MODEL --target mlx` casts f64 to the dtype that config.json or `--dtype` names, and refuses 8-bit floats without a scale: export the checkpoint that those were made from", nil, holds("safetensors", tensor.F64, tensor.F8E5M2, tensor.F8E4M3FNUZ, tensor.F8E5M2FNUZ, tensor.F6E2M3, tensor.F6E3M2, tensor.F4)},
	{"mlx-fp8-bytes", "mlx", "reads 8-bit floats as uint8: without their scale they stay bytes and no error is raised", "find the scales: without them the weights are other numbers", nil, checkFP8Bytes},
	{"fp8-without-scale", "mlx_lm, transformers", "silently load an 8-bit float weight that has no scale beside it", "find the scales: without them the weights are other numbers", nil, checkFP8Scale},
	{"transformers-single-file", "transformers", "loads model.safetensors alone when it lies beside an index", "decide which of the two is the model, and move the other out of the folder; `wreg reindex` refuses a folder that has both", nil, checkSingleFile},
	{"transformers-no-index", "transformers", "finds no weights in several shards without an index", "`wreg reindex DIR` writes the missing index", nil, checkNoIndex},
	{"transformers-random-init", "transformers", "loads a checkpoint that lacks tensors and fills them at random, with a warning", "`wreg query 'gaps in MODEL'` lists what is missing; do not load it before that is found", nil, checkLacking},
	{"ollama-torch-empty", "ollama", "imports the tensors of a torch file as 0 bytes, without an error", "`wreg export MODEL --target hf --out DIR` makes safetensors of it", nil, checkTorch},
	{"mlx-gguf-stops", "mlx", "stops at this type and gives the tensors before it, without an error", "do not load the GGUF in mlx; `wreg export MODEL --target mlx` takes the types that [Export](export.md) names, and refuses the others", nil, holds("gguf", tensor.TQ1_0, tensor.TQ2_0, tensor.MXFP4, tensor.NVFP4, tensor.Q1_0, tensor.Q2_0)},
	{"mlx-gguf-type", "mlx", "cannot read this type", "do not load the GGUF in mlx; `wreg export MODEL --target mlx` takes the types that [Export](export.md) names, and refuses the others", nil, holds("gguf", tensor.Q5_0, tensor.Q5_1, tensor.Q8_1, tensor.Q3_K, tensor.Q5_K, tensor.Q8_K, tensor.IQ2_XXS, tensor.IQ2_XS,
		tensor.IQ3_XXS, tensor.IQ1_S, tensor.IQ4_NL, tensor.IQ3_S, tensor.IQ2_S, tensor.IQ4_XS, tensor.IQ1_M, tensor.I64, tensor.F64)},
	{"mlx-gguf-narrows", "mlx", "turns this type into f16, whose range is smaller", "do not load the GGUF in mlx; `wreg export MODEL --target mlx` takes the types that [Export](export.md) names, and refuses the others", nil, holds("gguf", tensor.BF16)},
	{"mlx-gguf-dequantizes", "mlx", "turns this type into f16: the quantization is lost", "do not load the GGUF in mlx; `wreg export MODEL --target mlx` takes the types that [Export](export.md) names, and refuses the others", nil, holds("gguf", tensor.Q2_K, tensor.Q4_K, tensor.Q6_K)},
	{"safetensors-dtype", "safetensors, mlx", "have no such type: an export must cast or refuse", "`wreg export MODEL --target mlx` casts where config.json or `--dtype` names a dtype, or refuses and says why", nil, checkNoSafetensorsDType},

	// Of gaps, which the architecture finds.
	{"architecture-missing", "wreg export", "refuses a checkpoint without what a tensor of the architecture is made of", "`wreg query 'gaps in MODEL'` says why, and what to do", nil, nil},
	{"architecture-changed", "wreg export", "refuses a tensor whose shape, dtype or packing is not what config.json gives", "`wreg query 'gaps in MODEL'` says why, and what to do", nil, nil},
	{"architecture-extra", "wreg export", "refuses a tensor that no rule of the architecture uses or drops", "`wreg query 'gaps in MODEL'` says why, and what to do", nil, nil},
}

// FindingRules says what each finding of Open and Lint means, and what to do about it, besides those of LintRules. It is
// also the table of docs/formats.md.
var FindingRules = []struct{ ID, Means, Do string }{
	{"absent-shard", "a shard that the index names, or the numbering of the others implies, is missing", "download the missing shards; the index says which file should hold what"},
	{"stray-shard", "a file of weights that is not part of the checkpoint; not read", "files of another upload lie in the folder: remove them, or move them to a folder of their own"},
	{"unreadable-file", "a stray file that cannot be read", "download the file again, or remove it if it is not the model's"},
	{"unreadable-config", "`config.json` is not JSON as Python's json reads it, or a Git LFS pointer or a web page stands in its place", "download the file again; in a Git clone, `git lfs pull`"},
	{"broken-file", "a tokenizer, another config, or code beside the weights are a Git LFS pointer, a web page, a server's answer, empty, a text that begins with a byte order mark, or JSON that is cut; ingest sees JSON over 1 MiB by how it begins and ends, lint and export read it", "download the file again; in a Git clone, `git lfs pull`"},
	{"leftover-quantization", "`config.json` says that weights are quantized, and none is stored in codes", "nothing for an export, which leaves the block out; for other readers, remove it from `config.json`"},
	{"config-value", "a key of `config.json` is missing, or has a value from which the architecture cannot be made or that mlx_lm does not load", "put the `config.json` of the model beside the weights"},
	{"no-elements", "weights, or parts of an adapter, have no elements, as ZeRO-3 leaves them when one rank saves its share", "compare with the original: weights were not loaded before they were saved, or one rank saved its share"},
	{"not-finite", "a tensor holds NaN or infinities", "find an earlier copy, or the step that made NaN or infinity; `wreg query 'find * where nans > 0 or infs > 0'` lists the tensors"},
	{"all-zero", "every value of a float tensor of two or more dimensions is 0; biases and norms of zeros are sound", "compare with the original: weights were not loaded before they were saved, or one rank saved its share"},
	{"constant-rows", "rows of a float tensor, of 8 elements or more along the last dimension, hold one value over and over", "compare with the original: weights were not loaded before they were saved, or one rank saved its share"},
	{"wrong-shard", "a tensor lies in another shard than the index says; read from there", "the weights were read all the same; `wreg reindex DIR` writes an index that fits"},
	{"index-missing-tensor", "the index names a tensor that no file holds", "download the missing shards; the index says which file should hold what"},
	{"not-in-index", "a shard holds a tensor that the index does not name; read anyway", "the weights were read all the same; `wreg reindex DIR` writes an index that fits"},
	{"index-total-size", "the index's `total_size` is not the sum of the tensors' bytes, or not an integer", "the weights were read all the same; `wreg reindex DIR` writes an index that fits"},
	{"foreign-index", "none of the shards that the index names are here; it was skipped", "remove the index, or download the shards that it names"},
	{"other-index", "a second index for the same family; not read", "files of another upload lie in the folder: remove them, or move them to a folder of their own"},
	{"other-format", "weights in another format lie beside those that were read", "nothing: name the file to ingest it, too"},
	{"adapter-beside", "an adapter lies beside a whole model; not read (a note)", "nothing: name the file to ingest it, too"},
	{"duplicate-tensor", "a tensor is in two files with one dtype and shape; before hashing", "harmless where the bytes are equal; ingest with hashes says which it is"},
	{"duplicate-equal", "the same, and the bytes are equal", "harmless: remove the file that is not the model's, if one is"},
	{"duplicate-differs", "the same, and the bytes are not", "decide which file is right, and remove the other"},
	{"conflicting-tensor", "a tensor is in two files with different dtype or shape", "decide which file is right, and remove the other"},
	{"part-of-set", "the one file that was named is a numbered shard, or a piece; a GGUF is a part of one that was split, of which others are missing", "as the message says: name the folder of a shard; gather pieces into whole weights first, since a folder of them is refused; get the missing parts of a GGUF that was split"},
	{"another-file", "GGUF: another file begins where this one ends: joined with cat; only the first is read", "compare size and hash with the source: two files may have been joined, or one was written over"},
	{"variant", "a file that holds the model once more, in another type for instance; not read; a note", "nothing: name the file to ingest it, too"},
	{"passed-over", "a file beside the model that holds no tensors, or is a pickle of another writer than torch; a note", "nothing, unless the model lacks what you expected in that file"},
	{"shards-by-number", "files that are numbered, without an index, and share no tensor were read as one model", "`wreg reindex DIR` writes the missing index"},
	{"flat-parameters", "tensors are the flat parameters of one process of FSDP, or DeepSpeed ZeRO's partitions: not weights, but pieces of many", "gather whole weights first, as the message says"},
	{"optimizer-pieces", "DeepSpeed's optimizer states, which hold the weights in fp32, lie beside those that were read", "gather whole weights first, as the message says"},
	{"incomplete-download", "the folder holds a file that an incomplete download left: `.incomplete`, `.part`, `.partial`, `.crdownload`, `.download`, `.aria2`", "let the download finish, or run it again"},
	{"no-tensors", "a file or checkpoint without tensors", "nothing to read: check that it is the right file"},
	{"unknown-field", "safetensors: an entry has a field the format does not know", "save the checkpoint again with the safetensors library, which leaves such fields out"},
	{"odd-name", "a tensor's name is empty, or holds control or invisible characters", "rename the tensor in the state dict and save it: saving it again as it is keeps the name"},
	{"unused-bytes", "GGUF: bytes that belong to no tensor, beyond padding; torch: storage that no tensor looks at, when it is a tenth of the file and at least 1 MiB", "GGUF: compare size and hash with the source. torch: a slice was saved with the whole that it was cut from; `.clone()` it before `torch.save`"},
	{"trailing-bytes", "NPY: bytes after the elements; torch: bytes after the last storage of a stream", "compare size and hash with the source: two files may have been joined, or one was written over"},
	{"npy-tight-shape", "NPY: `(2,2)` for `(2, 2)`, which mlx reads as `(2,)`", "save the array again with NumPy"},
	{"not-an-array", "NPZ: a member that is not a `.npy`", "nothing, unless a weight is among them: then save it as plain numbers"},
	{"not-numbers", "NPZ: a member of text or dates; the others are read; a note", "nothing, unless a weight is among them: then save it as plain numbers"},
	{"unread-array", "NPZ: a member of objects (a pickle, never opened), records, opaque bytes or numbers that no tensor has; the others are read. torch: such an array of numpy's, a weight of a `.pt2` that is pickled", "nothing, unless a weight is among them: then save it as plain numbers"},
	{"other-names", "lint only: the names begin with what training put before them, or lack what the architecture's begin with", "ingest again with the `--strip` or `--add` that the message ends with"},
	{"refused", "lint only: wreg refuses the file; the rules that follow say which readers do not", "see the error; the rules beside it say which readers would go on"},
	{"inert-object", "torch: an unknown class or function, which stays inert; one finding for each per model, with the number of its objects; a note", "nothing: a class that no tensor needs was not made"},
	{"second-root", "torch: records outside the archive's folder", "the archive was made or changed by another program than torch: compare with the source"},
	{"no-root-folder", "torch: records that lie in no folder", "the archive was made or changed by another program than torch: compare with the source"},
	{"torchscript", "torch: a TorchScript archive; a note", "nothing: the tensors were read"},
	{"bare-storage", "torch: a storage that is not a tensor", "nothing, unless it is a weight: then save the tensor, not what its `untyped_storage()` gives"},
	{"meta-tensor", "torch: a tensor without bytes", "save the model after its weights were loaded"},
	{"pending-operation", "torch: a conjugation or negation that is still to be done; done while reading; a note", "nothing: the tensors were read"},
	{"other-member", "torch: a member of a tar that torch never writes; not read", "the archive was made or changed by another program than torch: compare with the source"},
	{"byte-order", "torch: an untyped storage in a big-endian file; its bytes are read as they are", "load the file with the torch that wrote it, and save it again"},
	{"path-collision", "torch: two tensors would have one path; they are written with brackets, or numbered; a note", "nothing: both tensors were read, under names of their own"},
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
