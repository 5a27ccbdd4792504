package gaps

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"

	"wreg/registry"
	"wreg/registry/arch"
	"wreg/registry/arch/wrap"
	"wreg/registry/tensor"
)

// keptConfigs is how many parsed configs are kept. What a config.json means
// depends on nothing but its bytes, and arch keeps with it what it has worked out.
const keptConfigs = 8

var configs struct {
	sync.Mutex
	list []*keptConfig // last used last
}

type keptConfig struct {
	text   string
	config *arch.Config
	arch   *arch.Arch // the one that serves its model_type, once found
	names  map[namesKey][]expectedName
}

type namesKey struct {
	arch   *arch.Arch
	layout string
}

// expectedName is a template of a layout with the numbers that each place takes.
type expectedName struct {
	template string
	from, to []int64
}

// expectedNames are the names of a layout for a config, whatever a checkpoint may
// choose among alternatives.
func expectedNames(ctx context.Context, a *arch.Arch, config *arch.Config, layout string) ([]expectedName, error) {
	configs.Lock()
	defer configs.Unlock()
	key := namesKey{a, layout}
	i := slices.IndexFunc(configs.list, func(k *keptConfig) bool { return k.config == config })
	if i >= 0 {
		if names, ok := configs.list[i].names[key]; ok {
			return names, nil
		}
	}
	wants, err := a.Expect(ctx, config, layout, nil)
	if err != nil {
		return nil, err
	}
	var names []expectedName
	at := map[string]int{}
	for _, w := range wants {
		template, index := tensor.SplitPath(w.Path)
		i, known := at[template]
		if !known {
			i = len(names)
			at[template] = i
			names = append(names, expectedName{template, slices.Clone(index), slices.Clone(index)})
		}
		for k, n := range index {
			names[i].from[k], names[i].to[k] = min(names[i].from[k], n), max(names[i].to[k], n)
		}
	}
	if i >= 0 {
		configs.list[i].names[key] = names
	}
	return names, nil
}

// named reports that a pattern names one of them.
func (e *expectedName) named(p *tensor.Pattern) bool {
	m := p.MatchTemplate(e.template)
	alternatives, listed := m.Alternatives()
	return m.All() || !listed || slices.ContainsFunc(alternatives, func(conditions []tensor.Condition) bool {
		return !slices.ContainsFunc(conditions, func(c tensor.Condition) bool { return !e.some(c) })
	})
}

// some reports that a condition allows one of the numbers.
func (e *expectedName) some(c tensor.Condition) bool {
	from, to := e.from[c.Slot], e.to[c.Slot]
	if low, high, ok := c.Range(); ok {
		return low <= to && high >= from
	}
	for n := from; n <= to; n++ {
		if c.Allows(n) {
			return true
		}
	}
	return false
}

// keepConfig is arch.ParseConfig and arch.Find, remembered. The architecture is nil
// when findErr says that none serves the config.
func keepConfig(text []byte) (k *keptConfig, findErr, err error) {
	configs.Lock()
	defer configs.Unlock()
	i := slices.IndexFunc(configs.list, func(k *keptConfig) bool { return k.text == string(text) })
	if i >= 0 {
		k = configs.list[i]
		configs.list = slices.Delete(configs.list, i, i+1)
	} else {
		config, err := arch.ParseConfig(text)
		if err != nil {
			return nil, nil, err
		}
		k = &keptConfig{text: string(text), config: config, names: map[namesKey][]expectedName{}}
	}
	if len(configs.list) == keptConfigs {
		configs.list = slices.Delete(configs.list, 0, 1)
	}
	configs.list = append(configs.list, k)
	if k.arch == nil {
		k.arch, findErr = arch.Find(k.config)
	}
	return k, findErr, nil
}

// architecture finds what a model should be: the architecture and its config.
func (q *Question) architecture(c *modelView) (*arch.Arch, *arch.Config, error) {
	ref := c.revision.Ref()
	if c.revision.Adapter != nil {
		return nil, nil, wrap.NoModel(ref, c.revision.Adapter)
	}
	if c.revision.Config == nil {
		return nil, nil, fmt.Errorf("%s has %s, or compare it against layers or against another model", ref, arch.NoConfig)
	}
	k, findErr, err := keepConfig(c.revision.Config)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", ref, err)
	}
	a := k.arch
	switch {
	case q.Arch != nil:
	case arch.LlamaCpp(c):
		a, findErr = arch.FindFor(c.ctx, "", k.config, c)
	case c.layout != "":
		a, findErr = arch.FindIn(c.layout, k.config)
	case slices.Contains(arch.Made, q.Layout):
		a, findErr = arch.FindIn(q.Layout, k.config)
	case slices.Contains(arch.Made, c.revision.Layout) && (a == nil || c.revision.Layout != a.Layout):
		a, findErr = arch.FindIn(c.revision.Layout, k.config)
	}
	switch {
	case q.Arch != nil:
		return q.Arch, k.config, nil
	case findErr != nil:
		return nil, nil, fmt.Errorf("%s: %w", ref, findErr)
	}
	return a, k.config, nil
}

// Templates lists the templates that a model's architecture expects, in either layout; none
// where no architecture is known.
func Templates(ctx context.Context, v *registry.Revision, a *arch.Arch) (templates []string) {
	if v.Config == nil {
		return nil
	}
	k, _, err := keepConfig(v.Config)
	if err != nil {
		return nil
	}
	if a = cmp.Or(a, k.arch); a == nil {
		return nil
	}
	for _, layout := range []string{arch.HF, a.Layout} {
		names, err := expectedNames(ctx, a, k.config, layout)
		if err != nil {
			return nil
		}
		for _, n := range names {
			templates = append(templates, n.template)
		}
	}
	return templates
}
