//go:build purego || (!amd64 && !arm64)

package cpu

// assembly: there is none for this build.
func assembly() (kernels, bool) { return kernels{}, false }
