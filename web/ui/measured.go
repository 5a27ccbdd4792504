package ui

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/view"
	"wreg/view/measure"
	"wreg/view/words"
)

// measured is one module of a comparison: how many of its tensors differ and, once both
// models' files were read, by how much.
type measured struct {
	A, B      string
	Component string // as it is shown
	Outside   bool   // of the layers
	Tensors   int64
	Differ    int64 // that differ, or are not known to be equal
	Total     view.Patch
	*view.Change
	Read  bool   // both models' files were
	Fault string // why it was not measured, or not all of it
}

// Link is the address that measures it.
func (m *measured) Link() string {
	outside := ""
	if m.Outside {
		outside = "1"
	}
	return link("", "part/measured/"+url.PathEscape(m.B), "with", m.A, "component", m.Component, "outside", outside)
}

func measuredOf(c *view.Comparison, p *view.Part) measured {
	t := p.Total
	return measured{A: c.A, B: c.B, Component: words.Inert(p.Component), Outside: p.Outside != nil,
		Tensors: t.Changed + t.Uncompared + t.Equal, Differ: t.Changed + t.Uncompared, Total: t}
}

// unmeasured lists the modules that can be measured.
func unmeasured(c *view.Comparison) (list []measured) {
	for i := range c.Parts {
		if m := measuredOf(c, &c.Parts[i]); m.Differ > 0 {
			list = append(list, m)
		}
	}
	return list
}

// compare is how a.v differs from another model, kept for as long as the registry stays as it is.
func (a *asked) compare(other *registry.Revision) (*view.Comparison, error) {
	return remembered(&a.compared, a.state+" "+other.Ref()+" "+a.v.Ref(), func() (*view.Comparison, error) {
		return view.Compare(a.Context(), a.snap, other, a.v, nil)
	})
}

// measured answers with a row of the table of modules. The registry is let go before the
// files are read, one module at a time, until the browser goes away.
func (s *Server) measured(w http.ResponseWriter, r *http.Request) {
	m := measured{A: r.URL.Query().Get("with"), B: r.PathValue("ref"), Component: r.URL.Query().Get("component"), Outside: r.URL.Query().Get("outside") != ""}
	var only *view.Comparison
	err := s.answer(r, []gate{s.compares}, func(a *asked) error {
		other, err := a.snap.Find(m.A)
		if err != nil {
			return err
		}
		c, err := a.compare(other)
		if err != nil {
			return err
		}
		at := slices.IndexFunc(c.Parts, func(p view.Part) bool {
			return words.Inert(p.Component) == m.Component && (p.Outside != nil) == m.Outside
		})
		if at < 0 {
			return fmt.Errorf("%s and %s have no module %q to compare", c.A, c.B, m.Component)
		}
		only = c.Only(&c.Parts[at])
		m = measuredOf(c, &c.Parts[at])
		return nil
	})
	if err == nil {
		err = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(maxReaders * maxTime)) // its turn comes within that
	}
	if err == nil {
		err = s.read(r.Context(), only)
	}
	switch {
	case r.Context().Err() != nil:
		panic(http.ErrAbortHandler) // nobody reads it
	case err != nil:
		m.Fault = words.Line(err.Error())
	default:
		m.Change, m.Read, m.Differ = only.Total, true, only.Changed+only.Uncompared
		m.Total.BitsA, m.Total.BitsB = only.BitsA, only.BitsB
		m.Fault = untold(only)
	}
	var row bytes.Buffer
	if err := s.pages.ExecuteTemplate(&row, "measured", &m); err != nil {
		panic(err)
	}
	send(w, r, http.StatusOK, row.Bytes())
}

// untold is what numbers do not say: of the tensors that differ otherwise, how many they are
// and why the first of them does.
func untold(c *view.Comparison) string {
	n, why := 0, ""
	for _, d := range c.Tensors {
		if d.Change == nil && d.Status != arch.Missing && d.Status != arch.Extra || d.Change != nil && d.Change.Changed == 0 {
			n++
			why = cmp.Or(why, d.Reason)
		}
	}
	if n == 0 {
		return ""
	}
	return counted(int64(n), "tensor") + ": " + words.Line(why)
}

// read measures what a comparison has, within the limits.
func (s *Server) read(ctx context.Context, c *view.Comparison) error {
	if c.Bytes > maxRead {
		return fmt.Errorf("its files have %s, and a page reads at most %s; the command below has no such limit", words.Size(c.Bytes), words.Size(maxRead))
	}
	leave, err := s.reading.enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	ctx, cancel := context.WithTimeoutCause(ctx, maxTime, errSlow)
	defer cancel()
	err = c.Measure(ctx, measure.Options{Memory: maxReadMemory})
	if err != nil && context.Cause(ctx) == errSlow {
		err = fmt.Errorf("reading took longer than %v; the command below has no such limit", maxTime)
	}
	return err
}
