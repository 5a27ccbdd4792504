package folder

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"slices"

	"wreg/registry/pyjson"
)

// beside are the files of a folder that belong to a model besides its weights: the
// tokenizer in each of its forms, the model's own code, and generation defaults.
var beside = []string{
	"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
	"vocab.json", "vocab.txt", "merges.txt", "chat_template.jinja", "chat_template.json",
	"*.model", "*.tiktoken", "*.py", "generation_config.json",
}

// Beside reports the name of a file that belongs to a model besides its weights.
func Beside(name string) bool {
	return slices.ContainsFunc(beside, func(pattern string) bool { ok, _ := path.Match(pattern, name); return ok })
}

// What is read of a file to see that it is what its name says: of JSON up to MaxIntact
// bytes all, or, at a glance, up to maxGlance; of others how they begin and end.
const (
	MaxIntact = 64 << 20
	maxGlance = 1 << 20
	headBytes = 1024
	tailBytes = 64
)

// Intact fails where a file beside the weights is not what its name says: what git or
// a server left in its place, nothing, or JSON that ends half-way. It would be copied
// and proven, and fail only where the model is used. At a glance, large JSON is only
// looked at where it begins and ends.
func (d *Folder) Intact(name string, glance bool) error {
	f, err := d.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Named(name, err)
	}
	size, json := info.Size(), path.Ext(name) == ".json"
	most := int64(headBytes)
	if json && (size <= maxGlance || size <= MaxIntact && !glance) {
		most = size
	}
	data, err := io.ReadAll(io.LimitReader(f, most))
	if err != nil {
		return Named(name, err)
	}
	what, texts := pyjson.Instead(data), slices.Contains(lines, path.Ext(name))
	if texts && what != "" && bytes.HasPrefix(bytes.TrimLeft(data, "\ufeff \t\r\n"), []byte("<")) && !isPage(data) {
		what = ""
	}
	switch {
	case what != "":
	case texts && pyjson.Encoding(data) != "":
		what = pyjson.Encoding(data)
	case texts && bytes.HasPrefix(data, []byte("\ufeff")):
		what = "begins with a byte order mark (BOM), which readers take for a part of its first line; save the file as UTF-8 without one"
	case texts && answer.Match(data):
		what = fmt.Sprintf("holds a server's answer, %.60q, in place of the file; download it again, logged in where that is needed", bytes.TrimSpace(data))
	case size == 0 && !json && path.Ext(name) != ".py": // an empty __init__.py is sound
		what = "the file is empty; download it again"
	case json && int64(len(data)) == size:
		if err := pyjson.Check(data); err != nil {
			what = fmt.Sprintf("is not JSON: %v; download it again", err)
		}
	case json:
		what, err = ends(f, size, data)
	}
	if err == nil && what != "" {
		err = errors.New(what)
	}
	if err != nil {
		return Named(name, err)
	}
	return nil
}

// lines are the extensions of texts of which any line may be anything: a vocabulary's
// first token may be <html>.
var lines = []string{".txt", ".jinja", ".tiktoken"}

// A page has lines that are more than one tag alone, or ends as pages do; a vocabulary has a
// token on each, and no token has attributes or ends with another.
var (
	pageLine = regexp.MustCompile(`(?im)^\s*<[a-z!?/][^>\n]*(\s[\w:-]+\s*=[^>\n]*>|>[ \t]*[^\s])`)
	pageEnd  = regexp.MustCompile(`(?i)</(html|error)>\s*$`)
)

// answer is what servers send as plain text where a file is not to be had.
var answer = regexp.MustCompile(`(?i)^\s*(404: not found|(entry|repository|file) not found\.?|access to model .* is restricted.*|invalid (username or password|credentials).*)\s*$`)

func isPage(data []byte) bool { return pageLine.Match(data) || pageEnd.Match(data) }

// ends says what is wrong with JSON that neither begins nor ends as an object or a list
// does: a file that was cut, or the zeros of a download that never came.
func ends(f *os.File, size int64, head []byte) (string, error) {
	tail := make([]byte, tailBytes)
	if _, err := f.ReadAt(tail, size-tailBytes); err != nil {
		return "", err
	}
	const space = " \t\r\n"
	first, last := bytes.TrimLeft(head, space), bytes.TrimRight(tail, space)
	if len(first) == 0 || len(last) == 0 || !bytes.ContainsAny(first[:1], "{[") || last[len(last)-1] != first[0]+2 { // } and ] are two after { and [
		return fmt.Sprintf("is not JSON: its %d bytes begin with %.8q and end with %.8q; download it again", size, first, last[max(0, len(last)-8):]), nil
	}
	return "", nil
}
