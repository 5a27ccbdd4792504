package export

import (
	"crypto/sha256"
	"encoding/hex"

	"wreg/export/compute"
	"wreg/export/receipt"
	"wreg/ingest/sums"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

// receipt builds the proof of a finished stream.
func (s *writer) receipt(files []receipt.File) *receipt.Receipt {
	p := s.plan
	r := &receipt.Receipt{Format: receipt.Format, Tool: p.o.Tool, Model: p.Model, Architecture: p.Arch, Target: p.Target,
		Prove: p.o.Prove, Plan: s.fingerprint, Root: p.source.root, Inputs: []receipt.File{}, Files: files}
	if p.DType != tensor.Invalid {
		r.DType = p.DType.String()
	}
	for _, f := range p.source.files {
		r.Inputs = append(r.Inputs, p.source.input(f))
	}
	for i, shard := range p.Shards {
		sum := sha256.Sum256(p.headers[i])
		r.Shards = append(r.Shards, receipt.Shard{Name: shard.Name, Bytes: shard.Bytes, Header: int64(len(p.headers[i])), SHA256: hex.EncodeToString(sum[:])})
	}
	into := map[string][]string{}
	for _, u := range s.units {
		for i := u.first; i < u.first+u.n; i++ {
			t := s.tensor(i, u.segments)
			r.Tensors = append(r.Tensors, t)
			r.Infos = append(r.Infos, s.info(i, u.segments))
			for _, path := range t.From {
				into[path] = append(into[path], t.Path)
			}
		}
	}
	copies := s.copies()
	dropped := map[string]arch.Drop{}
	for _, d := range p.Drops {
		dropped[d.Path] = d
	}
	for _, t := range p.source.tensors {
		stored := s.src.Stored(t.Path)
		src := receipt.Source{Path: stored, Bytes: t.Bytes, XXH3: t.Sum.String(), SHA256: t.Hash.String(), Into: into[stored]}
		if p.stream != nil {
			src.File = t.File
		}
		if d, ok := dropped[t.Path]; ok && src.Into == nil {
			src.Dropped, src.Rule = d.Because, d.Rule
		} else if src.Into == nil {
			src.Dropped = "no rule knows it (--allow-unused)"
		}
		if d, ok := copies[t.Path]; ok && t.Sum == (tensor.Sum{}) {
			src.XXH3 = d.String()
		} else if d, ok := s.checked.Load(t.Path); ok && p.stream == nil {
			switch d := d.(sums.Digest); {
			case t.Sum == tensor.Sum{}: // never hashed: this is what was read
				src.XXH3 = d.Sum.String()
			case !d.Hash.IsZero() && !t.Hash.IsZero():
				src.Checked = ProveSHA256
			default:
				src.Checked = ProveXXH3
			}
		}
		r.Sources = append(r.Sources, src)
	}
	for _, t := range s.src.Left() {
		r.Sources = append(r.Sources, receipt.Source{Path: t.Path, Bytes: t.Bytes, Dropped: "left out by " + p.source.naming.Flags()})
	}
	return r
}

// copies are the checksums of sources that were copied whole from elsewhere. What was read
// for other outputs a run that goes on where another was killed does not know.
func (s *writer) copies() map[string]tensor.Sum {
	sums := map[string]tensor.Sum{}
	if s.plan.stream == nil {
		return sums
	}
	for i, u := range s.units {
		for k, segment := range u.segments {
			if path, ok := compute.Plain(segment.Node); ok && !s.plan.Tensors[u.first].quant {
				sums[path] = s.made[s.units[i].first][k].Sum
			}
		}
	}
	return sums
}

// tensor is the receipt of output tensor i.
func (s *writer) tensor(i int, parts []compute.Segment) receipt.Tensor {
	t := &s.plan.Tensors[i]
	out := receipt.Tensor{Path: t.Path, DType: t.DType.String(), Shape: t.Shape, File: s.plan.Shards[t.Shard].Name, Offset: t.Offset,
		Bytes: t.Bytes, Rule: t.Rule, Steps: t.Make.Text(), XXH3: s.whole[i].Sum.String(), From: compute.Loads(t.tree)}
	for k, path := range out.From {
		out.From[k] = s.src.Stored(path)
	}
	if out.Shape == nil {
		out.Shape = tensor.Shape{}
	}
	if len(parts) == 1 {
		out.SHA256 = s.known(i, 0, parts[0]).String()
		return out
	}
	for k, p := range parts {
		part := receipt.Part{Bytes: t.bytesFor(p.First+p.N) - t.bytesFor(p.First), XXH3: s.made[i][k].Sum.String(), SHA256: s.known(i, k, p).String()}
		if from := compute.Loads(p.Node); len(from) == 1 {
			part.From = s.src.Stored(from[0])
		}
		out.Parts = append(out.Parts, part)
	}
	return out
}

// known is the SHA-256 of a segment: taken now, or the source's when the segment is a
// copy, whose checksum was compared.
func (s *writer) known(i, k int, p compute.Segment) tensor.Hash {
	if d := s.made[i][k]; !d.Hash.IsZero() {
		return d.Hash
	}
	if path, ok := compute.Plain(p.Node); ok && !s.plan.Tensors[i].quant {
		src, _ := s.plan.source.Lookup(path)
		return src.Hash
	}
	return tensor.Hash{}
}

// info is output tensor i as the registry keeps it.
func (s *writer) info(i int, parts []compute.Segment) tensor.Info {
	t := &s.plan.Tensors[i]
	info := tensor.Info{Path: t.Path, DType: t.DType, Shape: t.Shape, File: s.plan.Shards[t.Shard].Name, Offset: t.Offset,
		Bytes: t.Bytes, Format: "safetensors", Sum: s.whole[i].Sum}
	if len(parts) == 1 {
		info.Hash = s.known(i, 0, parts[0])
		if path, ok := compute.Plain(t.Make); ok {
			src, _ := s.plan.source.Lookup(path)
			if src.DType == t.DType { // seen as another type, the bytes are other numbers
				info.Stats = src.Stats
			}
			if src.Shape.Equal(t.Shape) {
				info.Slices = src.Slices
			}
		}
		return info
	}
	info.Stats = s.joined(t, parts)
	if len(t.Shape) < 3 || t.Shape[0] != int64(len(parts)) {
		return info
	}
	slices := make([]tensor.Hash, len(parts))
	for k, p := range parts {
		slices[k] = s.known(i, k, p)
		if slices[k].IsZero() || p.N != parts[0].N {
			return info
		}
	}
	info.Slices = slices
	return info
}

// joined is the statistics of a tensor that was copied from several sources; nil
// unless those of all of them are known.
func (s *writer) joined(t *PlanTensor, parts []compute.Segment) *tensor.Stats {
	var sum tensor.Stats
	numbers := false
	for _, p := range parts {
		path, ok := compute.Plain(p.Node)
		src, _ := s.plan.source.Lookup(path)
		if !ok || t.quant || src.Stats == nil || src.DType != t.DType {
			return nil
		}
		x := src.Stats
		sum.NaNs, sum.Infs, sum.Zeros = sum.NaNs+x.NaNs, sum.Infs+x.Infs, sum.Zeros+x.Zeros
		switch {
		case x.NaNs+x.Infs == compute.Numel(src.Shape): // no number has a minimum
		case !numbers:
			numbers, sum.Min, sum.Max, sum.AbsMax = true, x.Min, x.Max, x.AbsMax
		default:
			sum.Min, sum.Max, sum.AbsMax = min(sum.Min, x.Min), max(sum.Max, x.Max), max(sum.AbsMax, x.AbsMax)
		}
	}
	return &sum
}
