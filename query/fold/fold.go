// Package fold shortens tables for people: rows that differ only in the numbers or in
// one word of their path become one line, layers.{0..63}.mlp.{down,up}_proj.weight.
//
// Most users need [Rows]. Numbers are folded first (grid.go), then words (words.go).
//
// Invariants:
//   - The lines cover every row exactly once, and the last column counts them.
//   - Values that differ are never put on one line, except for the expected shapes of
//     lines that differ in a word, which are listed.
package fold

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"wreg/registry/tensor"
)

// Count is the column that is added: how many tensors a line represents.
const Count = "tensors"

// maxNumbers is how many numbers the paths of a table hold that is folded: three for
// each of a million tensors are fewer. A table of more is returned as it is.
const maxNumbers = 1 << 22

// Rows puts rows that differ in nothing but the numbers or one word of their path
// on one line, for people:
//
//	model.layers.{0..63}.mlp.switch_mlp.{down,gate,up}_proj.weight  missing  192
//
// The last column of the result counts the tensors of a line; bytes are added up.
// Layers and experts are left out, as the path shows them. Without a path column,
// or rows, or with more than maxNumbers numbers, everything is returned as it is. The paths are patterns that find the
// tensors, but for names that hold a pattern's own characters.
func Rows(columns []string, rows [][]any) ([]string, [][]any) {
	at := slices.Index(columns, "path")
	if at < 0 || len(rows) == 0 {
		return columns, rows
	}
	f := &folder{path: at}
	for i, c := range columns {
		if c != "layer" && c != "expert" {
			f.keep = append(f.keep, i)
			f.names = append(f.names, c)
		}
	}
	for _, row := range rows {
		if f.add(row); f.numbers > maxNumbers {
			return columns, rows
		}
	}
	folded := [][]any{}
	for _, l := range mergeWords(f.lines()) {
		folded = append(folded, l.row(f))
	}
	return append(slices.Clip(f.names), Count), folded
}

// folder gathers rows that have the same template and the same values.
type folder struct {
	path    int   // the path's place in a row of the result
	numbers int   // in the paths so far
	keep    []int // places of the columns that stay
	names   []string
	groups  map[string]*foldGroup
	order   []*foldGroup
	seen    map[string]int // how often a path came up with the same values
}

type foldGroup struct {
	template string
	cells    []any // by keep; texts with the row's own numbers taken out
	tuples   [][]int64
	bytes    int64
}

// line is one line of the folded answer.
type line struct {
	segments []string
	numbers  grid
	names    []string // what each set of numbers counts
	cells    []any
	soft     []bool // by cell: shapes of merged lines may differ
	prose    []bool // by cell: a text that may name the path's words and numbers
	count    int
	bytes    int64
}

func (f *folder) add(row []any) {
	path, _ := row[f.path].(string)
	template, index := tensor.SplitPath(path)
	f.numbers += len(index)
	g := &foldGroup{template: template}
	key := template
	for i, k := range f.keep {
		v := row[k]
		switch {
		case k == f.path:
			v = nil
		case f.names[i] == "bytes":
			if n, ok := v.(int64); ok {
				// Lines of a group share them out, so they must be the same.
				g.bytes, v = n, nil
				key += fmt.Sprint("\x00", n)
			}
		case isProse(f.names[i]):
			if text, ok := v.(string); ok {
				v = takeNumbers(text, template, index)
			}
		}
		g.cells = append(g.cells, v)
		key += "\x00" + fmt.Sprint(v)
	}
	if f.groups == nil {
		f.groups, f.seen = map[string]*foldGroup{}, map[string]int{}
	}
	// The same path again, of another model, must be counted again.
	again := fmt.Sprint(path, "\x00", key)
	f.seen[again]++
	key += fmt.Sprint("\x00", f.seen[again])
	if known := f.groups[key]; known != nil {
		known.bytes += g.bytes
		g = known
	} else {
		f.groups[key] = g
		f.order = append(f.order, g)
	}
	g.tuples = append(g.tuples, index)
}

func (f *folder) lines() (lines []line) {
	soft, prose := make([]bool, len(f.names)), make([]bool, len(f.names))
	for i, name := range f.names {
		soft[i] = name == "expected_shape" && !slices.Contains(f.names, "shape")
		prose[i] = isProse(name)
	}
	for _, g := range f.order {
		grids := foldIndices(g.tuples)
		for _, numbers := range grids {
			l := line{segments: strings.Split(g.template, "."), numbers: numbers, cells: slices.Clone(g.cells), soft: soft, prose: prose, count: numbers.size()}
			if len(numbers) > 0 {
				l.names = tensor.Placeholders(g.template)
			} else {
				l.count = len(g.tuples)
			}
			l.bytes = g.bytes / int64(len(g.tuples)) * int64(l.count)
			lines = append(lines, l)
		}
	}
	return lines
}

func (g grid) size() int {
	n := 1
	for _, set := range g {
		n *= len(set)
	}
	return n
}

var layerNumber = regexp.MustCompile(`\b(layers?[ .]|h\.|blk\.|blocks?\.)(\d+)\b`)
var expertNumber = regexp.MustCompile(`\b(experts?[ .])(\d+)\b`)

// takeNumbers replaces a row's own layer and expert in a text by {layer} and
// {expert}, so that texts which say the same of many rows are one.
func takeNumbers(text, template string, index []int64) string {
	names := tensor.Placeholders(template)
	take := func(text, name string, form *regexp.Regexp) string {
		k := slices.Index(names, name)
		if k < 0 || k >= len(index) {
			return text
		}
		own := strconv.FormatInt(index[k], 10)
		return form.ReplaceAllStringFunc(text, func(found string) string {
			if rest, ok := strings.CutSuffix(found, own); ok && !strings.ContainsAny(rest, "0123456789") {
				return rest + "{" + name + "}"
			}
			return found
		})
	}
	return take(take(text, "layer", layerNumber), "expert", expertNumber)
}

// row writes the line: texts get the numbers back.
func (l *line) row(f *folder) []any {
	row := make([]any, 0, len(l.cells)+1)
	path := l.numbers.path(strings.Join(l.segments, "."))
	for i, v := range l.cells {
		switch text, isText := v.(string); {
		case f.keep[i] == f.path:
			v = path
		case f.names[i] == "bytes" && v == nil:
			v = l.bytes
		case isText && l.prose[i]:
			for k, name := range l.names {
				if k < len(l.numbers) {
					text = strings.ReplaceAll(text, "{"+name+"}", numbers(l.numbers[k]))
				}
			}
			v = text
		}
		row = append(row, v)
	}
	return append(row, int64(l.count))
}

// isProse names the columns whose texts say something about a row's own path.
func isProse(column string) bool { return column == "reason" || column == "remedy" }
