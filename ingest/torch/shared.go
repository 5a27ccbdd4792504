package torch

import (
	"cmp"
	"fmt"
	"slices"

	"wreg/ingest/torch/strided"
)

// settle looks at the views of each record together, once all are listed.
func (f *File) settle() error {
	used := map[string][]int32{}
	var stored int64
	arrays, held := map[*strided.View]int{}, map[*byte]bool{}
	for i, v := range f.views {
		if v.Empty() {
			continue
		}
		if v.Storage.Data != nil { // memory: the pickle has it once, at however many paths
			if first, ok := arrays[v]; ok {
				f.twin(i, first)
				continue
			}
			arrays[v] = i
			if data := v.Storage.Data; !held[&data[0]] { // several may be of the same bytes
				held[&data[0]] = true
				stored += int64(len(data))
				f.arrays += int64(len(data))
			}
			continue
		}
		views := used[v.Storage.Record]
		if views == nil {
			stored = min(stored+f.records[v.Storage.Record].Size, 1<<59)
		}
		used[v.Storage.Record] = append(views, int32(i))
	}
	f.findUnused(used)
	f.findTwins(used)
	if err := f.boundViews(strided.MaxExpanded + strided.ViewedTimes*stored); err != nil {
		return err
	}
	return f.hold()
}

// findTwins finds the views that are the same as an earlier one: tied weights.
func (f *File) findTwins(used map[string][]int32) {
	for _, views := range used {
		if len(views) < 2 {
			continue
		}
		sorted := slices.Clone(views)
		slices.SortFunc(sorted, func(a, b int32) int { return cmp.Or(f.views[a].Compare(f.views[b]), cmp.Compare(a, b)) })
		first := sorted[0]
		for _, i := range sorted[1:] {
			if f.views[i].Compare(f.views[first]) == 0 {
				f.twin(int(i), int(first))
			} else {
				first = i
			}
		}
	}
}

func (f *File) twin(i, first int) {
	if f.twins == nil {
		f.twins = map[int]int{}
	}
	f.twins[i] = first
}

// boundViews refuses views that together show more bytes than limit, or from more
// pieces than a checkpoint may have.
func (f *File) boundViews(limit int64) error {
	var total int64
	for i, v := range f.views {
		if f.Twin(i) != i {
			continue
		}
		if !v.Empty() {
			if err := f.shared.Budget.Gather(v.Pieces()); err != nil {
				return fmt.Errorf("tensor %q: with it, %w", f.tensors[i].Path, err)
			}
		}
		if total += v.Size(); total > limit {
			return fmt.Errorf("tensor %q: with it, %d bytes are shown by tensors that look at the same storages, more than %d (%d GiB and %d times the storages); save clones of them, not views",
				f.tensors[i].Path, total, limit, strided.MaxExpanded>>30, strided.ViewedTimes)
		}
	}
	return nil
}

// hold sets memory aside for the deflated records that are not read as they lie there.
func (f *File) hold() error {
	held := map[string]bool{}
	for i, v := range f.views {
		if v.Empty() || v.Storage.Data != nil {
			continue
		}
		rec := f.records[v.Storage.Record]
		if !rec.Deflated || v.Shows(rec) || held[rec.Name] {
			continue
		}
		held[rec.Name] = true
		if err := f.shared.Hold(rec); err != nil {
			return fmt.Errorf("tensor %q: record %q: %w", f.tensors[i].Path, rec.Name, err)
		}
	}
	return nil
}
