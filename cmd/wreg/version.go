package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version, and what it was built from",
		Long: `Prints the version and, where the go command recorded them, the module's version,
the commit, its date, and whether files differed from it.`,
		Example: `  wreg version --json`,
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			about := object{{"wreg", version}, {"go", runtime.Version()}, {"platform", runtime.GOOS + "/" + runtime.GOARCH}}
			if info, ok := debug.ReadBuildInfo(); ok {
				about = append(about, origin(info)...)
			}
			return a.printObject(about)
		},
	}
}

// origin is what the go command recorded of the sources; what it did not, as for a
// build outside of a clone, is left out.
func origin(info *debug.BuildInfo) (o object) {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		o = append(o, field{"module", v})
	}
	settings := map[string]string{}
	for _, s := range info.Settings {
		settings[s.Key] = s.Value
	}
	if commit := settings["vcs.revision"]; commit != "" {
		o = append(o, field{"commit", commit}, field{"date", settings["vcs.time"]}, field{"dirty", settings["vcs.modified"] == "true"})
	}
	return o
}
