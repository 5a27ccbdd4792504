package gaps

import (
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// Question is what is asked about a model's gaps.
type Question struct {
	Statuses []string // of arch; which gaps are asked for
	Patterns []*tensor.Pattern
	Against  string     // another model; "": see layers
	Layers   bool       // the majority of its own layers, else its architecture
	Layout   string     // of the architecture; "": the model's own
	Arch     *arch.Arch // in place of the one that config.json's model_type names
}

// asks reports a status that is asked for.
func (q *Question) asks(status string) bool {
	return slices.Contains(q.Statuses, status)
}

// matches reports whether a path is asked about.
func (q *Question) matches(path string) bool {
	return len(q.Patterns) == 0 || slices.ContainsFunc(q.Patterns, func(p *tensor.Pattern) bool { return p.Match(path) })
}

// shows reports a gap that is asked about, or one for which nothing else can be said.
func (q *Question) shows(g *arch.Gap) bool {
	if g.All {
		return g.Status == arch.Missing || q.asks(g.Status)
	}
	return q.asks(g.Status) && q.matches(g.Path)
}

// patternText is the patterns as they were written, for errors.
func (q *Question) patternText() string {
	if len(q.Patterns) == 0 {
		return "*"
	}
	var list []string
	for _, p := range q.Patterns {
		list = append(list, p.String())
	}
	return strings.Join(list, ", ")
}
