package main

import (
	"fmt"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"wreg/ingest/folder"
	"wreg/ingest/places"
	"wreg/ingest/shards"
	"wreg/push/targets"
)

// scheme is how a URL begins.
var scheme = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.-]*)://(.*)$`)

// local refuses arguments that lie elsewhere, with what to type to have them here. Queries
// are no paths.
func local(c *cobra.Command, args []string) (err error) {
	c.Flags().Visit(func(f *pflag.Flag) {
		if text := f.Value.String(); err == nil && f.Value.Type() == "string" && f.Name != "hf-path" && isURL(text) && !(c.Name() == "export" && f.Name == "out" && targets.Names(text)) {
			err = fmt.Errorf("--%s %s: wreg reads and writes local files only", f.Name, places.Shown(text))
		} else if err == nil && f.Name == "hf-path" {
			args = append(args, text)
		}
	})
	if err != nil || c.Annotations[oneText] != "" {
		return err
	}
	for i, arg := range args {
		if ok, err := publishes(c, args, i); ok {
			if err != nil {
				return err
			}
			continue
		}
		if c.Annotations[readsElsewhere] != "" && places.Names(arg) {
			err := places.Check(arg)
			if m := scheme.FindStringSubmatch(arg); err == nil || fromHub(strings.ToLower(m[1]), m[2]) == "" {
				if err != nil {
					return err
				}
				continue
			}
		}
		if isURL(arg) && places.Local(arg) {
			return fmt.Errorf("%s: is read by wreg ingest and export; type: %s, and name the model", arg, shellLine([]string{"wreg", "ingest", arg}))
		}
		if isURL(arg) {
			return fmt.Errorf("%s: wreg reads local files, and what hf download left in the hub's cache; %s", places.Shown(arg), fetch(arg))
		}
	}
	return nil
}

func isURL(arg string) bool {
	if !scheme.MatchString(arg) {
		return false
	}
	_, err := os.Lstat(arg)
	return err != nil
}

// fetch says what to type so that what a URL names lies here, and what to call it then.
func fetch(arg string) string {
	m := scheme.FindStringSubmatch(arg)
	kind, rest := strings.ToLower(m[1]), strings.TrimRight(m[2], "/")
	name := path.Base(rest)
	then := func(line ...string) string {
		at := "./" + name
		return "type: " + shellLine(line) + " && " + shellLine([]string{"wreg", "ingest", at})
	}
	switch kind {
	case "file":
		if u, err := url.Parse(arg); err == nil && u.Path != "" {
			return "type: " + shellLine([]string{"wreg", "ingest", u.Path})
		}
	case "hf", "http", "https":
		if line := fromHub(kind, rest); line != "" {
			return line
		}
		if u, err := url.Parse(arg); kind != "hf" && err == nil && strings.Trim(u.Path, "/") != "" {
			name = path.Base(u.Path)
			if shown := places.Shown(arg); shown != arg { // which may be a secret
				arg = shown + "?…"
			}
			return then("curl", "-L", "-o", name, arg)
		}
	case "s3":
		if shards.FamilyOf(name) != nil {
			return then("aws", "s3", "cp", arg, ".")
		}
		return then("aws", "s3", "cp", "--recursive", arg, "./"+name)
	case "gs":
		if shards.FamilyOf(name) != nil {
			return then("gcloud", "storage", "cp", arg, ".")
		}
		return then("gcloud", "storage", "cp", "--recursive", arg, ".")
	}
	return "download it, and give its path"
}

// fromHub is what fetches a model, or a file of one, from the hub: hf://org/name@revision/file,
// https://huggingface.co/org/name/resolve/revision/file.
func fromHub(kind, rest string) string {
	rest, _, _ = strings.Cut(rest, "?")
	rest, _, _ = strings.Cut(rest, "#")
	parts := strings.Split(rest, "/")
	if kind != "hf" {
		if host := strings.TrimPrefix(strings.ToLower(parts[0]), "www."); host != "huggingface.co" && host != "hf.co" {
			return ""
		}
		parts = parts[1:]
	}
	if len(parts) > 0 && parts[0] == "models" {
		parts = parts[1:]
	}
	if len(parts) == 0 || parts[0] == "datasets" || parts[0] == "spaces" || parts[0] == "buckets" {
		return ""
	}
	views := map[string]bool{"tree": true, "resolve": true, "blob": true, "raw": true}
	id, n := parts[0], 1 // gpt2 has no organization
	if len(parts) > 1 && !views[parts[1]] && !strings.Contains(id, "@") {
		id, n = id+"/"+parts[1], 2
	}
	parts = parts[n:]
	id, revision, _ := strings.Cut(id, "@")
	if len(parts) > 1 && views[parts[0]] {
		revision, parts = parts[1], parts[2:]
	} else if len(parts) == 1 && views[parts[0]] {
		parts = nil
	}
	line := []string{"hf", "download", id}
	if file := strings.Join(parts, "/"); file != "" && kind == "hf" || shards.FamilyOf(path.Base(file)) != nil {
		line = append(line, file)
	}
	cached := id
	if revision != "" && revision != "main" {
		line = append(line, "--revision", revision)
		cached += "@" + revision
	} else if !strings.Contains(id, "/") {
		cached += "@main"
	}
	if !folder.IsRepoID(cached) {
		return ""
	}
	return "type: " + shellLine(line) + " && " + shellLine([]string{"wreg", "ingest", cached})
}
