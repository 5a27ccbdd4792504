package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"wreg/ingest/regular"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/wrap"
	"wreg/registry/tensor"
	"wreg/synth"
	"wreg/view"
)

func archCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "arch",
		Short: "architectures: list, show what one expects, check a file",
		Example: `  wreg arch ls
  wreg arch show hunyuan --layout mlx
  wreg arch check my.arch`,
	}
	c.AddCommand(describe(archLs(a), statusPlain), describe(archShow(a), statusPlain), archCheck(a))
	return c
}

func archLs(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "ls",
		Short:   "list the architectures and the model_types they serve",
		Example: `  wreg arch ls --json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			rep := &report{columns: []string{"arch", "layout", "aliases", "file"}}
			for _, layout := range arch.Made {
				for _, name := range arch.Names(layout) {
					ar, err := arch.ByNameIn(layout, name)
					if err != nil {
						return err
					}
					rep.rows = append(rep.rows, []any{ar.Name, layout, strings.Join(ar.Aliases, " "), ar.File})
				}
			}
			return a.print(rep)
		},
	}
}

func archShow(a *app) *cobra.Command {
	var layout, config string
	c := &cobra.Command{
		Use:   "show ARCH|MODEL",
		Short: "list the tensors that an architecture expects",
		Long: `Lists the tensors that a layout must hold: for a model of the registry, as its
config.json says; for an architecture, as --config or its small config says.`,
		Example: `  wreg arch show hunyuan
  wreg arch show llama --config ./config.json --layout mlx`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			ar, data, err := a.archOf(c.Context(), args[0], config)
			if err != nil {
				return err
			}
			cfg, err := arch.ParseConfig(data)
			if err != nil {
				return err
			}
			wants, err := ar.Expect(c.Context(), cfg, layout, nil)
			if err != nil {
				return fmt.Errorf("%s: %w", cmp.Or(config, args[0]), err)
			}
			if err := ar.Refuses(c.Context(), cfg); err != nil {
				a.say("no checkpoint with this config.json is taken: %v", err)
			}
			rep := &report{head: []field{{"arch", ar.Name}, {"layout", layout}},
				columns: []string{"path", "dtype", "shape", "optional", "rule"}}
			for _, w := range wants {
				rep.rows = append(rep.rows, []any{w.Path, w.DType, w.Shape, w.Optional, w.Rule})
			}
			return a.print(rep)
		},
	}
	c.Flags().StringVar(&layout, "layout", arch.HF, "hf or mlx")
	c.Flags().StringVar(&config, "config", "", "config.json `FILE`")
	return c
}

// archOf finds an architecture and a config for it: of an .arch file, by its
// name, or of a model of the registry.
func (a *app) archOf(ctx context.Context, name, configFile string) (ar *arch.Arch, config []byte, err error) {
	if strings.HasSuffix(name, ".arch") {
		ar, err = readArch(name)
	} else {
		ar, err = arch.ByName(name)
	}
	if configFile != "" {
		data, readErr := regular.Read(configFile, arch.MaxConfig)
		if readErr != nil {
			return nil, nil, readErr
		}
		return ar, data, err
	}
	if err == nil {
		if config, err = synth.Config(ar.Name); err != nil {
			err = fmt.Errorf("%w; give --config FILE", err)
		}
		return ar, config, err
	}
	v, regErr := a.latest(name)
	if regErr != nil {
		return nil, nil, errors.Join(err, regErr)
	}
	if v != nil {
		cfg, err := configOf(v)
		if err != nil {
			return nil, nil, err
		}
		err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
			all, err := tensorsOf(ctx, s, v)
			if err == nil {
				ar, err = arch.FindFor(ctx, "", cfg, all) // llama.cpp's names are another architecture's
			}
			return err
		})
		return ar, v.Config, err
	}
	return nil, nil, err
}

func archCheck(a *app) *cobra.Command {
	var config string
	c := &cobra.Command{
		Use:   "check FILE...",
		Short: "check architecture files",
		Long:  `Parses architecture files and, given a config, evaluates them in both layouts. A model whose config.json names the type can then be exported with --arch FILE.`,
		Example: `  wreg arch check my.arch
  wreg arch check my.arch --config ./config.json`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			rep := &report{columns: []string{"arch", "file", "hf", "mlx"}}
			for _, file := range args {
				ar, err := readArch(file)
				if err != nil {
					return err
				}
				row := []any{ar.Name, file, nil, nil}
				if config != "" {
					data, err := regular.Read(config, arch.MaxConfig)
					if err != nil {
						return err
					}
					cfg, err := arch.ParseConfig(data)
					if err != nil {
						return err
					}
					for i, layout := range []string{arch.HF, arch.MLX} {
						wants, err := ar.Expect(c.Context(), cfg, layout, nil)
						if err != nil {
							return fmt.Errorf("%s: %w", config, err)
						}
						row[2+i] = int64(len(wants))
					}
				}
				rep.rows = append(rep.rows, row)
			}
			return a.print(rep)
		},
	}
	c.Flags().StringVar(&config, "config", "", "config.json `FILE` to evaluate the architecture for")
	return describe(c, statusPlain)
}

// configOf is a model's config.json.
func configOf(v *registry.Revision) (*arch.Config, error) {
	if v.Adapter != nil {
		return nil, wrap.NoModel(v.Ref(), v.Adapter)
	}
	if len(v.Config) == 0 {
		return nil, fmt.Errorf("%s: %s", v.Ref(), view.NoConfig)
	}
	cfg, err := arch.ParseConfig(v.Config)
	if err != nil {
		err = fmt.Errorf("%s: %w", v.Ref(), err)
	}
	return cfg, err
}

// tensorsOf lists a revision's tensors by path, for as long as the snapshot is there.
func tensorsOf(ctx context.Context, s *registry.Snapshot, v *registry.Revision) (all tensor.List, err error) {
	for t, err := range s.Tensors(ctx, v) {
		if err != nil {
			return nil, err
		}
		all = append(all, t)
	}
	all.Sort()
	return all, nil
}
