package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"wreg/ingest/files"
	"wreg/ingest/folder"
	"wreg/ingest/interrupt"
	"wreg/ingest/sums"
	"wreg/ingest/whole"
	"wreg/registry/tensor"
)

// HashOptions of Hash. The zero value takes hashes and statistics on every core.
type HashOptions struct {
	Jobs     int               // workers; 0 is one per core
	NoSHA    bool              // XXH3 only: memory speed, for re-checks
	NoStats  bool              // no min, max, NaN counts
	Progress func(bytes int64) // called with bytes done since the last call, from any worker

	// Verify reads each file whole, from front to back, and holds its SHA-256 against the digest that is
	// declared of it. It is in Files then, whether or not one is declared.
	Verify bool
}

// Hash reads every byte once, in fixed buffers, and returns the tensors of
// Tensors with Hash, Sum, Slices and Stats filled in. Tensors are hashed in
// parallel, the largest first; those that are the same bytes of one file under
// several paths are read once. It fails when a file changed since Open. What the
// values say of the weights (not finite, all zero) is in Findings then.
//
// Slices are taken of tensors of rank 3 and more with at most 65,536 slices. A
// second tensor under a path is compared too: see Findings.
func (c *Checkpoint) Hash(ctx context.Context, o HashOptions) ([]tensor.Info, error) {
	if err := c.unchanged(); err != nil {
		return nil, err
	}
	out := slices.Clone(c.tensors)
	tasks, copies := c.tasks(out)
	values := newValues(out)
	rest, digests := tasks, []string(nil)
	if o.Verify {
		var err error
		if rest, digests, err = c.verify(ctx, o, tasks, values); err != nil {
			return nil, err
		}
	}
	if err := interrupt.Each(ctx, o.Jobs, rest, func() func(context.Context, task) error {
		debug.SetPanicOnFault(true) // of this goroutine; see window
		h := o.hasher()
		return func(ctx context.Context, t task) error {
			if err := c.hashOne(ctx, h, &t); err != nil {
				return err
			}
			values.rows(&t, h)
			return nil
		}
	}); err != nil {
		return nil, err
	}
	if err := interrupt.Each(ctx, o.Jobs, rest, func() func(context.Context, task) error {
		return func(ctx context.Context, t task) error { return c.prove(ctx, t.at, t.into) }
	}); err != nil {
		return nil, err
	}
	for i, of := range copies {
		if t := &out[of]; i != of {
			out[i].Hash, out[i].Sum, out[i].Slices, out[i].Stats = t.Hash, t.Sum, t.Slices, t.Stats
		}
	}
	if err := c.unchanged(); err != nil {
		return nil, err
	}
	c.settleRivals(tasks, out)
	c.valueFindings(values)
	if o.Verify {
		c.verified(digests)
	}
	return out, nil
}

func (o HashOptions) hasher() *sums.Hasher {
	return sums.NewHasher(sums.Options{NoSHA: o.NoSHA, NoStats: o.NoStats, Progress: o.Progress})
}

// streamed are the formats whose headers come first, so that they can be read from front to back.
var streamed = []string{"safetensors", "gguf", "npy"}

// farStreams is how many files elsewhere are read at once: each has several ranges under way.
const farStreams = 4

// verify reads every open file whole and gives their digests. Tensors are hashed on the way where they lie one
// after the other; rest are those of files on disk that do not. Files elsewhere whose tensors do not are read
// from a copy that is gone afterwards.
func (c *Checkpoint) verify(ctx context.Context, o HashOptions, tasks []task, v *values) (rest []task, digests []string, err error) {
	of, all := make([][]*task, len(c.open)), make([]int, len(c.open))
	for i := range tasks {
		t := &tasks[i]
		of[t.at.file] = append(of[t.at.file], t)
	}
	for i := range all {
		all[i] = i
	}
	slices.SortStableFunc(all, func(a, b int) int { return cmp.Compare(c.open[b].info.Size, c.open[a].info.Size) })
	jobs := o.Jobs
	if c.place != nil {
		if slices.ContainsFunc(c.open, func(f *file) bool { return strings.HasSuffix(f.info.Name, distcpExtension) }) {
			return nil, nil, fmt.Errorf("%s: a distributed checkpoint of torch, whose tensors lie across files: it cannot be verified as it comes; download it, and verify the folder", c.Path())
		}
		jobs = min(cmp.Or(jobs, runtime.GOMAXPROCS(0)), farStreams)
	}
	digests, left := make([]string, len(c.open)), make([]bool, len(c.open))
	err = interrupt.Each(ctx, jobs, all, func() func(context.Context, int) error {
		debug.SetPanicOnFault(true)
		h := o.hasher()
		return func(ctx context.Context, i int) (err error) {
			f := c.open[i]
			_, onDisk := f.disk.(*os.File)
			inOrder := slices.Contains(streamed, f.info.Format) && whole.InOrder(of[i], func(t *task) *tensor.Info { return t.into })
			switch {
			case inOrder:
				digests[i], err = f.stream(ctx, h, of[i], v)
			case onDisk:
				left[i] = true
				digests[i], err = whole.Read(ctx, f.disk, f.info, func(io.Reader) error { return nil })
			default:
				digests[i], err = f.copied(ctx, h, of[i], v)
			}
			return err
		}
	})
	for _, t := range tasks {
		if left[t.at.file] {
			rest = append(rest, t)
		}
	}
	return rest, digests, err
}

// stream reads the file from front to back and hashes its tensors on the way.
func (f *file) stream(ctx context.Context, h *sums.Hasher, tasks []*task, v *values) (string, error) {
	first := f.info.Size
	for _, t := range f.reader.Tensors() {
		first = min(first, t.Offset)
	}
	list := make([]*tensor.Info, len(tasks))
	for i, t := range tasks {
		list[i] = t.into
	}
	return whole.Read(ctx, f.disk, f.info, func(r io.Reader) error {
		err := whole.Tensors(ctx, h, r, min(first, maxHeaders), func(header []byte) error { return f.same(ctx, beginning(header)) }, list, func(i int) { v.rows(tasks[i], h) })
		if err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", f.info.Name, err)
		}
		return err
	})
}

// beginning is a file of which only the first bytes are known; the others, which nothing depends on, are zero.
type beginning []byte

func (b beginning) ReadAt(p []byte, off int64) (int, error) {
	clear(p)
	if off < int64(len(b)) {
		copy(p, b[off:])
	}
	return len(p), nil
}

// same fails when the header is not the one that was read when the file was opened.
func (f *file) same(ctx context.Context, r io.ReaderAt) error {
	_, err := f.again(ctx, r)
	return err
}

// again reads the header once more.
func (f *file) again(ctx context.Context, r io.ReaderAt) (reader, error) {
	for _, format := range formats {
		if format.name != f.info.Format {
			continue
		}
		now, _, err := format.read(ctx, r, f.info.Size, f.info.Name)
		if err != nil {
			return nil, err
		}
		if !slices.EqualFunc(now.Tensors(), f.reader.Tensors(), func(a, b tensor.Info) bool {
			return a.Path == b.Path && a.DType == b.DType && a.Offset == b.Offset && a.Bytes == b.Bytes && a.Shape.Equal(b.Shape)
		}) {
			return nil, errors.New("its header is not the one that was read before; ingest it again")
		}
		return now, nil
	}
	return nil, fmt.Errorf("format %q cannot be read twice", f.info.Format)
}

// copied reads a file that lies elsewhere into one on disk, which has no name, and hashes its tensors there.
func (f *file) copied(ctx context.Context, h *sums.Hasher, tasks []*task, v *values) (digest string, err error) {
	disk, err := os.CreateTemp("", "wreg-verify-*")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, disk.Close(), os.Remove(disk.Name())) }()
	digest, err = whole.Read(ctx, f.disk, f.info, func(r io.Reader) error {
		if _, err := disk.Seek(0, io.SeekStart); err != nil {
			return err
		}
		_, err := io.Copy(disk, r)
		return err
	})
	if err != nil {
		return "", err
	}
	now, err := f.again(ctx, disk)
	if err != nil {
		return "", fmt.Errorf("%s: %w", f.info.Name, err)
	}
	p, proves := now.(prover)
	for _, t := range tasks {
		r, err := now.Bytes(int(t.at.index))
		if err == nil {
			err = h.Hash(ctx, t.into, r)
		}
		if err == nil {
			v.rows(t, h)
		}
		if err == nil && proves {
			err = p.Prove(ctx, int(t.at.index))
		}
		if err != nil {
			return "", fmt.Errorf("%s: tensor %q: %w", f.info.Name, t.into.Path, err)
		}
	}
	return digest, nil
}

// verified notes the digests of the open files.
func (c *Checkpoint) verified(digests []string) {
	of := make(map[string]string, len(c.open))
	for i, f := range c.open {
		of[f.info.Name] = digests[i]
	}
	for k := range c.files {
		f := &c.files[k]
		digest, open := of[f.Name]
		switch {
		case !open:
		case f.Digest == "":
			f.Digest, f.Trust = digest, tensor.TrustSummed
		default:
			f.Trust = tensor.TrustVerified
		}
	}
}

// task is one tensor to hash into.
type task struct {
	at    location
	into  *tensor.Info
	rival int // of c.rival; -1 for a tensor of the checkpoint
}

// viewer is a reader that knows which of its tensors are the same bytes, wherever and
// however they lie: Twin is the first of them.
type viewer interface{ Twin(i int) int }

// tasks lists what to hash, the costliest first; copies[i] is the tensor that
// out[i] shares its bytes with, itself when it was the first.
func (c *Checkpoint) tasks(out []tensor.Info) (tasks []task, copies []int) {
	type place struct {
		file   uint32
		twin   int // -1: the rest says which bytes they are
		offset int64
		dtype  tensor.DType
		shape  string
	}
	copies = make([]int, len(out))
	seen := map[place]int{}
	for i := range out {
		copies[i] = i
		// Safetensors cannot alias bytes, and a map of a million tensors has its price.
		if t := &out[i]; t.Format != "safetensors" && t.Bytes > 0 {
			at := c.where[i]
			p := place{file: at.file, twin: -1, offset: t.Offset, dtype: t.DType}
			if v, ok := c.open[at.file].reader.(viewer); ok {
				p = place{file: at.file, twin: v.Twin(int(at.index))}
			} else if t.Offset >= 0 {
				p.shape = t.Shape.String()
			} else {
				tasks = append(tasks, task{at, t, -1})
				continue
			}
			if of, twice := seen[p]; twice {
				copies[i] = of
				continue
			}
			seen[p] = i
		}
		tasks = append(tasks, task{c.where[i], &out[i], -1})
	}
	for i, r := range c.rival {
		t := *c.info(r.at)
		if of, ok := c.tensors.Find(r.path); ok && t.DType == out[of].DType && t.Shape.Equal(out[of].Shape) {
			tasks = append(tasks, task{r.at, &t, i})
		}
	}
	cost := func(t *task) int64 {
		if sums.Sliced(t.into) {
			return 2 * t.into.Bytes
		}
		return t.into.Bytes
	}
	slices.SortStableFunc(tasks, func(a, b task) int { return cmp.Compare(cost(&b), cost(&a)) })
	return tasks, copies
}

// hashOne reads one tensor and fills in what was asked for.
func (c *Checkpoint) hashOne(ctx context.Context, h *sums.Hasher, t *task) error {
	r, err := c.at(t.at)
	if err == nil {
		err = h.Hash(ctx, t.into, r)
	}
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("%s: tensor %q: %w", t.into.File, t.into.Path, err)
	}
	return nil
}

// unchanged fails when an open file is not as it was at Open.
func (c *Checkpoint) unchanged() error {
	var errs []error
	for _, f := range c.open {
		now, err := files.Stat(f.disk)
		switch {
		case err != nil:
			errs = append(errs, folder.Named(f.info.Name, err))
		case now.Size != f.info.Size || !now.ModTime.Equal(f.info.ModTime):
			errs = append(errs, fmt.Errorf("%s: changed while it was read: %d bytes of %s, now %d of %s; ingest it again when nothing writes to it", f.info.Name,
				f.info.Size, f.info.ModTime.Format("15:04:05.000"), now.Size, now.ModTime.Format("15:04:05.000")))
		}
	}
	return errors.Join(errs...)
}

// settleRivals replaces each duplicate-tensor finding by what the hashes say.
func (c *Checkpoint) settleRivals(tasks []task, out []tensor.Info) {
	if len(c.rival) == 0 {
		return
	}
	var equal, unequal groups
	for i := range tasks {
		t := &tasks[i]
		if t.rival < 0 {
			continue
		}
		of, _ := c.tensors.Find(t.into.Path)
		chosen := &out[of]
		g := &equal
		if t.into.Sum != chosen.Sum || t.into.Hash != chosen.Hash {
			g = &unequal
		}
		g.add(chosen.File+"\x00"+t.into.File, t.into.Path)
	}
	c.settled.Lock()
	defer c.settled.Unlock()
	list := slices.DeleteFunc(slices.Clone(c.findings), func(f tensor.Finding) bool {
		return f.Rule == "duplicate-tensor" || f.Rule == "duplicate-equal" || f.Rule == "duplicate-differs"
	})
	for _, g := range equal.sorted() {
		have, other, _ := strings.Cut(g.key, "\x00")
		list = append(list, finding("duplicate-equal", other, g.first, "%s: also holds %s, byte for byte those in %s", other, g.names(), have))
	}
	for _, g := range unequal.sorted() {
		have, other, _ := strings.Cut(g.key, "\x00")
		list = append(list, finding("duplicate-differs", other, g.first, "%s: also holds %s, with other bytes than those in %s, which were read; find out which are right", other, g.names(), have))
	}
	c.findings = list
}
