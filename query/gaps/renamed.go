package gaps

import (
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// findRenamed looks for content that is there under another name: what is missing
// there may be extra here.
func (q *Question) findRenamed(e *expectation, c *modelView) {
	wanted := make(map[string]bool, len(e.wants))
	for i := range e.wants {
		wanted[e.wants[i].Path] = true
	}
	extra := map[tensor.Hash]string{} // content here under a name that is not wanted
	c.each(true, func(t tensor.Info) bool {
		if !t.Hash.IsZero() && !wanted[t.Path] {
			extra[t.Hash] = t.Path
		}
		return true
	})
	if len(extra) == 0 {
		return
	}
	here := map[string]string{}
	for i := range e.wants {
		w := &e.wants[i]
		if _, there := c.Lookup(w.Path); there || w.content.hash.IsZero() {
			continue
		}
		if path, ok := extra[w.content.hash]; ok {
			w.reason = "renamed? same bytes at " + path
			w.remedy = "rename " + path
			here[path] = w.Path
		}
	}
	e.extra = func(path string) string {
		if from, ok := here[path]; ok {
			return "renamed? same bytes as " + from + " of " + e.against
		}
		return "not in " + e.against
	}
}

// findSwapped reports whose bytes a changed tensor has instead of its own: two
// experts in each other's place have every shape and dtype right.
func findSwapped(e *expectation, wanted map[string]*want, gaps []arch.Gap) {
	var owners map[tensor.Hash]string
	for i := range gaps {
		g := &gaps[i]
		w := wanted[g.Path]
		if g.Status != arch.Changed || w == nil || g.Have.Hash.IsZero() || w.content.hash.IsZero() || w.content.hash == g.Have.Hash {
			continue
		}
		if owners == nil {
			owners = make(map[tensor.Hash]string, len(e.wants))
			for k := range e.wants {
				if w := &e.wants[k]; !w.content.hash.IsZero() && owners[w.content.hash] == "" {
					owners[w.content.hash] = w.Path
				}
			}
		}
		if owner := owners[g.Have.Hash]; owner != "" && owner != g.Path {
			g.Reason, g.Remedy = "holds the bytes of "+owner, "its bytes belong at "+owner
		}
	}
}
