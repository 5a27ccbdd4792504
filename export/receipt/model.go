package receipt

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"wreg/ingest"
	"wreg/registry"
	"wreg/registry/tensor"
)

// VerifyModel reads every byte of a checkpoint that was ingested and compares it with
// what the registry recorded: tensors, as Recorded gives them, config.json, which files
// there are, and what disagreed among them. It says in NotChecked what was not recorded.
func VerifyModel(ctx context.Context, m *registry.Revision, tensors []tensor.Info, o Options) (*Verification, error) {
	if !m.Hashed {
		return nil, fmt.Errorf("%s: was ingested without hashes, there is nothing to compare with; wreg ingest %s takes them", m.Ref(), m.Root)
	}
	v := &verifier{o: o}
	all := fromInfos(tensors) // which are not held while the headers are read
	c, err := v.open(ctx, m.Root, m.Naming)
	if c == nil {
		return v.sorted(), err
	}
	defer c.Close()
	v.recorded(m, c)
	if err := v.tensors(ctx, c, all); err != nil {
		return nil, err
	}
	return v.sorted(), nil
}

// recorded compares what the registry has of a checkpoint beside its tensors.
func (v *verifier) recorded(m *registry.Revision, c *ingest.Checkpoint) {
	const configFile = "config.json"
	was, is := m.Config, c.Config()
	switch {
	case bytes.Equal(was, is) && (was == nil) == (is == nil):
	case was == nil:
		v.fault(configFile, "", -1, "is there, and was not when it was ingested")
	case is == nil:
		v.fault(configFile, "", -1, "is missing")
	default:
		v.fault(configFile, "", -1, "is not what was ingested (%d bytes, had %d)", len(is), len(was))
	}
	if m.Adapter != nil && !bytes.Equal(m.Adapter, c.Adapter()) {
		v.fault("adapter_config.json", "", -1, "is not what was ingested (%d bytes, had %d)", len(c.Adapter()), len(m.Adapter))
	}
	there := map[string]tensor.File{}
	for _, f := range c.Files() {
		there[f.Name] = f
	}
	for _, f := range m.Files {
		now, ok := there[f.Name]
		delete(there, f.Name)
		switch {
		case f.Name == configFile:
		case !ok:
			v.fault(f.Name, "", -1, "is missing, or is no longer one of the checkpoint's")
		case now.Size != f.Size:
			v.fault(f.Name, "", -1, "has %d bytes, had %d when it was ingested", now.Size, f.Size)
		case now.Format == "json" && !now.ModifiedAs(f.ModTime):
			v.skip("%s: was written again since it was ingested; what it says of the tensors was compared, the rest of it is not recorded", f.Name)
		}
	}
	delete(there, configFile)
	for name := range there {
		v.fault(name, "", -1, "is there, and was not when it was ingested")
	}
	known := map[tensor.Finding]bool{}
	for _, f := range m.Findings {
		known[findingKey(f)] = true
	}
	for _, f := range c.Findings() {
		// All of config.json was compared; what is found in it depends on who looks.
		if f.File != configFile && !f.Note() && !known[findingKey(f)] {
			v.fault(f.File, f.Tensor, -1, "%s", f.Message)
		}
	}
}

// findingKey is what stays of a finding however it is worded, and whether the bytes of
// tensors that are there twice were compared.
func findingKey(f tensor.Finding) tensor.Finding {
	if strings.HasPrefix(f.Rule, "duplicate-") {
		return tensor.Finding{Rule: "duplicate", File: f.File}
	}
	return tensor.Finding{Rule: f.Rule, File: f.File, Tensor: f.Tensor}
}
