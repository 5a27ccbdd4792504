package record

import (
	"fmt"
	"path"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"wreg/registry/tensor"
)

// maxName bounds a model's name, in bytes.
const maxName = 200

// shellMeaning are characters that a shell acts on in a word.
const shellMeaning = "$`;&|<>()!#~^"

// CheckName says why a name cannot be a new model's: it must be one that can be
// typed in a query, as a reference (name@2) and in a shell, and that no program
// takes for an option or a path.
func CheckName(name string) error {
	wrong := NameFault(name)
	if wrong == "" {
		wrong = newNameFault(name)
	}
	if wrong == "" {
		return nil
	}
	if len(name) > maxName {
		name = name[:maxName] + "…"
	}
	return fmt.Errorf("model name %q: %s; choose another with --name", name, wrong)
}

// newNameFault says why a name is not given any more; an older registry may hold it.
func newNameFault(name string) string {
	if i := strings.IndexAny(name, shellMeaning); i >= 0 {
		return fmt.Sprintf("%q has a meaning in shells", name[i])
	}
	if name[0] == '=' {
		return "it begins with '=', as formulas do"
	}
	for _, c := range name {
		if c == '\u2800' || unicode.In(c, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) {
			return fmt.Sprintf("%U cannot be seen", c)
		}
	}
	return ""
}

// NameFault says why no registry file can hold a model's name, "" nothing.
func NameFault(name string) (wrong string) {
	switch {
	case name == "":
		wrong = "it is empty"
	case len(name) > maxName:
		wrong = fmt.Sprintf("it has %d bytes, at most %d are kept", len(name), maxName)
	case !utf8.ValidString(name):
		wrong = "it is not UTF-8"
	case name[0] == '-':
		wrong = "it begins with '-', as options do"
	case name == "." || name == "..":
		wrong = "it is a folder's"
	}
	for _, c := range name {
		switch {
		case wrong != "":
		case c == '@':
			wrong = "'@' separates the revision"
		case strings.ContainsRune(`/\*?[]{},"'`, c):
			wrong = fmt.Sprintf("%q has a meaning in paths and patterns", c)
		case unicode.IsSpace(c) || !unicode.IsPrint(c):
			wrong = fmt.Sprintf("%q is a space or a control character", c)
		}
	}
	return wrong
}

// ParseRef splits "name@2"; number is 0 for a bare name.
func ParseRef(ref string) (name string, number int, ok bool) {
	name, text, at := strings.Cut(ref, "@")
	if !at {
		return name, 0, true
	}
	n, err := strconv.ParseUint(text, 10, 31)
	if err != nil || n == 0 || text[0] == '0' || text[0] == '+' {
		return name, 0, false
	}
	return name, int(n), true
}

// ReadRef is ParseRef of what a person asked for: org/name, as the hub has it, is what an
// ingest from the hub's cache calls org--name. No name has a slash in it.
func ReadRef(ref string) (name string, number int, ok bool) {
	return ParseRef(Name(ref))
}

// Name is what a model is called here that the hub calls org/name; other texts stay.
func Name(asked string) string {
	if org, name, ok := strings.Cut(asked, "/"); ok && strings.Trim(org, ".") != "" && name != "" && !strings.Contains(name, "/") {
		return org + "--" + name
	}
	return asked
}

// HubName is what the hub calls a model that was ingested from its cache; other names stay.
func HubName(name string) string {
	if org, rest, ok := strings.Cut(name, "--"); ok && org != "" && rest != "" {
		return org + "/" + rest
	}
	return name
}

// NotFoundError says which model is not there and what is near.
type NotFoundError struct {
	Ref     string
	Nearest []string
}

func (e *NotFoundError) Error() string {
	hint := "wreg ls lists the models"
	if len(e.Nearest) > 0 {
		hint = "did you mean " + strings.Join(e.Nearest, " or ") + "?"
	}
	return fmt.Sprintf("model %q is not in the registry: %s", e.Ref, hint)
}

// MaxNearest bounds the suggestions of a NotFoundError.
const MaxNearest = 3

// Nearest lists the names that are few edits from what was asked for.
func Nearest(want string, names []string) []string {
	limit := 1 + utf8.RuneCountInString(want)/3
	want = strings.ToLower(want)
	return tensor.Nearest(names, MaxNearest, func(name string) int {
		name = strings.ToLower(name)
		switch d := tensor.EditDistance(want, name); {
		case d <= limit:
			return d
		case want != "" && strings.HasPrefix(name, want):
			return limit
		}
		return -1
	})
}

// MatchName reports whether a glob ("*", "hunyuan*", "h?n") matches a whole name.
func MatchName(glob, name string) (bool, error) {
	ok, err := path.Match(glob, name)
	if err != nil {
		return false, fmt.Errorf("model pattern %q: %w", glob, err)
	}
	return ok, nil
}
