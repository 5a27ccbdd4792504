package ui

import (
	"fmt"
	"sync"

	"wreg/registry"
)

// memo keeps what was made of what never changes: of a revision, or of a registry as it
// was. When it is full it begins anew.
type memo struct {
	most int // how many answers are kept
	mu   sync.Mutex
	kept map[string]any
}

// of gives the answer that was kept as key, nil for none.
func (m *memo) of(key string) any {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[key]
}

func (m *memo) keep(key string, v any) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kept == nil || len(m.kept) >= m.most {
		m.kept = map[string]any{}
	}
	m.kept[key] = v
}

// remembered is what make makes, once for each key.
func remembered[T any](m *memo, key string, make func() (T, error)) (T, error) {
	if v, ok := m.of(key).(T); ok {
		return v, nil
	}
	v, err := make()
	if err == nil {
		m.keep(key, v)
	}
	return v, err
}

// revisionKey names a revision for ever: a name and number may be given again after the
// revision was removed.
func revisionKey(v *registry.Revision) string {
	return fmt.Sprintf("%s %d %d %d %s", v.Ref(), v.Created.UnixNano(), v.Tensors, v.Bytes, v.Root)
}
