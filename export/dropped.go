package export

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"strings"

	"wreg/export/disk"
	"wreg/export/mlxconfig"
	"wreg/ingest"
	"wreg/ingest/spool"
	"wreg/registry/arch"
	"wreg/registry/tensor"
)

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
