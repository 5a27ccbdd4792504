package metal

import (
	"runtime"
	"sync"

	"wreg/accel/cpu"
)

// worthIt is how many times as fast as the processor a kernel must be for
// Fastest to keep it.
const worthIt = 1.25

// Result is what Check found of one kernel.
type Result struct {
	Operation  string // the trial's name: "cast f32 bf16"
	Kernel     string
	Bytes      int     // read and written
	Fault      string  // "" when the bytes are the processor's
	CPU, Metal float64 // GB/s read and written; all cores of the processor against the GPU
}

// Check runs every kernel on one tile, compares the bytes with accel/cpu's, and
// measures both. Any fault turns the GPU off for the process.
func (d *Device) Check() []Result {
	var results []Result
	for _, t := range cpu.Trials(d.tile/4, cpu.EveryMagnitude) { // a tile of float32
		results = append(results, d.check(kernelOf[t.Name], t))
	}
	return results
}

// kernelOf names the kernel that serves each trial.
var kernelOf = func() map[string]string {
	m := map[string]string{"dequantize fp8": "dequant_e4m3", "quantize affine": "quantize_affine"}
	for pair, kernel := range castPrograms {
		m["cast "+pair[0].String()+" "+pair[1].String()] = kernel
	}
	return m
}()

// Fastest runs Check and leaves to the processor what the GPU does not do clearly
// faster. It is called before d is shared.
func (d *Device) Fastest() []Result {
	results := d.Check()
	d.slow = slow(results)
	return results
}

// Uses reports whether a kernel is launched when there is work for it.
func (d *Device) Uses(kernel string) bool { return d.ready(kernel) }

// slow names the kernels that are not worth launching.
func slow(results []Result) map[string]bool {
	m := map[string]bool{}
	for _, r := range results {
		m[r.Kernel] = r.Metal < worthIt*r.CPU
	}
	return m
}

// check makes one trial on both, without the fallback.
func (d *Device) check(kernel string, t cpu.Trial) (r Result) {
	r.Operation, r.Kernel, r.Bytes = t.Name, kernel, len(t.Source)+t.Size
	if err := d.Err(); err != nil {
		r.Fault = err.Error()
		return r
	}
	strict := &Device{Device: d.Device, gpu: d.gpu, tile: d.tile, strict: true}
	r.Fault = t.Compare(strict, d.Device)
	if r.Fault == "" && strict.Launches() == 0 {
		r.Fault = "the GPU was not asked"
	}
	got := make([]byte, t.Size)
	var err error
	if r.Fault == "" {
		if r.Metal, err = t.Rate(func() error { return t.Call(strict, got, t.Source) }); err != nil {
			r.Fault = err.Error()
		}
	}
	if r.Fault != "" {
		d.turnOff("metal: " + kernel + ": " + r.Fault)
		return r
	}
	if r.CPU, err = t.Rate(func() error { return onAllCores(t, got, d.Device) }); err != nil {
		r.Fault = err.Error()
	}
	return r
}

// onAllCores makes a trial as export works: a part on each core.
func onAllCores(t cpu.Trial, dst []byte, d cpu.Device) error {
	parts := 1 // a power of two, so that each has whole rows
	for parts*2 <= min(runtime.GOMAXPROCS(0), 16) {
		parts *= 2
	}
	errs := make([]error, parts)
	var wg sync.WaitGroup
	in, out := len(t.Source)/parts, len(dst)/parts
	for i := range parts {
		wg.Go(func() { errs[i] = t.Call(d, dst[i*out:(i+1)*out], t.Source[i*in:(i+1)*in]) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
