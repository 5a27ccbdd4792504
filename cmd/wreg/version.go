package main

import (
	"runtime"
	"runtime/debug"
	"strings"

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

// builtFrom is versionLine of this binary.
func builtFrom() string {
	if info, ok := debug.ReadBuildInfo(); ok {
		return versionLine(info)
	}
	return version
}

// versionLine is the version, with the commit it was built from and its date where the go
// command recorded them.
func versionLine(info *debug.BuildInfo) string {
	said := map[string]string{}
	for _, f := range origin(info) {
		if text, ok := f.value.(string); ok {
			said[f.name] = text
		}
		if f.value == true {
			said[f.name] = " and changes"
		}
	}
	commit, date := said["commit"], said["date"]
	if commit == "" {
		return version
	}
	line := version + " (" + commit[:min(len(commit), 12)] + said["dirty"]
	if day, _, ok := strings.Cut(date, "T"); ok {
		line += ", " + day
	}
	return line + ")"
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
