package export

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"wreg/export/compute"
	"wreg/export/disk"
	"wreg/export/mlxconfig"
	"wreg/export/staging"
	"wreg/ingest"
	"wreg/ingest/place"
	"wreg/ingest/remote"
	"wreg/ingest/spool"
	"wreg/registry/arch"
	"wreg/registry/arch/op"
	"wreg/registry/tensor"
)

// slack is disk space asked for beyond the shards: config, index, receipt and the
// file system's own.
const slack = 1 << 20

// check finds what would go wrong wherever the output will lie. All faults are reported
// together.
func (p *Plan) check(ctx context.Context) error {
	faults := []error{p.source.unchanged()}
	faults = append(faults, p.memory()...)
	faults = append(faults, several(p.overflow(), "have values that do not fit")...)
	faults = append(faults, several(p.nonFinite(), "have NaN or infinite values")...)
	p.rounding()
	if p.source.far() {
		faults = append(faults, p.plot(ctx))
	}
	p.Disk = slack + p.shardsOnDisk()
	for _, x := range p.files {
		p.Disk += x.Size
	}
	return errors.Join(faults...)
}

// memory finds the buffers that the most demanding tensor takes. Where they are too small,
// the tensor that needs most speaks for all: memory for it is enough.
func (p *Plan) memory() []error {
	var worst *compute.MemoryError
	var of string
	short := 0
	for i := range p.Tensors {
		_, peak, err := compute.ChunkFor(p.Tensors[i].tree, p.Tensors[i].quant, p.o.Memory/int64(p.o.Jobs))
		if e, ok := errors.AsType[*compute.MemoryError](err); ok {
			if short++; worst == nil || e.Needs > worst.Needs {
				worst, of = e, p.Tensors[i].Path
			}
		} else if err != nil {
			return []error{fmt.Errorf("tensor %q: %w", p.Tensors[i].Path, err)}
		}
		p.Memory = max(p.Memory, peak*int64(p.o.Jobs))
	}
	if worst == nil {
		return nil
	}
	more := ""
	if short > 1 {
		more = fmt.Sprintf("; so do %s, none of them more", tensor.Count(short-1, "other tensor"))
	}
	return []error{fmt.Errorf("tensor %q: %w%s: --memory %d is enough for %s", of, worst, more, worst.Needs*int64(p.o.Jobs), tensor.Count(p.o.Jobs, "worker"))}
}

// toldFaults is how many faults of a kind are told one by one.
const toldFaults = 3

// several is the first of many faults of a kind, and how many more there are.
func several(faults []error, what string) []error {
	if more := len(faults) - toldFaults; more > 0 {
		return append(faults[:toldFaults:toldFaults], fmt.Errorf("and %s %s", tensor.Count(more, "more tensor"), what))
	}
	return faults
}

// overflow foretells infinities from the statistics taken at ingest: a number that
// does not fit becomes infinite silently in a cast.
func (p *Plan) overflow() (faults []error) {
	for _, t := range p.Tensors {
		if t.Make.Op != op.Cast {
			continue
		}
		limit, ok := t.DType.Greatest()
		if !ok {
			continue
		}
		for _, path := range compute.Loads(t.Make) {
			src, _ := p.source.Lookup(path)
			if src.Stats != nil && src.DType.Floating() && src.DType != t.DType && src.Stats.AbsMax > limit {
				faults = append(faults, fmt.Errorf("tensor %q: values up to %g do not fit %v (at most %g) in %q; choose another --dtype",
					path, src.Stats.AbsMax, t.DType, limit, t.Path))
			}
		}
	}
	return faults
}

// rounding says which numbers are rounded, and by what: what is proven afterwards is
// equality with what was rounded, so nothing else shows it.
func (p *Plan) rounding() {
	count := map[string]int{}
	var order []string
	for i, t := range p.Tensors {
		if t.quant && i > 0 && p.Tensors[i-1].tree == t.tree {
			continue
		}
		said := map[string]bool{}
		p.rounded(t.tree, func(how string) {
			if !said[how] {
				if said[how] = true; count[how] == 0 {
					order = append(order, how)
				}
				count[how]++
			}
		})
	}
	for _, how := range order {
		are := " are "
		if count[how] == 1 {
			are = " is "
		}
		p.Notes = append(p.Notes, tensor.Count(count[how], "tensor")+are+how)
	}
}

// rounded tells what of a tree rounds.
func (p *Plan) rounded(n *op.Node, tell func(how string)) {
	for _, in := range n.In {
		p.rounded(in, tell)
	}
	switch n.Op {
	case op.Cast:
		from, to := n.In[0].DType, n.DType
		if to == tensor.F64 || to == tensor.F32 && from != tensor.F64 {
			return
		}
		asked := "the architecture"
		switch {
		case to != p.DType:
		case p.o.DType != tensor.Invalid:
			asked = "--dtype"
		default:
			asked = "config.json's torch_dtype"
		}
		tell(fmt.Sprintf("cast from %v to %v, which rounds: %s asks for it", from, to, asked))
	case op.FP8:
		tell(fmt.Sprintf("decoded from 8-bit floats and their scales to %v, which rounds", n.DType))
	case op.Dequantize:
		tell(fmt.Sprintf("decoded from %d-bit codes to %v, which rounds", n.Axis, n.DType))
	case op.GGML:
		tell(fmt.Sprintf("decoded from blocks of %v to %v", n.In[0].DType, n.DType))
	default:
		if n.Op.Rounds() || n.Op == op.AWQBias {
			tell(fmt.Sprintf("computed (%s) and rounded to %v", n.Op, n.DType))
		}
	}
}

// nonFinite finds NaN and infinity in the statistics taken at ingest. A copy or a
// cast keeps them, which is only noted; quantizing makes numbers of them silently.
func (p *Plan) nonFinite() (faults []error) {
	var notes []string
	for i, t := range p.Tensors {
		if t.quant && i > 0 && p.Tensors[i-1].tree == t.tree {
			continue // the scales of a weight that was looked at
		}
		for _, path := range compute.Loads(t.tree) {
			src, _ := p.source.Lookup(path)
			if src.Stats == nil || src.Stats.NaNs+src.Stats.Infs == 0 {
				continue
			}
			text := fmt.Sprintf("tensor %q: %d NaN and %d infinite values", path, src.Stats.NaNs, src.Stats.Infs)
			if t.quant {
				faults = append(faults, fmt.Errorf("%s would silently become numbers in %q; --q-override '%s=keep' leaves it as it is", text, t.Path, parent(t.Path)))
			} else {
				notes = append(notes, fmt.Sprintf("%s, as in the source: %s", text, t.Path))
			}
		}
	}
	if more := len(notes) - toldFaults; more > 0 {
		notes = append(notes[:toldFaults], fmt.Sprintf("and %s with NaN or infinite values, as in the source; wreg query 'find * in %s where nans > 0 or infs > 0' lists them", tensor.Count(more, "more tensor"), p.Model))
	}
	p.Notes = append(p.Notes, notes...)
	return faults
}

// place finds what is wrong where the output will lie, before the first byte is written
// there. All faults are reported together.
func (p *Plan) place() error {
	out := p.o.Out
	if _, err := os.Lstat(out); err == nil && p.o.Sink == nil { // to a sink, nothing will have that name here
		return fmt.Errorf("%s exists; choose another --out, or remove it", out)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	dir := filepath.Dir(out)
	info, err := os.Stat(dir)
	if err != nil {
		return fmt.Errorf("the parent of --out: %w", err)
	}
	if !info.IsDir() {
		return fmt.Errorf("%s, the parent of --out, is not a folder", dir)
	}
	var faults []error
	if name, err := twin(dir, filepath.Base(out)); err != nil {
		faults = append(faults, err)
	} else if name != "" && p.o.Sink == nil {
		faults = append(faults, fmt.Errorf("%s differs only in case from %s in the same folder; many file systems cannot hold both", out, name))
	}
	if p.source.addressed() {
		// Nothing of it is here, or it is in a store of blobs.
	} else if p.source.root != p.source.folder() {
		// A single file: its folder is not ours to keep clear.
	} else if inside, err := within(dir, p.source.root); err != nil {
		faults = append(faults, err)
	} else if inside {
		faults = append(faults, fmt.Errorf("%s lies inside the source %s; an export never writes into its input", out, p.source.folder()))
	}
	if err := writable(dir); err != nil {
		faults = append(faults, fmt.Errorf("%s cannot be written to: %w", dir, err))
	}
	if err := room(out, p.Disk+p.Spool, disk.Free); err != nil {
		faults = append(faults, err)
	}
	return errors.Join(faults...)
}

// room refuses an output that its disk cannot hold. What an earlier run or another part
// took is the export's already: the whole output, where files are reserved.
func room(out string, need int64, free func(dir string) (int64, bool)) error {
	dir := filepath.Dir(out)
	left, ok := free(dir)
	if held := disk.Held(staging.PathOf(out)); ok && left+held < need {
		return fmt.Errorf("%s has %s free, the export needs %s (%d bytes free, the export needs %d); free some room, or choose another --out",
			dir, tensor.Size(left), tensor.Size(need-held), left, need-held)
	}
	return nil
}

// twin finds an entry whose name differs only in case.
func twin(dir, name string) (string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return "", err
	}
	for _, e := range entries {
		if e.Name() != name && strings.EqualFold(e.Name(), name) {
			return e.Name(), nil
		}
	}
	return "", nil
}

// within reports whether dir is root or below it, links resolved.
func within(dir, root string) (bool, error) {
	target, err := os.Stat(root)
	if err != nil {
		return false, err
	}
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return false, err
	}
	for {
		info, err := os.Stat(real)
		if err != nil {
			return false, err
		}
		if os.SameFile(info, target) {
			return true, nil
		}
		up := filepath.Dir(real)
		if up == real {
			return false, nil
		}
		real = up
	}
}

// writable tries to make an entry in dir and removes it again.
func writable(dir string) error {
	tmp, err := os.MkdirTemp(dir, ".wreg-probe-")
	if err != nil {
		return err
	}
	return os.Remove(tmp)
}

// plot plans which bytes of the source are read in which order, and kept for how long.
func (p *Plan) plot(ctx context.Context) error {
	list, err := p.source.place.List(ctx)
	if err != nil {
		return err
	}
	list = slices.DeleteFunc(list, func(e place.Entry) bool { return e.Dir })
	for _, f := range p.source.files {
		i := slices.IndexFunc(list, func(e place.Entry) bool { return e.Name == f.Name })
		if i < 0 {
			return fmt.Errorf("%s: %s is not there any more; ingest it again", p.source.root, f.Name)
		}
		if e := list[i]; e.Size != f.Size || f.Digest != "" && e.Digest != "" && e.Digest != f.Digest {
			return fmt.Errorf("%s: %s is listed as %s now, and was as %s when %s was ingested; ingest it again",
				p.source.root, f.Name, listed(e.Size, e.Digest), listed(f.Size, f.Digest), p.source.ref)
		}
	}
	var jobs [][]spool.Range
	p.jobs = map[staging.Key]int{}
	for i, u := range p.units() {
		for k, segment := range u.segments {
			var job []spool.Range
			for _, path := range compute.Loads(segment.Node) {
				r, err := p.source.stretch(path)
				if err != nil {
					return err
				}
				job = append(job, r)
			}
			key := staging.Key{Unit: i, Segment: k}
			p.jobs[key], p.keys, jobs = len(p.keys), append(p.keys, key), append(jobs, job)
		}
	}
	var heads []spool.Range
	for _, d := range p.Drops {
		heads = append(heads, p.heads(d)...)
	}
	if p.stream, err = spool.NewPlan(list, jobs, heads, spool.Holes); err == nil {
		p.Network, p.Spool = p.stream.Network(), p.stream.Disk()
		p.Memory += (remote.StreamAhead + 1) * remote.StreamBytes
	}
	return err
}

// compareHeads reads the heads that no hash speaks for, before anything is written.
func (p *Plan) compareHeads(ctx context.Context, c *ingest.Checkpoint) error {
	for _, d := range p.Drops {
		same := len(d.Of) == 0 || len(p.heads(d)) > 0
		for k := 0; k < len(d.Of) && !same; k++ {
			var err error
			if same, err = equalBytes(ctx, c, d.Path, d.Of[k]); err != nil {
				return err
			}
		}
		if !same {
			return &GapError{p.Model, []arch.Gap{p.o.Arch.Untied(ctx, arch.NewConfig(p.doc), &p.source, d)}}
		}
	}
	return nil
}

// compareStreamed compares the heads that came while everything was written.
func (p *Plan) compareStreamed(ctx context.Context) error {
	for _, d := range p.Drops {
		heads := p.heads(d)
		same := len(heads) == 0
		for k := 1; k < len(heads) && !same; k++ {
			a, known := p.source.spool.Sum(heads[0])
			b, both := p.source.spool.Sum(heads[k])
			same = known && both && a == b
		}
		if !same {
			return &GapError{p.Model, []arch.Gap{p.o.Arch.Untied(ctx, arch.NewConfig(p.doc), &p.source, d)}}
		}
	}
	return nil
}

func equalBytes(ctx context.Context, c *ingest.Checkpoint, a, b string) (bool, error) {
	var readers [2]io.ReaderAt
	var buffers [2][]byte
	for i, path := range []string{a, b} {
		r, err := c.Bytes(path)
		if err != nil {
			return false, err
		}
		readers[i], buffers[i] = r, make([]byte, 1<<20)
	}
	info, _ := c.Lookup(a)
	for off := int64(0); off < info.Bytes; {
		if err := ctx.Err(); err != nil {
			return false, err
		}
		n := min(info.Bytes-off, int64(len(buffers[0])))
		for i, path := range []string{a, b} {
			if err := disk.ReadFull(readers[i], buffers[i][:n], off); err != nil {
				return false, fmt.Errorf("tensor %q: %w", path, err)
			}
		}
		if !bytes.Equal(buffers[0][:n], buffers[1][:n]) {
			return false, nil
		}
		off += n
	}
	return true, nil
}

// recomputed looks at the frequencies of rotary embeddings that rules drop because the
// consumer computes them from config.json: what is dropped must be what that gives, by
// the statistics taken at ingest. Those that differ are said, not refused: whether the
// model was trained with them only its maker knows.
func (p *Plan) recomputed(drops []arch.Drop) {
	theta, factor, known := mlxconfig.Rotary(p.doc)
	var first string
	unlike, unread := 0, 0
	for _, d := range drops {
		t, ok := p.source.Lookup(d.Path)
		if !ok || !strings.HasSuffix(d.Path, "inv_freq") || !known || len(t.Shape) != 1 || t.Shape[0] < 2 || !t.DType.Float() {
			continue
		}
		if t.Stats == nil {
			unread++
			continue
		}
		least := math.Pow(theta, -float64(t.Shape[0]-1)/float64(t.Shape[0]))
		if near(t.Stats.Max, 1, t.DType) && near(t.Stats.Min, least, t.DType) ||
			near(t.Stats.Max, 1/factor, t.DType) && near(t.Stats.Min, least/factor, t.DType) {
			continue
		}
		if unlike++; unlike == 1 {
			first = fmt.Sprintf("tensor %q is dropped because it is computed again, but it is not what config.json gives: it goes from %g to %g, rope_theta %g gives 1 to %g",
				d.Path, t.Stats.Max, t.Stats.Min, theta, least)
		}
	}
	if unlike > 1 {
		first += fmt.Sprintf("; %d more differ too", unlike-1)
	}
	if unlike > 0 {
		p.Notes = append(p.Notes, first+"; if the model was trained so, config.json must say it (rope_theta, rope_scaling)")
	}
	if unread > 0 {
		p.Notes = append(p.Notes, fmt.Sprintf("%d inv_freq tensors are dropped because they are computed again, and were not compared with rope_theta: no statistics were taken of them; ingest without --no-hash and --no-stats", unread))
	}
}

// near reports values equal within the rounding of a type, twice: of the value, and of
// the power it is.
func near(have, want float64, dt tensor.DType) bool {
	tolerance := 1e-5
	switch dt {
	case tensor.F16:
		tolerance = 1.0 / (1 << 10)
	case tensor.BF16:
		tolerance = 1.0 / (1 << 7)
	}
	return math.Abs(have-want) <= tolerance*math.Abs(want)
}

// heads are where a tied head that no hash speaks for lies, and what it may be a copy of: they
// are compared by the hashes that are taken as they come. There are none where they have to be
// read, as from a disk.
func (p *Plan) heads(d arch.Drop) (list []spool.Range) {
	if !p.source.far() || len(d.Of) == 0 {
		return nil
	}
	for _, path := range append([]string{d.Path}, d.Of...) {
		t, _ := p.source.Lookup(path)
		r, err := p.source.stretch(path)
		if err != nil || r.N != t.Bytes {
			return nil
		}
		list = append(list, r)
	}
	return list
}
