package ui

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"wreg/query"
	"wreg/registry/expr"
	"wreg/registry/tensor"
	"wreg/view/words"
)

// answer is a query's answer as it is shown: one page of its rows.
type answer struct {
	Query   string
	Model   string // of -m
	Columns []column
	Rows    [][]cell
	Total   int64 // rows, folded or not
	Tensors int64 // before folding
	Folded  bool
	Capped  bool // that there are more rows than maxRows
	Notes   []string
	Head    string // what it was measured against
	Pager   pager
	Nothing string // what an answer without rows comes to
	Wider   string // a query that finds something, when this one does not
	Found   int
}

type column struct {
	Name string
	Num  bool
}

type cell struct {
	Text, Title, Link string
	Num, Mono         bool
	Status            string // of a gap, for its colour
}

// pager leads through a table.
type pager struct {
	Page, Pages int
	Link        string // without page=
}

// At is the address of a page.
func (p pager) At(n int) string {
	sep := "?"
	if strings.Contains(p.Link, "?") {
		sep = "&"
	}
	return p.Link + sep + "page=" + strconv.Itoa(n)
}

func (p pager) Next() int     { return min(p.Page+1, p.Pages) }
func (p pager) Previous() int { return max(p.Page-1, 1) }

// paged is the page that the address asks for, of a table of so many rows, and which rows are on it.
func (a *asked) paged(rows int, link string) (p pager, from, to int) {
	p = pager{Pages: max(1, (rows+maxShown-1)/maxShown), Link: link}
	p.Page, _ = strconv.Atoi(a.arg("page"))
	p.Page = max(1, min(p.Page, p.Pages))
	return p, (p.Page - 1) * maxShown, min(rows, p.Page*maxShown)
}

// ask answers a query about a.v, and shows its first rows.
func (a *asked) ask(text string) (*answer, error) { return a.askOf(text, a.v.Ref(), true, "") }

// askOf answers a query about a model, "" for none, and shows the page of it that the address asks for;
// link is that address, "" where it is about something else.
func (a *asked) askOf(text, model string, fold bool, link string) (*answer, error) {
	res, err := a.run(text, model, maxRows+1)
	if err != nil {
		return nil, err
	}
	out := &answer{Query: text, Model: model, Capped: len(res.Rows) > maxRows, Notes: res.Notes}
	if out.Capped {
		res.Rows = res.Rows[:maxRows]
	}
	if res.Against != "" {
		out.Head = res.Model + " against " + res.Against
	} else {
		out.Head = res.Model
	}
	out.Tensors = int64(len(res.Rows))
	if len(res.Rows) == 0 {
		q, err := query.Parse(text)
		if err != nil {
			return nil, err
		}
		out.Nothing = q.Nothing(res)
		if out.Wider, out.Found, _, err = q.Wider(a.Context(), a.snap, query.Options{Model: model}); err != nil {
			return nil, err
		}
	}
	if fold {
		folded := res.Fold()
		out.Folded = len(folded.Rows) < len(res.Rows)
		res = folded
	}
	out.Total = int64(len(res.Rows))
	rows := res.Rows[:min(len(res.Rows), maxShown)]
	if link != "" {
		var from, to int
		out.Pager, from, to = a.paged(len(res.Rows), link)
		rows = res.Rows[from:to]
	}
	out.Columns = columnsOf(res.Columns, rows)
	for _, row := range rows {
		out.Rows = append(out.Rows, a.cells(res, row, model))
	}
	return out, nil
}

// columnsOf says which columns are numbers: those that hold nothing else.
func columnsOf(names []string, rows [][]any) (list []column) {
	for i, name := range names {
		c := column{Name: name}
		for _, row := range rows {
			switch row[i].(type) {
			case int64, float64:
				c.Num = true
			}
		}
		list = append(list, c)
	}
	return list
}

func (a *asked) cells(res *query.Result, row []any, model string) (list []cell) {
	if at := slices.Index(res.Columns, "model"); at >= 0 {
		if ref, ok := row[at].(string); ok {
			model = ref
		}
	}
	if model == "" && !strings.Contains(res.Model, ",") { // of several, nobody says which
		model = res.Model
	}
	for i, v := range row {
		c := cell{Text: value(v)}
		switch x := v.(type) {
		case int64:
			if c.Num = true; res.Columns[i] == "bytes" {
				c.Text, c.Title = words.Size(x), words.Number(x)+" bytes"
			}
			if name := res.Columns[i]; name == "layer" || name == "expert" || name == "offset" {
				c.Text = strconv.FormatInt(x, 10)
			}
		case float64:
			c.Num, c.Title = true, strconv.FormatFloat(x, 'g', -1, 64)
		case tensor.Hash:
			c.Mono, c.Title = true, x.String()
		case string:
			switch res.Columns[i] {
			case "path":
				if c.Mono = true; len(model) > 0 {
					c.Link = link(model, "tensor", "path", x)
				}
			case "template", "file":
				c.Mono = true
			case "model":
				c.Link = link(x, "")
			case "status":
				c.Status = x
			}
		}
		list = append(list, c)
	}
	return list
}

// queryBody is the page of the query box.
type queryBody struct {
	Query, Model string
	Expand       bool
	Answer       *answer
	Error        []string // lines, with a caret
	Column       int      // of the error, from 1; 0: none
	Explain      string
	Examples     []string
}

// examples are queries to begin with.
var examples = []string{
	"gaps in *",
	"find * group by dtype select dtype, count(), sum(bytes)",
	"find * where nans > 0 or infs > 0",
	"find * where absmax > 65504",
	"find * order by bytes desc limit 20",
	"find * group by hash select hash, count(), min(path) having count() > 1",
}

func queryPage(a *asked) (*frame, error) {
	b := &queryBody{Query: a.arg("q"), Model: a.arg("model"), Expand: a.arg("expand") != ""}
	f := &frame{Title: "query", Page: "query", Query: b.Query, Body: b, Model: b.Model}
	if b.Model != "" {
		v, err := a.snap.Find(b.Model)
		if err != nil {
			return nil, err
		}
		b.Model, f.Model = v.Ref(), v.Ref()
	}
	if b.Query == "" {
		b.Examples = examples
		f.Words = []string{"query", "QUERY"}
		return f, nil
	}
	if len(b.Query) > maxText {
		return nil, &refusal{http.StatusRequestURITooLong, "this query is longer than an address can hold; wreg query --file reads it from a file"}
	}
	f.Words = []string{"query", b.Query}
	if b.Model != "" {
		f.Words = append(f.Words, "-m", b.Model)
	}
	var err error
	b.Answer, err = a.askOf(b.Query, b.Model, !b.Expand, link("", "query", "q", b.Query, "model", b.Model, "expand", a.arg("expand")))
	if err == nil {
		if a.arg("explain") != "" {
			b.Explain, err = a.explain(b)
		}
		return f, err
	}
	if a.Context().Err() != nil {
		return nil, err
	}
	if e, ok := errors.AsType[*expr.SyntaxError](err); ok {
		b.Error, b.Column = e.Lines(), e.Column
	} else {
		b.Error = []string{err.Error()}
	}
	return f, nil
}

func (a *asked) explain(b *queryBody) (string, error) {
	q, err := query.Parse(b.Query)
	if err != nil {
		return "", err
	}
	return q.Explain(a.Context(), a.snap, query.Options{Model: b.Model})
}

// hint is a way to go on with a query.
type hint struct {
	Text  string `json:"text"`
	About string `json:"about,omitempty"`
}

// complete lists what a query may go on as.
func (s *Server) complete(w http.ResponseWriter, r *http.Request) {
	text, o := r.URL.Query().Get("q"), query.Options{Model: r.URL.Query().Get("model")}
	var list []query.Candidate
	if len(text) <= maxText {
		err := s.answer(r, nil, func(a *asked) error {
			list = query.Complete(a.Context(), text, a.snap, o)
			return nil
		})
		if err != nil && r.Context().Err() == nil {
			list = query.Complete(r.Context(), text, nil, o) // the language is known all the same
		}
	}
	hints := []hint{}
	for _, c := range list[:min(len(list), maxShown)] {
		hints = append(hints, hint{c.Text, words.Inert(c.About)})
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(hints)
}
