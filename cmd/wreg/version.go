package main

import (
	"runtime"

	"github.com/spf13/cobra"
)

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print the version",
		Example: `  wreg version --json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.printObject(object{{"wreg", version}, {"go", runtime.Version()}, {"platform", runtime.GOOS + "/" + runtime.GOARCH}})
		},
	}
}
