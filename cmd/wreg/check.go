package main

import (
	"github.com/spf13/cobra"

	"wreg/registry"
	"wreg/registry/tensor"
)

func checkCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "check",
		Short: "check the registry file and report every fault",
		Long: `Walks the whole registry: the store's pages, every key and block, references
that lead nowhere, the hash index both ways. Every fault is reported, not the
first. (wreg verify checks a checkpoint's files.)`,
		Example: `  wreg check
  wreg check --registry /backup/registry.db --json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path, err := a.registryPath()
			if err != nil {
				return err
			}
			if err := mustExist(path); err != nil {
				return err
			}
			faults, err := registry.CheckFile(c.Context(), path, registry.Options{})
			if err != nil {
				return err
			}
			rep := &report{rule: "registry", at: []place{{file: path}}, head: []field{{"registry", path}}, columns: []string{"where", "message"}}
			for _, f := range faults {
				rep.rows = append(rep.rows, []any{f.File, f.Message})
			}
			return a.conclude(rep, len(faults) > 0, tensor.Count(len(faults), "fault"), "the registry is sound")
		},
	}
	return describe(c, statusFindings)
}
