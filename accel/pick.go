package accel

import (
	"fmt"
	"os"

	"wreg/accel/cpu"
	"wreg/accel/metal"
)

// autoBytes is the size of a job from which on auto looks for a GPU: below, to open
// and measure one takes longer than it could save.
const autoBytes = 256 << 20

// Environment variables that Pick reads.
const (
	// EnvDevice names the device when the caller does not.
	EnvDevice = "WREG_DEVICE"
	// EnvRequire makes Pick fail unless it picks the device named, and makes a
	// failure of that device an error: for tests that must not pass on another.
	EnvRequire = "WREG_REQUIRE_DEVICE"
)

// Pick gives the device to use. name is "cpu", "metal" or "auto"; "" is what
// WREG_DEVICE says, else auto. bytes is how much there is to compute on.
//
// metal fails when there is no GPU, or when one of its kernels does not give the
// processor's bytes. auto takes Metal for jobs of 256 MiB and more, for the kernels
// that it measures to be at least 1.25 times as fast as all cores; note says, in one
// line, when a GPU was there and was not taken.
func Pick(name string, bytes int64) (d Device, note string, err error) {
	return pick(name, bytes, os.Getenv, func() (gpu, error) { return metal.Open() })
}

// gpu is what Pick asks of a *metal.Device.
type gpu interface {
	Device
	Check() []metal.Result
	Fastest() []metal.Result
	Uses(kernel string) bool
	Strict()
	Err() error
	Close()
}

func pick(name string, bytes int64, getenv func(string) string, open func() (gpu, error)) (d Device, note string, err error) {
	if name == "" {
		name = getenv(EnvDevice)
	}
	switch name {
	case "cpu":
		d = cpu.New()
	case "metal":
		d, err = pickMetal(open)
	case "auto", "":
		d, note = pickAuto(bytes, open)
	default:
		return nil, "", fmt.Errorf("device %q: want auto, cpu or metal", name)
	}
	if err != nil {
		return nil, "", err
	}
	switch want := getenv(EnvRequire); {
	case want == "":
	case d.Name() != want:
		return nil, "", fmt.Errorf("%s=%s, but the device is %s", EnvRequire, want, d.Name())
	default:
		if m, ok := d.(gpu); ok {
			m.Strict()
		}
	}
	return d, note, nil
}

func pickMetal(open func() (gpu, error)) (Device, error) {
	m, err := open()
	if err != nil {
		return nil, err
	}
	m.Check()
	if err := m.Err(); err != nil {
		m.Close()
		return nil, err
	}
	return m, nil
}

func pickAuto(bytes int64, open func() (gpu, error)) (d Device, note string) {
	if bytes < autoBytes {
		return cpu.New(), ""
	}
	m, err := open()
	if err != nil {
		return cpu.New(), "" // most machines have none: nothing to say
	}
	faster := m.Fastest()
	if err := m.Err(); err != nil {
		m.Close()
		return cpu.New(), fmt.Sprintf("%v; using the cpu", err)
	}
	for _, r := range faster {
		if m.Uses(r.Kernel) {
			return m, ""
		}
	}
	m.Close()
	return cpu.New(), "metal: not clearly faster than the cpu at anything; using the cpu"
}
