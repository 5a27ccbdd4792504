package arch

import (
	"fmt"

	"wreg/registry/expr"
)

// use expands a block, or the whole of another architecture with the prefix and
// the config of this place.
func (r *run) use(s *scope, u *use) error {
	if r.depth++; r.depth > maxDepth {
		return fmt.Errorf("use %s: blocks stand in blocks more than %d deep", u.Name, maxDepth)
	}
	defer func() { r.depth-- }()
	b, err := r.arch.block(u.Name)
	if err != nil {
		return err
	}
	if err := r.work(int64(len(r.arch.file.Body))); err != nil { // the file was searched
		return err
	}
	in := s.child()
	if b == nil {
		a, err := u.architecture()
		if err != nil {
			return err
		}
		if u.Args != nil {
			return fmt.Errorf("use %s: an architecture takes no arguments; bind names with let", u.Name)
		}
		in.root = s.prefix
		return r.statements(in, a.file.Body)
	}
	if err := in.pass(b, u, s); err != nil {
		return err
	}
	return r.statements(in, b.Body.Statements)
}

// pass binds a block's parameters: by place, then by name, then by default.
func (s *scope) pass(b *block, u *use, caller *scope) error {
	given := map[string]bool{}
	if u.Args != nil {
		for i, a := range u.Args.Args {
			if err := s.run.work(int64(len(b.Params))); err != nil {
				return err
			}
			name, value := "", a.tree
			if value.Op == "=" && value.Args[0].Op == expr.OpName {
				name, value = value.Args[0].Text, value.Args[1]
			} else if i < len(b.Params) {
				name = b.Params[i].Name
			}
			known := false
			for _, p := range b.Params {
				known = known || p.Name == name
			}
			if !known || given[name] {
				return fault(a.tree, fmt.Errorf("block %s has no further parameter for %v", b.Name, a.tree))
			}
			given[name] = true
			s.bind(name, &binding{node: value, in: caller})
		}
	}
	for _, p := range b.Params {
		if given[p.Name] {
			continue
		}
		if p.Default == nil {
			return fmt.Errorf("use %s: its parameter %s is not given", b.Name, p.Name)
		}
		s.bind(p.Name, &binding{node: p.Default.tree, in: s})
	}
	return nil
}

// block finds a block in the architecture's own file, then among the embedded.
func (a *Arch) block(name string) (*block, error) {
	for _, s := range a.file.Body {
		if s.Block != nil && s.Block.Name == name {
			return s.Block, nil
		}
	}
	return lib().block(name)
}
