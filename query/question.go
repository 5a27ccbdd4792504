package query

import (
	"slices"
	"strings"

	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// question is what is asked about a model's gaps.
type question struct {
	status   string // one of arch's, else all are asked for
	patterns []*tensor.Pattern
	against  string     // another model; "": see layers
	layers   bool       // the majority of its own layers, else its architecture
	layout   string     // of the architecture; "": the model's own
	arch     *arch.Arch // in place of the one that config.json's model_type names
}

// asks reports a status that is asked for.
func (q *question) asks(status string) bool {
	return q.status == status || q.status != arch.Missing && q.status != arch.Changed && q.status != arch.Extra
}

// matches reports whether a path is asked about.
func (q *question) matches(path string) bool {
	return len(q.patterns) == 0 || slices.ContainsFunc(q.patterns, func(p *tensor.Pattern) bool { return p.Match(path) })
}

// patternText is the patterns as they were written, for errors.
func (q *question) patternText() string {
	if len(q.patterns) == 0 {
		return "*"
	}
	var list []string
	for _, p := range q.patterns {
		list = append(list, p.String())
	}
	return strings.Join(list, ", ")
}
