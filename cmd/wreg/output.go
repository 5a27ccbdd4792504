package main

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"wreg/registry/tensor"
	viewtext "wreg/view/text"
	"wreg/view/words"
)

// formatTable is the one table of the values of --format beside auto.
var formatTable = []struct{ name, about string }{
	{"table", "aligned columns for people; on a terminal no line is wider than it"},
	{"tsv", "a line for each row, tabs between cells, no header"},
	{"csv", "with a header; what a spreadsheet would run as a formula has a ' before it"},
	{"md", "a table in Markdown"},
	{"json", "one object: what the answer is about, columns, rows, count"},
	{"ndjson", "an object for each row, a line each"},
	{"junit", "XML that servers of continuous integration read: a row is a failure"},
	{"sarif", "JSON that code scanning reads: a row is a result"},
	{"github", "annotations as GitHub's runners read them from a log"},
}

// formats are their names.
var formats = func() (names []string) {
	for _, f := range formatTable {
		names = append(names, f.name)
	}
	return names
}()

func formatNames() string { return strings.Join(formats, ", ") }

// report is what a verb prints: rows under named columns. A cell is nil, a
// string, a number, a bool, a tensor.DType, Shape or Hash, or anything that
// encoding/json knows.
type report struct {
	head    []field // what JSON says before the rows: {"query": …}
	columns []string
	rows    [][]any
	people  func() *report // what a table shows instead, when folded; nil: the same
	remarks []string       // a line under each row of a table; nil: none
	spare   []string       // columns that a narrow terminal does without, the first first
	empty   string         // what a person is told when there are no rows
	rule    string         // what continuous integration files a row under that has no status or rule
	at      []place        // where the rows lie on disk: of each, or one for all
	draw    drawing        // what a terminal shows instead of a table; nil: the table
}

type drawing func(o viewtext.Options) []string

// field is one entry of a JSON object whose order is kept.
type field struct {
	name  string
	value any
}

// print writes rep to stdout in the format asked for.
func (a *app) print(rep *report) error {
	format, err := a.outputFormat()
	if err != nil {
		return err
	}
	switch format {
	case "table", "md":
		if rep.draw != nil && format == "table" {
			return a.printLines(rep.draw)
		}
		if rep.people != nil {
			people := rep.people()
			people.empty = cmp.Or(people.empty, rep.empty)
			rep = people
		}
		if len(rep.rows) == 0 {
			if rep.empty != "" {
				a.say("%s", rep.empty)
			}
			return nil
		}
		if format == "md" {
			return printMarkdown(a.out, rep)
		}
		return a.paged(func(a *app) error { return a.printTable(rep) })
	case "tsv":
		return printTSV(a.out, rep)
	case "csv":
		return printCSV(a.out, rep)
	case "json":
		return printJSON(a.out, rep)
	case "ndjson":
		return printNDJSON(a.out, rep)
	case "junit":
		return printJUnit(a.out, rep)
	case "sarif":
		return printSARIF(a.out, rep)
	default:
		return printGitHub(a.out, rep)
	}
}

// printLines prints what is drawn for people.
func (a *app) printLines(draw drawing) error {
	return a.paged(func(a *app) error {
		for _, l := range draw(viewtext.Options{Width: terminalWidth(a.out), Colours: colourful(a.out)}) {
			if _, err := fmt.Fprintln(a.out, l); err != nil {
				return err
			}
		}
		return nil
	})
}

// conclude prints a report and says in a sentence, where there is one, what it comes
// to; a verb that found something ends so.
func (a *app) conclude(rep *report, found bool, bad, good string) error {
	if err := a.print(rep); err != nil {
		return err
	}
	if found {
		good = bad
	}
	if good != "" {
		a.say("%s", good)
	}
	if found {
		return errFindings
	}
	return nil
}

// outputFormat settles auto, and refuses names that are none.
func (a *app) outputFormat() (string, error) {
	switch {
	case a.json:
		return "json", nil
	case slices.Contains(formats, a.format):
		return a.format, nil
	case a.format != "auto":
		return "", fmt.Errorf("--format %q: want auto, %s", a.format, formatNames())
	case isTerminal(a.out):
		return "table", nil
	}
	return "tsv", nil
}

// printTSV writes rows without a header, so that lines are rows.
func printTSV(w io.Writer, rep *report) error {
	var b []byte
	for _, r := range rep.rows {
		b = b[:0]
		for i, v := range r {
			if i > 0 {
				b = append(b, '\t')
			}
			b = append(b, cell(v)...)
		}
		if _, err := w.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// printCSV writes a header and rows.
func printCSV(w io.Writer, rep *report) error {
	c := csv.NewWriter(w)
	row := make([]string, len(rep.columns))
	for i, name := range rep.columns {
		row[i] = csvCell(name)
	}
	if err := c.Write(row); err != nil {
		return err
	}
	for _, r := range rep.rows {
		for i, v := range r {
			row[i] = csvCell(v)
		}
		if err := c.Write(row); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// formulaStarts are the characters, wide ones too, at which a spreadsheet begins a
// formula, and the quote that keeps it from doing so.
const formulaStarts = "=+-@'＝＋－＠＇"

// csvCell is cell with a quote before what a spreadsheet would run as a formula,
// and before a quote, so that taking one away gives the text again.
func csvCell(v any) string {
	text := cell(v)
	switch v.(type) {
	case int, int64, float64:
		return text // -1 is not a formula
	}
	if first, _ := utf8.DecodeRuneInString(strings.TrimLeft(text, " ")); text != "" && strings.ContainsRune(formulaStarts, first) {
		return "'" + text
	}
	return text
}

// printJSON writes one object: what the report says of itself, then the rows, a
// line each.
func printJSON(w io.Writer, rep *report) error {
	head := append(slices.Clone(rep.head), field{"columns", rep.columns})
	var b strings.Builder
	b.WriteByte('{')
	for _, f := range head {
		name, err := marshal(f.name)
		if err != nil {
			return err
		}
		value, err := marshal(f.value)
		if err != nil {
			return err
		}
		fmt.Fprintf(&b, "\n  %s: %s,", name, value)
	}
	b.WriteString("\n  \"rows\": [")
	for i, r := range rep.rows {
		row, err := marshal(rowObject(rep.columns, r))
		if err != nil {
			return err
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n    ")
		b.WriteString(row)
	}
	if len(rep.rows) > 0 {
		b.WriteString("\n  ")
	}
	fmt.Fprintf(&b, "],\n  \"count\": %d\n}\n", len(rep.rows))
	_, err := io.WriteString(w, b.String())
	return err
}

func printNDJSON(w io.Writer, rep *report) error {
	for _, r := range rep.rows {
		if err := writeJSON(w, rowObject(rep.columns, r), false); err != nil {
			return err
		}
	}
	return nil
}

// object is a JSON object whose fields keep their order.
type object []field

func rowObject(columns []string, row []any) object {
	o := make(object, len(row))
	for i, v := range row {
		o[i] = field{columns[i], v}
	}
	return o
}

// MarshalJSON writes the fields in order.
func (o object) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, f := range o {
		if i > 0 {
			b = append(b, ',')
		}
		name, err := marshal(f.name)
		if err != nil {
			return nil, err
		}
		value, err := marshal(jsonValue(f.value))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		b = append(append(append(b, name...), ':'), value...)
	}
	return append(b, '}'), nil
}

// jsonValue is a cell as JSON has it: hashes and dtypes as text, shapes as lists,
// what is absent or not a JSON number as null.
func jsonValue(v any) any {
	switch v := v.(type) {
	case tensor.DType:
		if !v.Valid() {
			return nil
		}
		return v.String()
	case tensor.Hash:
		if v.IsZero() {
			return nil
		}
		return v.String()
	case tensor.Sum:
		if v == (tensor.Sum{}) {
			return nil
		}
		return v.String()
	case tensor.Shape:
		if v == nil {
			return []int64{}
		}
		return []int64(v)
	case float64:
		if v != v || v-v != 0 {
			return nil
		}
	}
	return v
}

// How much JSON may grow when it is laid out: what is short, as it likes.
const (
	minIndented   = 1 << 20
	indentedTimes = 16
)

// writeJSON writes v and a line break.
func writeJSON(w io.Writer, v any, indent bool) error {
	text, err := marshal(v)
	if err != nil {
		return err
	}
	if indent { // but for what is deeper than anybody reads: a config.json of brackets would grow ten-thousandfold
		if laid, whole := words.Indented([]byte(text), max(minIndented, indentedTimes*len(text))); whole {
			text = laid
		}
	}
	_, err = fmt.Fprintln(w, text)
	return err
}

// marshal gives v as JSON on one line. Characters that a terminal might obey are
// escaped, which JSON allows anywhere in a string.
func marshal(v any) (string, error) {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	s := strings.TrimSuffix(b.String(), "\n")
	if clean(s) {
		return s, nil
	}
	b.Reset()
	for i, r := range s {
		switch {
		case safe(r) && !commands(s, i):
			b.WriteRune(r)
		case r > 0xffff:
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	return b.String(), nil
}

// cell is a value as people and TSV see it; absent is empty.
func cell(v any) string { return escape(plain(v)) }

// plain is a value as text, as it is: what makes a cell of it escapes it.
func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return strconv.FormatInt(v, 10)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case tensor.DType:
		if !v.Valid() {
			return ""
		}
		return v.String()
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprint(v)
}
