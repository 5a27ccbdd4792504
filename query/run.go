package query

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"wreg/query/gaps"
	"wreg/query/lang"
	"wreg/query/rows"
	"wreg/registry"
	"wreg/registry/arch"
)

// Run answers the query from a snapshot.
func (q *Query) Run(ctx context.Context, s *registry.Snapshot, o Options) (*Result, error) {
	models, err := q.resolveModels(s, o)
	if err != nil {
		return nil, err
	}
	r := &Result{Query: q.Text, Model: refs(models)}
	out := rows.NewSink(ctx, q.Over(len(models)))
	if q.Verb == lang.Find {
		err = out.Find(ctx, s, models, q.Patterns)
	} else {
		err = q.runGaps(ctx, s, models, o, out, r)
	}
	if err != nil {
		return nil, err
	}
	a, err := out.Finish()
	if err != nil {
		return nil, err
	}
	r.Columns, r.Rows, r.Notes = a.Columns, a.Rows, append(r.Notes, a.Notes...)
	if len(r.Rows) == 0 {
		r.Notes = append(r.Notes, q.literally()...)
	}
	return r, nil
}

// runGaps measures each model and passes the gaps to out.
func (q *Query) runGaps(ctx context.Context, s *registry.Snapshot, models []*registry.Revision, o Options, out *rows.Sink, r *Result) error {
	asked := q.question(o)
	for _, v := range models {
		if err := ctx.Err(); err != nil {
			return err
		}
		found, err := asked.Of(ctx, s, v)
		if err != nil {
			return err
		}
		r.Against, r.Layout = join(r.Against, found.Against), join(r.Layout, found.Layout)
		r.Unlike += len(found.Unlike)
		unknown, err := out.Chosen(found.Uncompared, v)
		if err != nil {
			return err
		}
		r.Unknown += len(unknown)
		r.Doubted = r.Doubted || len(found.Doubts) > 0
		for _, n := range found.Notes {
			if !slices.Contains(r.Notes, n) {
				r.Notes = append(r.Notes, n)
			}
		}
		if err := out.Gaps(found.Gaps, v); err != nil || out.Done {
			return err
		}
	}
	return nil
}

func join(list, item string) string {
	if list == "" || list == item {
		return item
	}
	return list + ", " + item
}

// Question is what a query asks about gaps.
func (q *Query) question(o Options) *gaps.Question {
	asked := &gaps.Question{Statuses: q.Statuses(), Patterns: q.Patterns, Layout: q.Layout, Arch: o.Arch}
	switch q.Against {
	case "", lang.AgainstSpec:
	case lang.AgainstLayers:
		asked.Layers = true
	default:
		asked.Against = q.Against
	}
	return asked
}

func refs(models []*registry.Revision) string {
	list := make([]string, len(models))
	for i, v := range models {
		list[i] = v.Ref()
	}
	return strings.Join(list, ", ")
}

// resolveModels finds the revisions asked about, each once.
func (q *Query) resolveModels(s *registry.Snapshot, o Options) ([]*registry.Revision, error) {
	names := q.Models
	if len(names) == 0 && o.Model != "" {
		names = []string{o.Model}
	}
	if len(names) == 0 {
		all, err := s.Models()
		switch {
		case err != nil:
			return nil, err
		case len(all) == 0:
			return nil, fmt.Errorf("the registry is empty: add a model with wreg ingest PATH")
		case len(all) > 1:
			newest := slices.MaxFunc(all, func(a, b *registry.Revision) int { return a.Created.Compare(b.Created) })
			return nil, &WhichError{newest.Model, fmt.Sprintf("the registry holds %d models: choose with in NAME, or in * for all of them: %s", len(all), someRefs(all))}
		}
		return all, nil
	}
	var list []*registry.Revision
	seen := map[string]bool{}
	for _, name := range names {
		matched, err := s.Match(name)
		if err != nil {
			return nil, err
		}
		for _, v := range matched {
			if ref := v.Ref(); !seen[ref] {
				seen[ref] = true
				list = append(list, v)
			}
		}
	}
	return list, nil
}

// WhichError says that a query names no model and that the registry holds several.
type WhichError struct {
	Newest  string // the one that was registered last
	message string
}

func (e *WhichError) Error() string { return e.message }

// someRefs lists the first few models.
func someRefs(models []*registry.Revision) string {
	const most = 8
	if len(models) > most {
		return refs(models[:most]) + ", …"
	}
	return refs(models)
}

// Remedied completes the gaps for which an export refuses a model by what the registry
// knows of where to get what is missing, so that it says what gaps says.
func Remedied(ctx context.Context, s *registry.Snapshot, v *registry.Revision, list []arch.Gap) error {
	return gaps.Remedied(ctx, s, v, list)
}

// Against is what a model lacks of another, has too much of, and holds differently: what
// gaps against finds.
func Against(ctx context.Context, s *registry.Snapshot, v, other *registry.Revision, a *arch.Arch) (*gaps.Found, error) {
	q := &gaps.Question{Statuses: []string{arch.Missing, arch.Extra, arch.Changed}, Against: other.Ref(), Arch: a}
	return q.Of(ctx, s, v)
}

// Resolve matches a revision with its architecture, or with a where one is given: what
// gaps are taken from. An error says why there is no architecture to ask.
func Resolve(ctx context.Context, s *registry.Snapshot, v *registry.Revision, a *arch.Arch) (*arch.Resolution, error) {
	return gaps.Resolve(ctx, s, v, a)
}

// Wider is the question with a pattern that reaches further, for a find without an answer:
// a word alone names no tensor, whose names go on to .weight. It is the first that finds
// something, and how many rows it has; "" when none does.
func (q *Query) Wider(ctx context.Context, s *registry.Snapshot, o Options) (text string, found int, pattern string, err error) {
	if q.Verb != lang.Find || len(q.Patterns) != 1 {
		return "", 0, "", nil
	}
	words := strings.Fields(q.Text)
	was := q.Patterns[0].String()
	if len(words) < 2 || words[1] != was { // quoted, or with a comment
		return "", 0, "", nil
	}
	at := strings.Index(q.Text, words[0]) + len(words[0])
	core := strings.Trim(was, "*")
	for _, pattern := range []string{was + ".*", "*" + core + "*.*", "*" + core + "*"} {
		text := q.Text[:at] + strings.Replace(q.Text[at:], was, pattern, 1)
		wider, err := Parse(text)
		if err != nil {
			continue
		}
		r, err := wider.Run(ctx, s, o)
		if err != nil {
			return "", 0, "", err
		}
		if len(r.Rows) > 0 {
			return text, len(r.Rows), pattern, nil
		}
	}
	return "", 0, "", nil
}
