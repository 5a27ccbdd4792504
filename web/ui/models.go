package ui

import (
	"cmp"
	"slices"

	"wreg/registry"
	"wreg/view"
)

// modelRow is a revision in the registry's table. What takes its architecture to know
// is asked for by the row itself, once the page is there.
type modelRow struct {
	Ref, Layout string
	Bytes       int64
	Tensors     int
	Tree        string // what leads from the revision that it was made of
	Kin         *view.Kin
	Seen        *view.Model // nil: not looked at yet
}

// family is from which share of its bytes a revision is shown below the one that it shares
// them with.
const family = 0.5

// modelsBody is the registry's table, one page of it.
type modelsBody struct {
	Rows        []modelRow
	Pager       pager
	Models, All int
	Bytes       int64
	Related     bool // that content was compared
	Registry    string
}

func modelsPage(a *asked) (*frame, error) {
	b, err := models(a, false)
	return &frame{Title: "registry", Page: "models", Words: []string{"ls"}, Body: b}, err
}

// modelsPart is the table again, related by content.
func modelsPart(a *asked) (*frame, error) {
	b, err := models(a, true)
	return &frame{Page: "part-models", Body: b}, err
}

func models(a *asked, relate bool) (*modelsBody, error) {
	all, err := view.Revisions(a.snap)
	if err != nil {
		return nil, err
	}
	b := &modelsBody{All: len(all), Registry: a.Registry}
	byRef := map[string]*registry.Revision{}
	names := map[string]bool{}
	for _, v := range all {
		byRef[v.Ref()], names[v.Model] = v, true
		b.Bytes += v.Bytes
	}
	b.Models = len(names)
	kin, err := a.lineage(relate)
	if err != nil {
		return nil, err
	}
	b.Related = len(kin) == len(all)
	rows := families(all, kin)
	var from, to int
	b.Pager, from, to = a.paged(len(rows), "/")
	for _, r := range rows[from:to] {
		v := byRef[r.Ref]
		r.Layout, r.Bytes, r.Tensors = v.Layout, v.Bytes, v.Tensors
		r.Seen, _ = a.seen.of(revisionKey(v)).(*view.Model)
		b.Rows = append(b.Rows, r)
	}
	return b, nil
}

// lineage is that of the registry as it is now: as recorded, or compared by content, which is kept.
func (a *asked) lineage(relate bool) ([]view.Kin, error) {
	if !relate {
		kin, _ := a.drawn.of(a.state + " lineage").([]view.Kin)
		return kin, nil
	}
	return remembered(&a.drawn, a.state+" lineage", func() ([]view.Kin, error) { return view.Lineage(a.Context(), a.snap) })
}

// families orders revisions so that each stands below the one it was made of.
func families(all []*registry.Revision, kin []view.Kin) (rows []modelRow) {
	of := map[string]*view.Kin{}
	for i := range kin {
		of[kin[i].Ref] = &kin[i]
	}
	there := map[string]bool{}
	for _, v := range all {
		there[v.Ref()] = true
	}
	below := map[string][]*registry.Revision{}
	for _, v := range all {
		from := ""
		switch k := of[v.Ref()]; {
		case k == nil && v.Source != v.Ref() && there[v.Source]:
			from = v.Source
		case k != nil && there[k.From] && (k.How == view.Exported || k.How == view.Shares && k.Share >= family):
			from = k.From
		}
		below[from] = append(below[from], v)
	}
	placed := map[string]bool{}
	var place func(v *registry.Revision, lead, branch string)
	place = func(v *registry.Revision, lead, branch string) {
		if placed[v.Ref()] {
			return
		}
		placed[v.Ref()] = true
		k := of[v.Ref()]
		if k == nil && v.Source != "" {
			k = &view.Kin{Ref: v.Ref(), From: v.Source, How: view.Exported, Gone: !there[v.Source]}
		}
		rows = append(rows, modelRow{Ref: v.Ref(), Tree: lead + branch, Kin: k})
		switch branch {
		case "├─ ":
			lead += "│  "
		case "└─ ":
			lead += "   "
		}
		children := below[v.Ref()]
		for i, c := range children {
			branch := "├─ "
			if i == len(children)-1 {
				branch = "└─ "
			}
			place(c, lead, branch)
		}
	}
	slices.SortStableFunc(all, func(a, b *registry.Revision) int { return cmp.Or(cmp.Compare(a.Model, b.Model), a.Number-b.Number) })
	for _, v := range below[""] {
		place(v, "", "")
	}
	for _, v := range all { // that name each other as their source
		place(v, "", "")
	}
	return rows
}

// glance is a revision at a glance. It is kept: what its remedies say of other revisions may
// be older than they are, so pages that show remedies look again.
func (a *asked) glance() (*view.Model, error) {
	return remembered(&a.seen, revisionKey(a.v), func() (*view.Model, error) {
		m, err := view.Of(a.Context(), a.snap, a.v, nil)
		if err != nil {
			return nil, err
		}
		short := *m
		short.Verdict.Lines, short.DTypes, short.Components = nil, nil, nil
		return &short, nil
	})
}

// modelPart is what a row of the registry's table has left out.
func modelPart(a *asked) (*frame, error) {
	m, err := a.glance()
	if err != nil {
		return &frame{Page: "part-unseen", Body: err.Error()}, nil
	}
	return &frame{Page: "part-seen", Body: m}, nil
}

// kinPart is where a revision comes from, and what was made from it.
func kinPart(a *asked) (*frame, error) {
	kin, err := a.lineage(true)
	if err != nil {
		return nil, err
	}
	b := struct {
		From *view.Kin
		Into []view.Kin
		More int
	}{}
	for i, k := range kin {
		switch {
		case k.Ref == a.v.Ref() && k.How != "":
			b.From = &kin[i]
		case k.From == a.v.Ref() && len(b.Into) < maxShown:
			b.Into = append(b.Into, k)
		case k.From == a.v.Ref():
			b.More++
		}
	}
	return &frame{Page: "part-kin", Body: b}, nil
}
