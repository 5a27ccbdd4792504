//go:build !purego

package cpu

// assembly: there is none for this build.
func assembly() (kernels, bool) { return kernels{}, false }
