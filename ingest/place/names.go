package place

import (
	"cmp"
	"fmt"
	"path"
	"slices"
	"strings"

	"wreg/registry/tensor"
)

// maxName bounds the bytes of a file's name.
const maxName = 4096

// CheckName says why a name that was read cannot be a file's path below a folder.
func CheckName(name string) error {
	switch {
	case len(name) > maxName:
		return fmt.Errorf("the name of a file has %d bytes, more than %d", len(name), maxName)
	case name == "" || name == "." || path.Clean(name) != name || path.IsAbs(name) || name == ".." || strings.HasPrefix(name, "../"):
		return fmt.Errorf("%.100q is no path of a file below a folder", name)
	case strings.ContainsAny(name, `\:`) || strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fmt.Errorf("%.100q is called a file, with a backslash, colon or control character in its name", name)
	}
	return nil
}

// Inside lists what lies in a folder of files whose names are paths: dir is "" or ends in /. Folders of it are
// listed once, and not descended into.
func Inside(files []Entry, dir string) (list []Entry) {
	folders := map[string]bool{}
	for _, e := range files {
		inside, ok := strings.CutPrefix(e.Name, dir)
		if !ok {
			continue
		}
		if first, _, deeper := strings.Cut(inside, "/"); deeper {
			if !folders[first] {
				folders[first] = true
				list = append(list, Entry{Name: first, Dir: true})
			}
			continue
		}
		e.Name = inside
		list = append(list, e)
	}
	slices.SortFunc(list, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return list
}

// DidYouMean names what is spelled like a word, else some of what there is: "; did you mean …?", "; there are …".
func DidYouMean(word string, names []string) string {
	const (
		near  = 3
		shown = 10
	)
	limit := 1 + len(word)/4
	found := tensor.Nearest(names, near, func(name string) int {
		if d := tensor.EditDistance(strings.ToLower(word), strings.ToLower(name)); d <= limit {
			return d
		}
		return -1
	})
	switch {
	case len(found) > 0:
		return "; did you mean " + quoted(found, " or ") + "?"
	case len(names) == 0:
		return ""
	}
	text := "; there are " + quoted(names[:min(len(names), shown)], ", ")
	if len(names) == 1 {
		text = "; there is " + quoted(names, "")
	}
	if more := len(names) - shown; more > 0 {
		text += fmt.Sprintf(" and %d more", more)
	}
	return text
}

func quoted(names []string, between string) string {
	out := make([]string, len(names))
	for i, name := range names {
		out[i] = fmt.Sprintf("%.100q", name)
	}
	return strings.Join(out, between)
}
