package ui

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"time"

	"wreg/query"
	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/expr"
	"wreg/registry/tensor"
	"wreg/view/words"
	"wreg/web"
)

//go:embed templates
var templates embed.FS

//go:embed static/*.js static/*.css
var static embed.FS

// frame is what every page has around its content.
type frame struct {
	Title   string
	Page    string   // the template of the content
	Model   string   // the revision that the page is about, "" for the registry
	Query   string   // what the query box holds
	Words   []string // the command that gives the same answer
	Body    any
	Version string
	Idle    string
}

// asked is one request with the snapshot that answers it.
type asked struct {
	*Server
	request *http.Request
	snap    *registry.Snapshot
	v       *registry.Revision // of {ref} in the path
	state   string             // of the registry: another one after every change
}

// arg is a value of the address.
func (a *asked) arg(name string) string { return a.request.URL.Query().Get(name) }

// Context ends with the request, or when it took too long.
func (a *asked) Context() context.Context { return a.request.Context() }

// routes lists every page. What has {ref} is about one revision.
func (s *Server) routes() http.Handler {
	m := http.NewServeMux()
	for path, fn := range map[string]func(*asked) (*frame, error){
		"/{$}":                    modelsPage,
		"/part/models":            modelsPart,
		"/part/model/{ref}":       modelPart,
		"/part/kin/{ref}":         kinPart,
		"/model/{ref}":            overviewPage,
		"/model/{ref}/coverage":   coveragePage,
		"/model/{ref}/statistics": statisticsPage,
		"/model/{ref}/tensors":    tensorsPage,
		"/model/{ref}/tensor":     tensorPage,
		"/model/{ref}/files":      filesPage,
		"/model/{ref}/receipt":    receiptPage,
		"/query":                  queryPage,
	} {
		m.HandleFunc("GET "+path, s.page(fn))
	}
	m.HandleFunc("GET /model/{ref}/compare", s.page(comparePage, s.compares))
	m.HandleFunc("GET /complete", s.complete)
	m.HandleFunc("GET /part/measured/{ref}", s.measured)
	m.Handle("GET /static/", assets())
	m.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.refuse(w, r, http.StatusNotFound, "There is no such page", "The registry's page leads to all others.")
	})
	return m
}

// assets serves what pages load: what the report has, too, with our own after it.
func assets() http.Handler {
	read := func(name string) string {
		text, err := static.ReadFile("static/" + name)
		if err != nil {
			panic(err) // embedded, or the program was not built
		}
		return string(text)
	}
	files := map[string]struct{ kind, text string }{
		"ui.css":   {"text/css; charset=utf-8", web.Style() + read("ui.css")},
		"ui.js":    {"text/javascript; charset=utf-8", web.Script() + read("ui.js")},
		"early.js": {"text/javascript; charset=utf-8", read("early.js")},
		"htmx.js":  {"text/javascript; charset=utf-8", read("htmx.min.js")},
	}
	return http.StripPrefix("/static/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := files[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", f.kind)
		io.WriteString(w, f.text)
	}))
}

// page makes a handler of what fn says of a snapshot, once it was let through the gates. The
// page is whole, and the registry closed, before anything is sent.
func (s *Server) page(fn func(*asked) (*frame, error), gates ...gate) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var f *frame
		var page bytes.Buffer
		err := s.answer(r, gates, func(a *asked) (err error) {
			if f, err = fn(a); err == nil {
				err = s.render(&page, f)
			}
			return err
		})
		if err != nil {
			s.fail(w, r, err)
			return
		}
		send(w, r, http.StatusOK, page.Bytes())
	}
}

// answer runs fn on a snapshot when it is the request's turn: at these gates, then at that of
// all pages.
func (s *Server) answer(r *http.Request, gates []gate, fn func(*asked) error) (err error) {
	for _, g := range append(slices.Clone(gates), s.gate) {
		leave, err := g.enter(r.Context())
		if err != nil {
			return err
		}
		defer leave()
	}
	defer func() {
		if wrong := recover(); wrong != nil {
			err = fmt.Errorf("this is a fault in wreg, please report it: %v", wrong)
		}
	}()
	ctx, cancel := context.WithTimeoutCause(r.Context(), maxTime, errSlow)
	defer cancel()
	err = s.store.view(ctx, func(snap *registry.Snapshot, state string) (err error) {
		a := &asked{Server: s, request: r.WithContext(ctx), snap: snap, state: state}
		if ref := r.PathValue("ref"); ref != "" {
			if a.v, err = snap.Find(ref); err != nil {
				return err
			}
		}
		return fn(a)
	})
	if err != nil && context.Cause(ctx) == errSlow {
		err = errSlow
	}
	return err
}

// errSlow says that a page took too long.
var errSlow = fmt.Errorf("making this page took longer than %v", maxTime)

// render writes the page, or the part of one whose name begins with "part".
func (s *Server) render(w *bytes.Buffer, f *frame) error {
	f.Version, f.Idle = s.Version, IdleText(s.Options.Idle)
	name := "page"
	if strings.HasPrefix(f.Page, "part") {
		name = f.Page
	}
	if err := s.pages.ExecuteTemplate(w, name, f); err != nil {
		return err
	}
	if w.Len() > maxPage {
		return fmt.Errorf("this page has %s, and a browser is sent at most %s: narrow what you ask for", words.Size(int64(w.Len())), words.Size(maxPage))
	}
	return nil
}

func send(w http.ResponseWriter, r *http.Request, status int, page []byte) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(page)
	}
}

// trouble is a page that says what went wrong and what to do.
type trouble struct {
	What, Do string
	Again    int // seconds until the page is asked for again; 0: it is not
}

// refusal is an error of who asks, not of wreg.
type refusal struct {
	status int
	what   string
}

func (e *refusal) Error() string { return e.what }

// fail answers with an error.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, t := http.StatusInternalServerError, trouble{What: words.Line(err.Error())}
	_, missing := errors.AsType[*registry.NotFoundError](err)
	_, locked := errors.AsType[*registry.LockError](err)
	_, syntax := errors.AsType[*expr.SyntaxError](err)
	refused, wrong := errors.AsType[*refusal](err)
	switch {
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody reads it, or the server ends: half an answer is none
	case missing:
		status, t.Do = http.StatusNotFound, "The registry's page lists the models."
	case syntax:
		status = http.StatusBadRequest
	case wrong:
		status = refused.status
	case locked:
		status, t.Again = http.StatusServiceUnavailable, 2
		t.Do = "This page asks again by itself."
	case errors.Is(err, errBusy):
		status, t.Again = http.StatusServiceUnavailable, 2
	case errors.Is(err, errSlow):
		status, t.Do = http.StatusServiceUnavailable, "Ask for less, or ask on the command line, which has no such limit."
	case errors.Is(err, os.ErrNotExist):
		status = http.StatusNotFound
		t.What, t.Do = "There is no registry yet", "wreg ingest PATH makes one. Then reload this page."
	}
	if t.Again > 0 {
		w.Header().Set("Retry-After", fmt.Sprint(t.Again))
	}
	s.show(w, r, status, "trouble", t)
}

// refuse answers without looking at the registry.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, what, do string) {
	s.show(w, r, status, "trouble", trouble{What: what, Do: do})
}

func (s *Server) show(w http.ResponseWriter, r *http.Request, status int, name string, body any) {
	var page bytes.Buffer
	if err := s.pages.ExecuteTemplate(&page, name, body); err != nil {
		panic(err)
	}
	send(w, r, status, page.Bytes())
}

// log tells of what net/http meets: a handler that panicked.
func (s *Server) log() *log.Logger { return log.New(said(s.Say), "", 0) }

type said func(string)

func (s said) Write(p []byte) (int, error) {
	s(words.Line(strings.TrimSpace(string(p))))
	return len(p), nil
}

// tabs are the pages of a model.
var tabs = []struct{ Page, Path, Name string }{
	{"overview", "", "overview"}, {"coverage", "coverage", "coverage"}, {"statistics", "statistics", "statistics"}, {"tensors", "tensors", "tensors"},
	{"files", "files", "files"}, {"receipt", "receipt", "receipt"}, {"compare", "compare", "compare"},
}

// parsePages reads the templates. Text from a file goes through inert or breakable, which show
// what does not show; html/template makes it text.
func parsePages(s *Server) *template.Template {
	pages := template.New("")
	content := func(f *frame) (template.HTML, error) {
		var b strings.Builder
		err := pages.ExecuteTemplate(&b, f.Page, f)
		return template.HTML(b.String()), err
	}
	return template.Must(pages.Funcs(template.FuncMap{
		"content":   content,
		"tabs":      func() any { return tabs },
		"list":      func(line ...string) []string { return line },
		"icon":      func() template.URL { return template.URL(web.Icon()) },
		"inert":     func(v any) string { return words.Inert(fmt.Sprint(v)) },
		"lines":     lines,
		"sentence":  sentence,
		"breakable": breakable,
		"number":    func(n any) string { return words.Number(whole(n)) },
		"count":     func(n any, noun string) string { return counted(whole(n), noun) },
		"size":      words.Size,
		"params":    words.Params,
		"bits":      func(f float64) string { return fmt.Sprintf("%.4g", f) },
		"share":     share,
		"portion":   func(f *float64) string { return words.Ratio(*f) },
		"part":      func(n, of int64) string { return words.Percent(float64(n) / float64(max(1, of))) },
		"link":      link,
		"segment":   url.PathEscape,
		"command":   s.command,
		"typed":     func(line string) string { return words.Line(strings.Join(append([]string{line}, s.flags()...), " ")) },
		"value":     func(v any) string { return words.Inert(value(v)) },
		"status":    func(status string) string { return statusClass[status] },
		"date":      func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") },
	}).ParseFS(templates, "templates/*.html"))
}

// statusClass is how a gap's status is coloured.
var statusClass = map[string]string{arch.Missing: "bad", arch.Changed: "warn", arch.Extra: "warn"}

// whole is an integer of any type.
func whole(n any) int64 { return reflect.ValueOf(n).Int() }

// counted is tensor.Count with the thousands apart.
func counted(n int64, noun string) string {
	_, word, _ := strings.Cut(tensor.Count(int(n), noun), " ")
	return words.Number(n) + " " + word
}

// lines is text whose line breaks are its own.
func lines(text string) string {
	list := strings.Split(text, "\n")
	for i, l := range list {
		list[i] = words.Line(l)
	}
	return strings.Join(list, "\n")
}

// sentence is a phrase that stands by itself.
func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + words.Line(text[1:]) + "."
}

// breakable is a path, which may break after its dots, but not within {0..3}.
func breakable(text string) template.HTML {
	safe := template.HTMLEscapeString(words.Inert(text))
	var b strings.Builder
	for i := range len(safe) {
		b.WriteByte(safe[i])
		if safe[i] == '/' || safe[i] == '.' && i > 0 && safe[i-1] != '.' && i+1 < len(safe) && safe[i+1] != '.' {
			b.WriteString("<wbr>")
		}
	}
	return template.HTML(b.String())
}

// share is how much of something is elsewhere.
func share(part float64) string {
	if part >= 1 {
		return "all"
	}
	return words.Percent(part)
}

// link is the address of a model's page, with values in it: name, value, name, value.
func link(ref, page string, values ...string) string {
	u := "/"
	if ref != "" {
		u = "/model/" + url.PathEscape(ref)
		if page != "" {
			u += "/"
		}
	}
	u += page
	q := url.Values{}
	for i := 0; i+1 < len(values); i += 2 {
		if values[i+1] != "" {
			q.Set(values[i], values[i+1])
		}
	}
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	return u
}

// command is a command line to copy, for the registry that is shown. What a terminal would obey
// is escaped, and not what the command would need, as everywhere.
func (s *Server) command(line []string) string {
	list := []string{"wreg"}
	for _, w := range line {
		list = append(list, tensor.ShellWord(w))
	}
	return words.Line(strings.Join(append(list, s.flags()...), " "))
}

// flags are Options.Flags as a shell needs them.
func (s *Server) flags() (list []string) {
	for _, w := range s.Flags {
		list = append(list, tensor.ShellWord(w))
	}
	return list
}

// value is a value of an answer as people read it; text is as it is.
func value(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case int64:
		return words.Number(v)
	case *float64:
		if v == nil {
			return ""
		}
		return value(*v)
	case float64:
		return fmt.Sprintf("%.4g", v)
	case tensor.Hash:
		return strings.TrimPrefix(v.String(), "sha256:")[:12]
	case bool:
		return map[bool]string{true: "yes", false: "no"}[v]
	}
	return fmt.Sprint(v)
}

// run answers a query about a model, with at most limit rows; 0 is maxRows.
func (a *asked) run(text, model string, limit int) (*query.Result, error) {
	q, err := query.Parse(text)
	if err != nil {
		return nil, err
	}
	if limit == 0 {
		limit = maxRows
	}
	if q.Limit < 0 || q.Limit > limit {
		q.Limit = limit
	}
	return q.Run(a.Context(), a.snap, query.Options{Model: model})
}
