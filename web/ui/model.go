package ui

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/tensor"
	"wreg/view"
	"wreg/view/words"
)

// about is the frame of a page about a.v.
func (a *asked) about(page string, line []string, body any) *frame {
	title := a.v.Ref()
	if page != "overview" {
		title += " · " + page
	}
	return &frame{Title: title, Page: page, Model: a.v.Ref(), Words: line, Body: body}
}

// drawn is what is shown of a.v, kept for as long as the registry stays as it is.
func drawn[T any](a *asked, what string, make func(context.Context, *registry.Snapshot, *registry.Revision, *arch.Arch) (T, error)) (T, error) {
	return remembered(&a.drawn, a.state+" "+what+" "+a.v.Ref(), func() (T, error) { return make(a.Context(), a.snap, a.v, nil) })
}

func overviewPage(a *asked) (*frame, error) {
	m, err := drawn(a, "overview", view.Of)
	if err != nil {
		return nil, err
	}
	return a.about("overview", []string{"show", a.v.Ref()}, m), nil
}

// coverageBody is the map, and what is known of the cell that was chosen.
type coverageBody struct {
	Map     *view.Map
	Problem string
	Cell    *cellBody
}

// cellBody is one cell: its gaps and its tensors.
type cellBody struct {
	Component string
	Layer     string // "" outside of the layers
	Expert    bool
	Query     string // that lists its tensors
	Experts   string // the address of its experts, one by one; "" where it has none
	Tensors   *answer
	Gaps      *answer
}

func coveragePage(a *asked) (*frame, error) {
	b := &coverageBody{}
	line := []string{"coverage", a.v.Ref()}
	var err error
	layer, expert := int64(0), a.arg("by") == view.ByExpert
	if expert {
		if layer, err = strconv.ParseInt(a.arg("of"), 10, 64); err != nil {
			return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("of=%q: want the number of a layer", a.arg("of"))}
		}
		line = append(line, "--by", "expert", "--layer", a.arg("of"))
		b.Map, err = view.Experts(a.Context(), a.snap, a.v, nil, layer)
	} else {
		b.Map, err = drawn(a, "coverage", view.Coverage)
	}
	if err != nil {
		if a.Context().Err() != nil {
			return nil, err
		}
		b.Problem = err.Error()
	} else {
		if a.arg("component") != "" {
			if b.Cell, err = a.cell(b.Map); err != nil {
				return nil, err
			}
		}
		shown := *b.Map // with names as they can be shown
		shown.Rows = slices.Clone(shown.Rows)
		for i := range shown.Rows {
			shown.Rows[i].Component = words.Inert(shown.Rows[i].Component)
		}
		b.Map = &shown
	}
	return a.about("coverage", line, b), nil
}

// cell says what lies in the cell that was chosen.
func (a *asked) cell(m *view.Map) (*cellBody, error) {
	c := &cellBody{Component: a.arg("component"), Layer: a.arg("column"), Expert: m.By == view.ByExpert}
	at := slices.IndexFunc(m.Rows, func(r view.Row) bool { // no other name shows so
		return words.Inert(r.Component) == c.Component && (c.Layer == "") == (len(r.Cells) == 0)
	})
	if _, err := strconv.ParseInt(c.Layer, 10, 64); at < 0 || c.Layer != "" && err != nil {
		return nil, &refusal{http.StatusNotFound, fmt.Sprintf("%s has no component %q in column %q of its map", a.v.Ref(), c.Component, c.Layer)}
	}
	c.Component = m.Rows[at].Component
	pattern := c.pattern(m, &m.Rows[at])
	c.Query = "find " + pattern + " in " + a.v.Ref()
	var err error
	if c.Tensors, err = a.ask(c.Query); err != nil {
		return nil, err
	}
	if !c.Expert && c.Layer != "" && slices.Contains(strings.Split(c.Component, "."), "experts") {
		c.Experts = link(a.v.Ref(), "coverage", "by", view.ByExpert, "of", c.Layer)
	}
	if !flawed(&m.Rows[at], m.Layers, c.Layer) { // what nothing is expected of cannot be asked for gaps
		c.Gaps = &answer{}
		return c, nil
	}
	c.Gaps, err = a.ask("gaps " + pattern + " in " + a.v.Ref())
	return c, err
}

// flawed says that a column of a row has gaps.
func flawed(row *view.Row, layers []int64, column string) bool {
	cell := view.Cell{}
	if n, err := strconv.ParseInt(column, 10, 64); err == nil {
		if i := slices.Index(layers, n); i >= 0 && i < len(row.Cells) {
			cell = row.Cells[i]
		}
	} else if row.Outside != nil {
		cell = *row.Outside
	}
	return cell.Missing+cell.Changed+cell.Extra > 0
}

// pattern matches the tensors of a cell, as a word of a query.
func (c *cellBody) pattern(m *view.Map, row *view.Row) string {
	column := "{layer}"
	if c.Expert {
		column = "{expert}"
	}
	segments := strings.Split(row.Under, ".")
	for i, s := range segments {
		switch {
		case s == column && c.Layer != "":
			segments[i] = c.Layer
		case tensor.Placeholders(s) == nil:
			segments[i] = quoted(s)
		}
	}
	under := "^" + strings.Join(segments, ".")
	within := !strings.Contains(row.Component, ".") && slices.ContainsFunc(m.Rows, func(r view.Row) bool { return strings.HasPrefix(r.Under, row.Under+".") })
	switch {
	case !row.Deep:
	case within: // of mlp not mlp.experts, which is a component of its own
		under = "{" + under[1:] + "," + under[1:] + ".?*," + under[1:] + ".?*.?*}"
		under = "^" + under
	case row.Leaf:
		under = "^{" + under[1:] + "," + under[1:] + ".*}"
	default:
		under += ".*"
	}
	return word(under)
}

// quoted makes a segment of a path one of a pattern that matches it alone.
func quoted(segment string) string {
	var b strings.Builder
	for _, r := range segment {
		if strings.ContainsRune(`*?{}[]\^,.`, r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// word is a pattern as a query has it: bare, or in quotes.
func word(pattern string) string {
	if !strings.ContainsFunc(pattern, func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("_-.*?{},^", r)
	}) {
		return pattern
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(pattern) + `"`
}

// fileRow is one file of a model.
type fileRow struct {
	tensor.File
	Tensors int64
	Bytes   int64
}

func filesPage(a *asked) (*frame, error) {
	res, err := a.run("find * group by file select file, count(), sum(bytes)", a.v.Ref(), 0)
	if err != nil {
		return nil, err
	}
	byName := map[string][]any{}
	for _, row := range res.Rows {
		if name, ok := row[0].(string); ok {
			byName[name] = row
		}
	}
	var rows []fileRow
	for _, f := range a.v.Files {
		r := fileRow{File: f}
		if row := byName[f.Name]; row != nil {
			r.Tensors, _ = row[1].(int64)
			r.Bytes, _ = row[2].(int64)
		}
		rows = append(rows, r)
	}
	p, from, to := a.paged(len(rows), link(a.v.Ref(), "files"))
	findings := a.v.Findings
	slices.SortStableFunc(findings, func(x, y tensor.Finding) int { return strings.Compare(x.File, y.File) })
	more := max(0, len(findings)-maxShown)
	return a.about("files", []string{"show", a.v.Ref()}, map[string]any{
		"Rows": rows[from:to], "Root": a.v.Root, "All": int64(len(rows)), "Pager": p, "Findings": findings[:len(findings)-more], "More": more,
	}), nil
}

func receiptPage(a *asked) (*frame, error) {
	body := map[string]any{"Receipt": "", "Config": indented(a.v.Config), "V": a.v}
	line := []string{"show", a.v.Ref()}
	if a.v.Receipt != nil {
		body["Receipt"] = indented(a.v.Receipt)
		line = []string{"verify", a.v.Ref()}
	}
	return a.about("receipt", line, body), nil
}

// maxJSON bounds what is shown of a JSON file.
const maxJSON = 256 << 10

// indented is a JSON file laid out for the eye. What is not shown is not made: laying out
// 20 KiB of brackets takes 200 MiB.
func indented(data []byte) string {
	out, whole := words.Indented(data, maxJSON)
	if !whole {
		out += "\n… (wreg show --json has all of it)"
	}
	return out
}

// compareBody is how a model differs from another that was chosen.
type compareBody struct {
	Ref, With string
	Others    []string
	Problem   string // why the two cannot be compared
	*view.Comparison
	Map        any
	Unmeasured []measured
	Answer     *answer
}

func comparePage(a *asked) (*frame, error) {
	all, err := view.Revisions(a.snap)
	if err != nil {
		return nil, err
	}
	b := &compareBody{Ref: a.v.Ref(), With: a.arg("with")}
	for _, v := range all {
		if ref := v.Ref(); ref != b.Ref {
			b.Others = append(b.Others, ref)
		}
	}
	if b.With == "" {
		return a.about("compare", []string{"diff", "OTHER", b.Ref}, b), nil
	}
	other, err := a.snap.Find(b.With)
	if err != nil {
		return nil, err
	}
	b.With = other.Ref()
	f := a.about("compare", []string{"diff", b.With, b.Ref}, b)
	f.Title = b.With + " → " + b.Ref
	if b.Comparison, err = a.compare(other); err != nil {
		if _, damaged := errors.AsType[*registry.DamagedError](err); damaged || a.Context().Err() != nil {
			return nil, err
		}
		b.Problem = err.Error() // another can be chosen
		return f, nil
	}
	b.Unmeasured = unmeasured(b.Comparison)
	parts := slices.DeleteFunc(slices.Clone(b.Parts), func(p view.Part) bool { return len(p.Patches) == 0 && p.Outside == nil })
	for i := range parts {
		parts[i].Component = words.Inert(parts[i].Component)
	}
	if len(parts) > 0 {
		b.Map = map[string]any{"layers": b.Layers, "components": parts}
	}
	if b.Answer, err = a.askOf("gaps in "+b.Ref+" against "+b.With, b.Ref, a.arg("expand") == "", link(b.Ref, "compare", "with", b.With, "expand", a.arg("expand"))); err != nil {
		return nil, err
	}
	b.Answer.Notes = b.Notes
	return f, nil
}

// statisticsBody is what was recorded of the values, and the curves that show it.
type statisticsBody struct {
	*view.Spread
	Curves  curves
	Outside []view.Band
	Root    string
}

// curves are what web's plot draws: a row for each component, a value for each layer.
type curves struct {
	Layers []int64 `json:"layers"`
	Rows   []curve `json:"rows"`
}

type curve struct {
	Name   string     `json:"name"`
	Values []*float64 `json:"values"`
}

func statisticsPage(a *asked) (*frame, error) {
	kept, err := drawn(a, "statistics", view.Ranges)
	if err != nil {
		return nil, err
	}
	r := *kept // its lists are shortened
	b := &statisticsBody{Spread: &r, Root: a.v.Root, Curves: curves{Layers: r.Layers, Rows: []curve{}}}
	for _, band := range r.Bands {
		if band.Outside != nil {
			b.Outside = append(b.Outside, band)
			continue
		}
		c := curve{Name: words.Inert(band.Component)}
		for _, s := range band.Spans {
			var x *float64
			if s != nil {
				x = s.AbsMax
			}
			c.Values = append(c.Values, x)
		}
		b.Curves.Rows = append(b.Curves.Rows, c)
	}
	for _, list := range []*[]view.Reach{&r.Float16.Overflow, &r.Float16.Vanish} {
		*list = (*list)[:min(len(*list), maxShown)]
	}
	return a.about("statistics", []string{"stats", a.v.Ref()}, b), nil
}
