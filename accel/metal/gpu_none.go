//go:build !darwin || !cgo

package metal

import "errors"

// Open fails: this build has no Metal.
func Open() (*Device, error) {
	return nil, errors.New("metal: this build has none; it takes macOS, and a build with cgo and Xcode's command line tools")
}
