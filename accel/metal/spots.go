package metal

import (
	"bytes"

	"wreg/accel/cpu"
)

// spotElements is about how much of a tile the processor computes again at each of its
// spots. Check has seen the kernels work; this is to see that they go on working: a GPU
// that runs out of memory, or was reset, may leave a result as it was and say nothing.
const spotElements = 256

// scatter spreads what counts up over all numbers (Knuth's multiplicative hash).
const scatter = 0x9E3779B97F4A7C15

// spots are parts of n units, each of some elements, that are looked at after a launch:
// the first, the last, and one that is elsewhere every time.
func (d *Device) spots(n, some int) [][2]int {
	k := max(1, min(n, spotElements/max(1, some)))
	middle := int(uint64(d.jobs.Load()) * scatter % uint64(n-k+1))
	return [][2]int{{0, k}, {middle, middle + k}, {n - k, n}}
}

// agree computes spots again: redo writes what the processor makes of units a to b and
// returns it beside what the GPU made. A difference turns the GPU off.
func (d *Device) agree(program string, n, some int, redo func(a, b int) (want, got []byte, err error)) error {
	for _, s := range d.spots(n, some) {
		want, got, err := redo(s[0], s[1])
		if err != nil {
			return err
		}
		if !bytes.Equal(want, got) {
			d.turnOff("metal: " + program + ": " + cpu.Difference(got, want))
			return d.Err()
		}
	}
	return nil
}
