package accel

import (
	"wreg/accel/cpu"
	"wreg/accel/metal"
)

// checkNumbers is how many numbers each line of Check is about.
const checkNumbers = 2 << 20

// CheckLine is one operation on one device: whether its bytes are the reference's,
// and how fast it is.
type CheckLine struct {
	Operation string  // "cast f32 bf16", "copy"
	Device    string  // "cpu" or "metal"
	Kernels   string  // what ran: "go", "avx2", "neon", "metal"
	Fault     string  // "" when every byte is right
	Rate      float64 // GB/s read and written; cpu: by one core
	OfCopy    float64 // Rate as a part of copy's, for as many bytes
}

// Check runs every operation on every device there is, compares the bytes with the
// plain Go reference and measures. ok is false when a byte differs. noMetal says why
// there is no Metal, "" when there is.
func Check() (lines []CheckLine, ok bool, noMetal string) {
	ok = true
	devices := []cpu.Device{cpu.Reference()}
	if fast := cpu.New(); fast.Path() != devices[0].Path() {
		devices = append(devices, fast)
	}
	m, err := metal.Open()
	if err != nil {
		noMetal = err.Error()
	} else {
		defer m.Close()
	}
	kernels := map[string]metal.Result{}
	if m != nil {
		for _, r := range m.Check() {
			kernels[r.Operation] = r
		}
	}
	for _, t := range cpu.Trials(checkNumbers) {
		copied := copyRate(t)
		for _, d := range devices {
			line := CheckLine{Operation: t.Name, Device: d.Name(), Kernels: d.Path(), Fault: t.Compare(d, cpu.Reference())}
			dst := make([]byte, t.Size)
			if line.Rate, err = t.Rate(func() error { return t.Call(d, dst, t.Source) }); err != nil {
				line.Fault = err.Error()
			}
			lines = append(lines, line)
		}
		if m != nil {
			r := kernels[t.Name]
			lines = append(lines, CheckLine{Operation: t.Name, Device: m.Name(), Kernels: m.Name(), Fault: r.Fault, Rate: r.Metal})
		}
		for i := range lines {
			if l := &lines[i]; l.Operation == t.Name {
				l.OfCopy = l.Rate / copied
				ok = ok && l.Fault == ""
			}
		}
	}
	return lines, ok, noMetal
}

// copyRate is that of copying as many bytes as the trial reads and writes.
func copyRate(t cpu.Trial) float64 {
	src, dst := make([]byte, (len(t.Source)+t.Size)/2), make([]byte, (len(t.Source)+t.Size)/2)
	for i := range src {
		src[i] = byte(i)
	}
	rate, _ := t.Rate(func() error { copy(dst, src); return nil })
	return rate
}
