package query

import (
	"wreg/registry/tensor"
)

// findMoved looks for content that is there under another name: what is missing
// there may be extra here.
func (q *Query) findMoved(e *expectation, c *checkpoint) {
	wanted := make(map[string]bool, len(e.wants))
	for i := range e.wants {
		wanted[e.wants[i].path] = true
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
		if _, there := c.Lookup(w.path); there || w.content.hash.IsZero() {
			continue
		}
		if path, ok := extra[w.content.hash]; ok {
			w.reason = "renamed? same bytes at " + path
			w.remedy = "rename " + path
			here[path] = w.path
		}
	}
	e.extra = func(path string) string {
		if from, ok := here[path]; ok {
			return "renamed? same bytes as " + from + " of " + e.against
		}
		return "nothing of " + e.against + " is named so"
	}
}
