package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"wreg/ingest/regular"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/synth"
)

// synthOptions are the flags of wreg synth.
type synthOptions struct {
	arch, out, config, layout, dtype string
	sizes                            map[string]*int64
	set, without                     []string
	seed                             uint64
	shardBytes                       int64
}

func synthCommand(a *app) *cobra.Command {
	o := synthOptions{sizes: map[string]*int64{}}
	c := &cobra.Command{
		Use:   "synth --arch NAME --out DIR",
		Short: "write a small valid checkpoint of an architecture",
		Long: `Writes a checkpoint with the tensors that an architecture's config.json calls
for: shards, index, config.json and a tokenizer. Its bytes follow from the
tensors' names and the seed, so the same command writes the same checkpoint
everywhere.`,
		Example: `  wreg synth --arch hunyuan --out ./hy
  wreg synth --arch hunyuan --layers 64 --experts 16 --out ./hy64
  wreg synth --arch hunyuan --without experts.2.up_proj.weight --out ./broken
  wreg synth --config ./config.json --out ./mine`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for name, n := range o.sizes {
				if !c.Flags().Changed(name) {
					*n = 0
				} else if *n <= 0 {
					return fmt.Errorf("--%s %d: want a positive number", name, *n)
				}
			}
			infos, opts, err := o.plan(c.Context())
			if err != nil {
				return err
			}
			if entries, err := os.ReadDir(o.out); err == nil && len(entries) > 0 {
				return fmt.Errorf("%s: the folder holds files already; give another --out", o.out)
			}
			if err := synth.Write(o.out, infos, opts); err != nil {
				return err
			}
			var total int64
			for _, t := range infos {
				total += t.Bytes
			}
			a.say("%s: %s, %s", o.out, tensor.Count(len(infos), "tensor"), size(total))
			return a.done(object{{"out", o.out}, {"tensors", int64(len(infos))}, {"bytes", total}})
		},
	}
	f := c.Flags()
	f.StringVar(&o.arch, "arch", "", "architecture `NAME` (wreg arch ls lists them)")
	f.StringVar(&o.out, "out", "", "`DIR` to write into; must be empty or absent")
	f.StringVar(&o.config, "config", "", "config.json `FILE` instead of the small one kept for the architecture")
	f.StringVar(&o.layout, "layout", arch.HF, "hf or mlx")
	f.StringVar(&o.dtype, "dtype", "", "dtype of the weights (default config.json's torch_dtype)")
	for _, size := range []string{"layers", "experts", "hidden", "vocab"} {
		o.sizes[size] = f.Int64(size, 0, "`N` in config.json instead of the small one's")
	}
	f.StringArrayVar(&o.set, "set", nil, "`KEY=JSON` to set in config.json, dotted for nested keys")
	f.StringArrayVar(&o.without, "without", nil, "leave out tensors that match `PATTERN`: a checkpoint with a gap")
	f.Uint64Var(&o.seed, "seed", 0, "seed of the bytes")
	f.Int64Var(&o.shardBytes, "shard-bytes", 0, "bytes of tensors in one shard (default 5 GiB)")
	must(c.MarkFlagRequired("out"))
	must(c.MarkFlagDirname("out"))
	must(c.RegisterFlagCompletionFunc("arch", cobra.FixedCompletions(synth.ConfigNames(), cobra.ShellCompDirectiveNoFileComp)))
	return c
}

// plan lists the tensors that the architecture calls for.
func (o synthOptions) plan(ctx context.Context) ([]tensor.Info, synth.Options, error) {
	opts := synth.Options{Seed: o.seed, ShardBytes: o.shardBytes}
	config, err := o.readConfig()
	if err != nil {
		return nil, opts, err
	}
	for size, n := range o.sizes {
		if *n > 0 {
			if config, err = synth.SetSize(config, size, *n); err != nil {
				return nil, opts, err
			}
		}
	}
	if err := o.knownKeys(config); err != nil {
		return nil, opts, err
	}
	for _, s := range o.set {
		key, value, ok := strings.Cut(s, "=")
		if !ok || key == "" {
			return nil, opts, fmt.Errorf("--set %q: want KEY=JSON", s)
		}
		if config, err = synth.SetKey(config, key, value); err != nil {
			return nil, opts, err
		}
	}
	cfg, err := arch.ParseConfig(config)
	if err != nil {
		return nil, opts, err
	}
	ar, err := arch.Find(cfg)
	if err != nil {
		return nil, opts, err
	}
	dt, err := weightType(o.dtype, config)
	if err != nil {
		return nil, opts, err
	}
	wants, err := ar.Expect(ctx, cfg, o.layout, nil)
	if err != nil {
		return nil, opts, fmt.Errorf("%s: %w", cmp.Or(o.config, o.arch), err)
	}
	patterns := make([]*tensor.Pattern, len(o.without))
	for i, w := range o.without {
		if patterns[i], err = tensor.ParsePattern(w); err != nil {
			return nil, opts, err
		}
	}
	var infos []tensor.Info
	met := make([]bool, len(patterns))
	for _, w := range wants {
		if w.Optional {
			continue
		}
		left := false
		for i, p := range patterns {
			if p.Match(w.Path) {
				left, met[i] = true, true
			}
		}
		if left {
			continue
		}
		t := tensor.Info{Path: w.Path, DType: w.DType, Shape: w.Shape}
		if !t.DType.Valid() {
			t.DType = dt
		}
		if t.Bytes, err = t.Shape.Bytes(t.DType); err != nil {
			return nil, opts, fmt.Errorf("tensor %q: %w", t.Path, err)
		}
		infos = append(infos, t)
	}
	if i := slices.Index(met, false); i >= 0 {
		var paths []string
		for _, w := range wants {
			paths = append(paths, w.Path)
		}
		return nil, opts, fmt.Errorf("--without %s: no tensor matches%s", o.without[i], didYouMean(tensor.NearPattern(o.without[i], paths)))
	}
	opts.Config, opts.Tokenizer = config, min(synth.VocabSize(config), 4096)
	return infos, opts, nil
}

// word is a name in an .arch file, which a key of config.json may be.
var word = regexp.MustCompile(`[A-Za-z_][A-Za-z_0-9]*`)

// knownKeys refuses to set a key that nothing reads: one that neither the config has, nor a
// small one that is kept, nor an .arch file speaks of. It would change nothing.
func (o synthOptions) knownKeys(config []byte) error {
	if len(o.set) == 0 {
		return nil
	}
	known := map[string]bool{}
	err := synth.Keys(config, known)
	for _, name := range synth.ConfigNames() {
		small, e := synth.Config(name)
		err = errors.Join(err, e, synth.Keys(small, known))
	}
	keys := slices.Sorted(maps.Keys(known))
	for _, name := range arch.Names(arch.MLX) {
		ar, e := arch.ByName(name)
		if err = errors.Join(err, e); err != nil {
			return err
		}
		for _, w := range word.FindAllString(ar.Text(), -1) {
			known[w] = true
		}
	}
	for _, s := range o.set {
		key, _, _ := strings.Cut(s, "=")
		path := strings.Split(key, ".")
		i := slices.IndexFunc(path, func(p string) bool { return p != "" && !known[p] })
		if i < 0 {
			continue
		}
		near := ""
		for _, n := range tensor.Nearest(keys, 1, func(k string) int {
			if d := tensor.EditDistance(k, path[i]); d <= 1+len(path[i])/4 {
				return d
			}
			return -1
		}) {
			path[i] = n
			near = strings.Join(path, ".")
		}
		return fmt.Errorf("--set %s: neither the config has this key nor any that wreg knows%s", key, didYouMean(near))
	}
	return nil
}

// didYouMean offers what is near a word that names nothing, if anything is.
func didYouMean(near string) string {
	if near == "" {
		return ""
	}
	return "; did you mean " + tensor.ShellWord(near) + "?"
}

func (o synthOptions) readConfig() ([]byte, error) {
	switch {
	case o.config != "" && o.arch != "":
		return nil, errors.New("--arch and --config both name the architecture; give one")
	case o.config != "":
		return regular.Read(o.config, arch.MaxConfig)
	case o.arch == "":
		return nil, errors.New("--arch NAME or --config FILE is needed")
	}
	return synth.Config(o.arch)
}

// torchTypes are the names that config.json uses for the types of weights.
var torchTypes = map[string]tensor.DType{
	"float32": tensor.F32, "float16": tensor.F16, "bfloat16": tensor.BF16, "float64": tensor.F64,
}

// weightType is the dtype asked for, else config.json's, else bf16.
func weightType(asked string, config []byte) (tensor.DType, error) {
	if asked != "" {
		return parseDType(asked)
	}
	if dt, ok := torchTypes[synth.TorchType(config)]; ok {
		return dt, nil
	}
	return tensor.BF16, nil
}

// parseDType reads wreg's names and torch's.
func parseDType(name string) (tensor.DType, error) {
	if dt, ok := torchTypes[name]; ok {
		return dt, nil
	}
	if dt, ok := tensor.ParseDType(name); ok {
		return dt, nil
	}
	if dt, ok := tensor.DTypeCalled(name); ok {
		for called, t := range torchTypes { // as mlx_lm has it, where it does
			if t == dt {
				return dt, fmt.Errorf("dtype %q is unknown; did you mean %s?", name, called)
			}
		}
		return dt, fmt.Errorf("dtype %q is unknown; did you mean %s?", name, dt)
	}
	return tensor.Invalid, fmt.Errorf("dtype %q is unknown; want bf16, f16, f32 or one of torch's names", name)
}
