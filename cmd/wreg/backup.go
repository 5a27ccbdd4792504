package main

import (
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"wreg/registry"
)

func backupCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "write a consistent snapshot of the registry, while it is in use",
		Long:  `Writes the registry as it is now to a new file, a registry itself; - writes it to stdout. Readers are not disturbed.`,
		Example: `  wreg backup /backup/registry.db
  wreg backup - | gzip > registry.db.gz`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			return a.open(registry.Options{ReadOnly: true}, func(r *registry.Registry) error {
				if args[0] == "-" {
					if format := a.dataFormat(); format != "" {
						return fmt.Errorf("- writes the registry itself to stdout, and %s would be written there, too; give a FILE", format)
					}
					_, err := r.Backup(c.Context(), a.out)
					return err
				}
				if err := r.BackupFile(c.Context(), args[0]); err != nil {
					return err
				}
				st, err := os.Stat(args[0])
				if err != nil {
					return err
				}
				a.say("%s: %s", args[0], size(st.Size()))
				return a.done(object{{"file", args[0]}, {"bytes", st.Size()}})
			})
		},
	}
}
