package accel

import (
	"wreg/accel/cpu"
	"wreg/accel/metal"
)

// checkNumbers is how many numbers each line of Check is about.
const checkNumbers = 2 << 20

// CheckLine is one operation on one device, and whether its bytes are the
// reference's.
type CheckLine struct {
	Operation string // "cast f32 bf16"
	Device    string // "cpu" or "metal"
	Kernels   string // what ran: "go", "avx2", "neon", "metal"
	Fault     string // "" when every byte is right
}

// Check runs every operation on every device there is, on numbers of every magnitude,
// and compares the bytes with the plain Go reference. ok is false when a byte differs.
// noMetal says why there is no Metal, "" when there is.
func Check() (lines []CheckLine, ok bool, noMetal string) {
	ok = true
	for _, d := range processors() {
		for _, t := range cpu.Trials(checkNumbers, cpu.EveryMagnitude) {
			lines = append(lines, CheckLine{t.Name, d.Name(), d.Path(), t.Compare(d, cpu.Reference())})
		}
	}
	m, err := metal.Open()
	if err != nil {
		noMetal = err.Error()
	} else {
		defer m.Close()
		for _, r := range m.Check() {
			lines = append(lines, CheckLine{r.Operation, m.Name(), m.Name(), r.Fault})
		}
	}
	for _, l := range lines {
		ok = ok && l.Fault == ""
	}
	return lines, ok, noMetal
}

// processors are plain Go and, where there is some, the assembly.
func processors() []cpu.Device {
	if cpu.New().Path() == cpu.Reference().Path() {
		return []cpu.Device{cpu.New()}
	}
	return []cpu.Device{cpu.Reference(), cpu.New()}
}
