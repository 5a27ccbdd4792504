package ui

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"wreg/registry"
	"wreg/registry/tensor"
)

// tensorsBody is one page of a model's tensors.
type tensorsBody struct {
	Ref, Filter, Sort string
	Columns           []sortable
	Rows              [][]cell
	Total             int64
	First, Last       int64
	Pager             pager
	Query             string
	Error             string
}

// sortable is the head of a column.
type sortable struct {
	Name, Link string
	Num        bool
	Arrow      string
}

// listed are the columns of the table of tensors.
var listed = []string{"path", "dtype", "shape", "bytes", "absmax", "nans", "infs", "file"}

func tensorsPage(a *asked) (*frame, error) {
	b := &tensorsBody{Ref: a.v.Ref(), Filter: a.arg("filter"), Sort: a.arg("sort")}
	column, descending := strings.CutPrefix(b.Sort, "-")
	if !slices.Contains(listed, column) {
		column, descending, b.Sort = "", false, ""
	}
	pattern, where := filtered(b.Filter)
	find := "find " + pattern + " in " + b.Ref + where
	b.Query = find
	if column != "" {
		b.Query += " order by " + column
		if descending {
			b.Query += " desc"
		}
	}
	total, err := a.run(find+" select count()", "", 1)
	if err == nil && len(total.Rows) == 1 {
		b.Total, _ = total.Rows[0][0].(int64)
	}
	var from, to int
	b.Pager, from, to = a.paged(int(b.Total), link(b.Ref, "tensors", "filter", b.Filter, "sort", b.Sort))
	if err == nil {
		err = a.tensors(b, from, to)
	}
	if err != nil {
		if a.Context().Err() != nil {
			return nil, err
		}
		b.Error = err.Error()
	}
	for _, name := range listed {
		c := sortable{Name: name, Num: slices.Contains([]string{"bytes", "absmax", "nans", "infs"}, name)}
		turns := []string{name, "-" + name, ""}
		if c.Num { // the greatest are what one looks for
			turns = []string{"-" + name, name, ""}
		}
		switch b.Sort {
		case name:
			c.Arrow = "▲"
		case "-" + name:
			c.Arrow = "▼"
		}
		next := turns[(slices.Index(turns, b.Sort)+1)%len(turns)]
		c.Link = link(b.Ref, "tensors", "filter", b.Filter, "sort", next)
		b.Columns = append(b.Columns, c)
	}
	return a.about("tensors", nil, b), nil // the list says its command, and goes with it
}

// tensors fills in the rows of a page: from the first to the last of them. A query has no offset, so that all rows before are
// made too, and dropped.
func (a *asked) tensors(b *tensorsBody, from, to int) error {
	text := strings.Replace(b.Query, " order by ", " select "+strings.Join(listed, ", ")+" order by ", 1)
	if b.Sort == "" {
		text += " select " + strings.Join(listed, ", ")
	}
	res, err := a.run(text, "", max(1, to))
	if err != nil {
		return err
	}
	for _, row := range res.Rows[min(from, len(res.Rows)):] {
		b.Rows = append(b.Rows, a.cells(res, row, b.Ref))
	}
	b.First, b.Last = int64(from+1), int64(len(res.Rows))
	return nil
}

// filtered is what a text in the box for filtering asks for: a pattern is one, and any
// other text is looked for anywhere in the path.
func filtered(text string) (pattern, where string) {
	text = strings.TrimSpace(text)
	switch {
	case text == "":
		return "*", ""
	case strings.ContainsAny(text, "*?{^"):
		if _, err := tensor.ParsePattern(text); err == nil {
			return word(text), ""
		}
	}
	return "*", " where path ~ /" + strings.ReplaceAll(regexp.QuoteMeta(text), "/", `\/`) + "/"
}

// tensorPage is one tensor in full, and where else its content lies.
func tensorPage(a *asked) (*frame, error) {
	path := a.arg("path")
	t, ok, err := a.snap.Lookup(a.v, path)
	if err != nil {
		return nil, err
	}
	if !ok {
		return a.folded(path)
	}
	body := map[string]any{"T": t, "Ref": a.v.Ref(), "Slices": len(t.Slices)}
	if !t.Hash.IsZero() {
		places, err := a.snap.ByHash(t.Hash)
		if err != nil {
			return nil, err
		}
		places = slices.DeleteFunc(places, func(w registry.Where) bool { return w.Model == a.v.Ref() && w.Path == path && w.Slice < 0 })
		body["More"] = max(0, len(places)-maxShown)
		body["Places"] = places[:min(len(places), maxShown)]
	}
	return a.about("tensor", []string{"show", a.v.Ref(), path}, body), nil
}

// folded is the page of a line that stands for several tensors, or for none: a missing one.
func (a *asked) folded(path string) (*frame, error) {
	if _, err := tensor.ParsePattern("^" + path); err != nil {
		return nil, &refusal{http.StatusNotFound, fmt.Sprintf("%s has no tensor %q", a.v.Ref(), path)}
	}
	pattern := word("^" + path)
	body := map[string]any{"Path": path, "Ref": a.v.Ref()}
	found, err := a.askOf("find "+pattern+" in "+a.v.Ref(), a.v.Ref(), false, link(a.v.Ref(), "tensor", "path", path))
	if err != nil {
		return nil, err
	}
	body["Found"] = found
	if body["Gaps"], err = a.ask("gaps " + pattern + " in " + a.v.Ref()); err != nil {
		body["Gaps"] = nil
	}
	return a.about("folded", []string{"query", "find ^" + path + " in " + a.v.Ref()}, body), nil
}
