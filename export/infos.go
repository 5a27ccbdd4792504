package export

import (
	"wreg/registry/tensor"

	"wreg/export/compute"
)

// info is output tensor i as the registry keeps it.
func (s *stream) info(i int, parts []compute.Segment) tensor.Info {
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
func (s *stream) joined(t *PlanTensor, parts []compute.Segment) *tensor.Stats {
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
