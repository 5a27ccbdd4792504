package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"wreg/ingest"
	"wreg/ingest/whole"
	"wreg/registry"
	"wreg/registry/tensor"
)

// digestLie is a file whose declared digest is that of another one.
type digestLie struct{ file, digest, of, how string }

func (e *digestLie) Error() string {
	return fmt.Sprintf("%s: its declared digest %s is that of %s, and its header is another: %s; the digest is not this file's, or one of the headers was altered: --verify reads it all and tells", e.file, e.digest, e.of, e.how)
}

// wrongDigest reports an error that says of a file that it is not what its declared digest says.
func wrongDigest(err error) bool {
	_, lie := errors.AsType[*digestLie](err)
	return lie || whole.Wrong(err)
}

// inherit takes what is known of tensors by the declared digests of their files, where the registry has a file of that
// digest that was verified. No byte of them is read. It changes the files of v, and adds what was found in the values.
func (a *app) inherit(ctx context.Context, v *registry.Revision, tensors []tensor.Info) ([]tensor.Info, error) {
	if there, err := a.mayAsk(); err != nil || !there {
		return tensors, err
	}
	tensors, v.Files = slices.Clone(tensors), slices.Clone(v.Files)
	of := map[string][]*tensor.Info{}
	for i := range tensors {
		of[tensors[i].File] = append(of[tensors[i].File], &tensors[i])
	}
	err := a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		for i := range v.Files {
			if err := inheritFile(ctx, s, v, &v.Files[i], of[v.Files[i].Name], tensors); err != nil {
				return err
			}
		}
		return nil
	})
	v.Hashed = len(tensors) > 0 && !slices.ContainsFunc(tensors, func(t tensor.Info) bool { return t.Hash.IsZero() })
	return tensors, err
}

// inheritFile is inherit for one file and its tensors.
func inheritFile(ctx context.Context, s *registry.Snapshot, v *registry.Revision, f *tensor.File, tensors []*tensor.Info, all tensor.List) error {
	digest, err := tensor.ParseHash(f.Digest)
	if err != nil || len(tensors) == 0 {
		return nil // none is declared
	}
	found, err := s.ByDigest(digest)
	if err != nil {
		return err
	}
	best, from, stats := map[string]tensor.Info(nil), registry.Proven{}, -1
	for _, p := range found {
		if p.Revision.Naming != v.Naming {
			continue // its tensors are called otherwise
		}
		facts, n, err := factsFor(ctx, s, v, f, tensors, all, p)
		if err != nil {
			return err
		}
		if facts != nil && n > stats {
			best, from, stats = facts, p, n
		}
	}
	if best == nil {
		return nil
	}
	for _, t := range tensors {
		k := best[t.Path]
		t.Hash, t.Sum, t.Slices, t.Stats = k.Hash, k.Sum, k.Slices, k.Stats
	}
	f.Trust = tensor.TrustInherited
	for _, x := range from.Revision.Findings {
		if x.File == from.File.Name && slices.Contains(ingest.ValueRules, x.Rule) {
			x.File, x.Message = f.Name, f.Name+strings.TrimPrefix(x.Message, x.File)
			v.Findings = append(v.Findings, x)
		}
	}
	return nil
}

// factsFor are the tensors of a file that has the digest, by their paths, and how many of them have statistics; nil
// where not all are known. An error says that the headers do not agree.
func factsFor(ctx context.Context, s *registry.Snapshot, v *registry.Revision, f *tensor.File, tensors []*tensor.Info, all tensor.List, p registry.Proven) (facts map[string]tensor.Info, stats int, err error) {
	lie := func(format string, args ...any) error {
		return &digestLie{f.Name, f.Digest, p.File.Name + " in " + p.Revision.Ref(), fmt.Sprintf(format, args...)}
	}
	if p.File.Size != f.Size {
		return nil, 0, lie("%d bytes, and there %d", f.Size, p.File.Size)
	}
	known, err := s.FileTensors(ctx, p.Revision, p.File.Name)
	if err != nil {
		return nil, 0, err
	}
	facts = make(map[string]tensor.Info, len(known))
	for _, k := range known {
		if _, ok := all.Find(k.Path); !ok && !partly(v, f.Name) {
			return nil, 0, lie("tensor %q is in it there, and not here", k.Path)
		}
		facts[k.Path] = k
	}
	complete := true
	for _, t := range tensors {
		k, ok := facts[t.Path]
		switch {
		case !ok: // of several files that hold it another one counts there, or the header is another
			if _, ok, err := s.Lookup(p.Revision, t.Path); err != nil {
				return nil, 0, err
			} else if !ok && !partly(p.Revision, p.File.Name) {
				return nil, 0, lie("tensor %q is not in it there", t.Path)
			}
			complete = false
		case k.DType != t.DType || !k.Shape.Equal(t.Shape) || k.Bytes != t.Bytes || k.Offset != t.Offset:
			return nil, 0, lie("tensor %q is %v %v at offset %d, and there %v %v at %d", t.Path, t.DType, t.Shape, t.Offset, k.DType, k.Shape, k.Offset)
		case k.Hash.IsZero():
			complete = false
		case k.Stats != nil:
			stats++
		}
	}
	if !complete {
		return nil, 0, nil
	}
	return facts, stats, nil
}

// partly reports a file of which a revision does not have all tensors: one that its index does not name.
func partly(v *registry.Revision, file string) bool {
	return slices.ContainsFunc(v.Findings, func(f tensor.Finding) bool { return f.File == file && strings.HasPrefix(f.Rule, "stray-") })
}

// canInherit reports a revision of which more could be known without reading: a file whose header alone was read has
// the digest of one that is verified now.
func (a *app) canInherit(v *registry.Revision) (can bool, err error) {
	err = a.read(func(_ *registry.Registry, s *registry.Snapshot) error {
		for _, f := range v.Files {
			if h, err := tensor.ParseHash(f.Digest); err == nil && f.Trust == tensor.TrustHeader {
				found, err := s.ByDigest(h)
				if err != nil {
					return err
				}
				can = can || slices.ContainsFunc(found, func(p registry.Proven) bool { return p.Revision.Naming == v.Naming })
			}
		}
		return nil
	})
	return can, err
}
