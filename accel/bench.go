package accel

import (
	"fmt"

	"wreg/accel/cpu"
	"wreg/accel/metal"
)

// Bench measures calls of two sizes: as many numbers as export works on at a time,
// which caches hold, and so many that they do not.
const (
	pieceNumbers = 256 << 10
	largeNumbers = 16 << 20
)

// BenchLine is how fast one operation is on one device, in calls of one size.
type BenchLine struct {
	Operation string
	Device    string
	Kernels   string
	Bytes     int     // read and written by one call
	Read      float64 // GB/s of source read; cpu: by one core
	Rate      float64 // GB/s read and written
	OfCopy    float64 // Rate as a part of copy's, for as many bytes; 0: not measured
	Goal      string  // what Kernels are to reach: "0.60 of copy", "1.50 GB/s read"; "" if nothing
	Met       bool    // the goal, if there is one
}

// goal is the least that the fastest kernels of the processor are to reach.
type goal struct {
	ofCopy float64
	read   float64 // GB/s
}

// goals are those of an operation, by its trial's name.
var goals = map[string]goal{
	"cast f32 bf16":     {ofCopy: 0.6},
	"cast f32 f16":      {ofCopy: 0.6},
	"cast bf16 f32":     {ofCopy: 0.6},
	"cast f16 f32":      {ofCopy: 0.6},
	"cast bf16 f16":     {ofCopy: 0.6},
	"cast f8_e4m3 bf16": {ofCopy: 0.4},
	"quantize affine":   {read: 1.5},
}

func (g goal) String() string {
	switch {
	case g.ofCopy > 0:
		return fmt.Sprintf("%.2f of copy", g.ofCopy)
	case g.read > 0:
		return fmt.Sprintf("%.2f GB/s read", g.read)
	}
	return ""
}

// Bench measures every operation on every device there is, on numbers as weights are.
// It compares no bytes: that is Check's.
func Bench() ([]BenchLine, error) { return benchAll(pieceNumbers, largeNumbers) }

func benchAll(few, many int) (lines []BenchLine, err error) {
	pieces, large := cpu.Trials(few, cpu.Weights), cpu.Trials(many, cpu.Weights)
	for i := range pieces {
		for _, d := range processors() {
			if lines, err = bench(lines, pieces[i], d); err != nil {
				return nil, err
			}
		}
		// Plain Go is far from what memory gives: it need not be seen there.
		if lines, err = bench(lines, large[i], cpu.New()); err != nil {
			return nil, err
		}
	}
	m, err := metal.Open()
	if err != nil {
		return lines, nil // Check says so
	}
	defer m.Close()
	for _, r := range m.Check() {
		lines = append(lines, BenchLine{Operation: r.Operation, Device: m.Name(), Kernels: m.Name(), Bytes: r.Bytes, Rate: r.Metal})
	}
	return lines, m.Err()
}

// bench adds the line of one trial on one device.
func bench(lines []BenchLine, t cpu.Trial, d cpu.Device) ([]BenchLine, error) {
	l := BenchLine{Operation: t.Name, Device: d.Name(), Kernels: d.Path(), Bytes: len(t.Source) + t.Size}
	dst := make([]byte, t.Size)
	var err error
	if l.Rate, l.OfCopy, err = t.AgainstCopy(func() error { return t.Call(d, dst, t.Source) }); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	l.Read = l.Rate * float64(len(t.Source)) / float64(l.Bytes)
	if g := goals[t.Name]; d.Path() == cpu.New().Path() {
		l.Goal, l.Met = g.String(), g != goal{} && l.OfCopy >= g.ofCopy && l.Read >= g.read
	}
	return append(lines, l), nil
}
