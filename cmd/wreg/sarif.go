package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/ingest"
	"wreg/ingest/folder"
	"wreg/ingest/shards"
	"wreg/query"
	"wreg/registry"
	"wreg/registry/tensor"
)

// place says where on disk a row lies: the folder that its column file is relative to, and
// the file in it that stands for a row without one, or whose file is not there.
type place struct{ dir, file string }

// placeOf finds the file that stands for a checkpoint: its index, else config.json, else
// the first file of weights.
func placeOf(root string, files []tensor.File) place {
	p := place{dir: folder.Of(root)}
	best := 3
	for _, f := range files {
		rank := 2
		switch {
		case shards.IsIndex(f.Name):
			rank = 0
		case f.Name == "config.json":
			rank = 1
		}
		if rank < best {
			best, p.file = rank, f.Name
		}
	}
	return p
}

// places finds where the rows of an answer lie, where the format shows it: one for each
// row, by its model, or one for all.
func (a *app) places(s *registry.Snapshot, res *query.Result) (list []place, err error) {
	if format, err := a.outputFormat(); err != nil || format != "sarif" && format != "github" || res.Model == "" {
		return nil, err
	}
	of := map[string]place{}
	for ref := range strings.SplitSeq(res.Model, ", ") {
		v, err := s.Find(ref)
		if err != nil {
			return nil, err
		}
		of[ref] = placeOf(v.Root, v.Files)
		list = append(list, of[ref])
	}
	model := slices.Index(res.Columns, "model")
	if len(list) == 1 || model < 0 {
		return list[:1], nil
	}
	list = nil
	for _, row := range res.Rows {
		ref, _ := row[model].(string)
		list = append(list, of[ref])
	}
	return list, nil
}

// file is the file that a finding is about, as the repository has it: relative to root, with
// slashes. One that lies elsewhere keeps its whole path, and inside is false.
func (f *finding) file(root string) (path string, inside bool) {
	full := f.File
	if full != "" && !filepath.IsAbs(full) {
		full = filepath.Join(f.at.dir, filepath.FromSlash(full))
	}
	if info, err := os.Stat(full); (err != nil || info.IsDir()) && f.at.file != "" {
		full = filepath.Join(f.at.dir, filepath.FromSlash(f.at.file))
	}
	if full == "" {
		return "", false
	}
	full, err := filepath.Abs(full)
	if err != nil {
		return f.File, true
	}
	for _, links := range []bool{false, true} {
		from, to := root, full
		if links {
			if from, err = filepath.EvalSymlinks(root); err != nil {
				break
			}
			if to, err = filepath.EvalSymlinks(filepath.Dir(full)); err != nil { // the file itself may be a link out of it
				break
			}
			to = filepath.Join(to, filepath.Base(full))
		}
		if rel, err := filepath.Rel(from, to); err == nil && filepath.IsLocal(rel) {
			return filepath.ToSlash(rel), true
		}
	}
	return filepath.ToSlash(full), false
}

// sourceRoot is what the paths of findings are relative to: the root of the repository that
// the working folder lies in, else that folder.
func sourceRoot() string {
	here, err := filepath.Abs(".")
	if err != nil {
		return "."
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if _, err := os.Lstat(filepath.Join(dir, ".git")); err == nil {
			return dir
		}
		if filepath.Dir(dir) == dir {
			return here
		}
	}
}

// A ruleText says what a rule means, and what to do about its findings.
type ruleText struct{ means, do string }

// ruleTexts has the rules that no other table has.
var ruleTexts = map[string]ruleText{
	"query":    {"a row of the answer of a query", "the row is what the query was asked to find; `wreg query` prints all of them"},
	"wreg":     {"a check whose answer is not what the file of checks expects, or that cannot run", "`wreg test MODEL --file FILE` prints each check's answer: correct the model, or the check"},
	"verify":   {"bytes on disk are not those that were recorded", "get the file again, or export again; `wreg ingest --rehash` records what is there now, if that is meant"},
	"registry": {"the registry's file is damaged", "`wreg check` lists every fault; go back to a file of `wreg backup`, or ingest again into a new registry"},
}

// rules are all that a finding may be of: those of ingest and lint, and those here.
func rules() map[string]ruleText {
	all := maps.Clone(ruleTexts)
	for _, r := range ingest.LintRules {
		all[r.ID] = ruleText{r.Reader + " " + r.Does, r.Do}
	}
	for _, r := range ingest.FindingRules {
		all[r.ID] = ruleText{r.Means, r.Do}
	}
	return all
}

// ruleOf says what a rule means, and what to do, without marks: of a gap, too.
func ruleOf(rule string) ruleText {
	text, ok := rules()[rule]
	if about := query.StatusText(rule); !ok && about != "" {
		text = ruleText{strings.Replace(about, "those", "tensors", 1), "`wreg query 'gaps in MODEL'` says why, and what to do"}
	}
	plain := strings.NewReplacer("`", "", "[", "", "](export.md)", "")
	return ruleText{plain.Replace(text.means), plain.Replace(text.do)}
}

// printSARIF writes SARIF 2.1.0 as code scanning takes it: one run, one result a row, each
// in a file, each known again by its rule and path.
func printSARIF(w io.Writer, rep *report) error {
	root := sourceRoot()
	rules, seen := []any{}, map[string]int{}
	results, before := []any{}, map[string]int{}
	for _, f := range rep.findings() {
		if f.passed {
			continue
		}
		at, ok := seen[f.Rule]
		if !ok {
			at = len(rules)
			seen[f.Rule] = at
			rule := object{{"id", f.Rule}}
			if text := ruleOf(f.Rule); text.means != "" {
				rule = append(rule, field{"shortDescription", object{{"text", text.means}}},
					field{"help", object{{"text", "What to do: " + text.do + ". docs/troubleshooting.md has it for every rule, docs/formats.md what each means."}}})
			}
			rules = append(rules, rule)
		}
		location := object{}
		file, inside := f.file(root)
		if file != "" {
			artifact := object{{"uri", sarifURI(file)}, {"uriBaseId", "%SRCROOT%"}}
			if !inside {
				artifact = object{{"uri", "file://" + sarifURI("/"+strings.TrimPrefix(file, "/"))}}
			}
			location = append(location, field{"physicalLocation", object{{"artifactLocation", artifact},
				{"region", object{{"startLine", 1}, {"startColumn", 1}, {"endLine", 1}, {"endColumn", 1}}}}})
		}
		path := f.Tensor
		if path != "" {
			location = append(location, field{"logicalLocations", []any{object{{"fullyQualifiedName", path}}}})
		} else if f.Rule == "query" {
			path = f.Message // nothing else tells the rows of a sum apart
		}
		sum := sha256.Sum256([]byte(f.Rule + "\x00" + file + "\x00" + path))
		print := hex.EncodeToString(sum[:8])
		before[print]++
		result := object{{"ruleId", f.Rule}, {"ruleIndex", at}, {"level", "error"}, {"message", object{{"text", cmp.Or(f.Message, f.Rule)}}}}
		if len(location) > 0 {
			result = append(result, field{"locations", []any{location}})
		}
		results = append(results, append(result, field{"partialFingerprints",
			object{{"primaryLocationLineHash", fmt.Sprintf("%s:%d", print, before[print])}}}))
	}
	return writeJSON(w, object{
		{"$schema", "https://json.schemastore.org/sarif-2.1.0.json"},
		{"version", "2.1.0"},
		{"runs", []any{object{
			{"tool", object{{"driver", object{{"name", "wreg"}, {"version", version}, {"language", "en-US"}, {"rules", rules}}}}},
			{"originalUriBaseIds", object{{"%SRCROOT%", object{{"description", object{{"text", "the root of the repository, or else the folder that wreg ran in"}}}}}}},
			// The defaults of the format, without which go-sarif refuses a run.
			{"language", "en-US"}, {"newlineSequences", []string{"\r\n", "\n"}}, {"columnKind", "unicodeCodePoints"},
			{"results", results},
		}}},
	}, true)
}

// sarifURI percent-encodes what a relative URI reference may not hold.
func sarifURI(file string) string {
	var b strings.Builder
	for i := range len(file) {
		c := file[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("/-._~", c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
